import pytest
from pydantic import ValidationError

from tilepipe.components.shared.errors import ArtifactError
from tilepipe.components.shared.history import History, read_history

EPOCHS = ({"loss": 1.0, "val_loss": 1.1}, {"loss": 0.5, "val_loss": 0.9})


def test_what_is_written_is_read(tmp_path):
    history = History(metric="val_loss", best_epoch=2, epochs=EPOCHS)
    history.write(tmp_path / "history.json")
    assert read_history(tmp_path / "history.json") == history
    assert history.best == EPOCHS[1]


@pytest.mark.parametrize("best_epoch", [0, 3])
def test_the_best_epoch_is_one_of_the_epochs(best_epoch):
    with pytest.raises(ValidationError, match="best_epoch must be one of the 2 epochs"):
        History(metric="val_loss", best_epoch=best_epoch, epochs=EPOCHS)


@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff", b'{"schema_version": 2}'])
def test_another_file_is_an_error(tmp_path, content):
    path = tmp_path / "history.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ArtifactError, match="Run `train` again"):
        read_history(path)

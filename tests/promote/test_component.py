"""The KFP interface of `promote`."""

import pytest
from kfp import dsl

from tests.support.registry import NAME
from tilepipe.components.promote.component import promote_model


def test_the_history_is_a_table(client, version, champion, tmp_path):
    version()
    history = dsl.Markdown(uri=str(tmp_path / "history"))
    promote_model.python_func(name=NAME, history=history, version="1")
    assert champion() == 1
    version(1)
    promote_model.python_func(name=NAME, history=history, override=True, reason="a <b>bold</b> | step")
    lines = (tmp_path / "history").read_text().splitlines()
    assert lines[0] == "**forests: version 2**"
    assert [line.split("|")[1].strip() for line in lines[4:]] == ["2", "1"]
    assert r"a \<b\>bold\</b\> \| step" in lines[4]
    client.delete_model_version(NAME, "2")
    version(verdict=None)
    with pytest.raises(SystemExit) as stopped:
        promote_model.python_func(name=NAME, history=history)
    assert stopped.value.code == 2

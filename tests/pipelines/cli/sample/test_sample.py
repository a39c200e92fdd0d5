from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from tilepipe.components.shared.errors import ParameterError, StorageError
from tilepipe.pipelines.cli.sample import sample as sample_module
from tilepipe.pipelines.cli.sample import sample_catalog
from tilepipe.pipelines.cli.sample.landscapes import CLASS_NAMES
from tilepipe.pipelines.cli.sample.sample import SampleSummary, write_sample
from tilepipe.pipelines.cli.sample.sample_tile import MOST_TILES_PER_CLASS, TILE_FOLDER


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_is_a_folder_of_class_folders(sample_folder: Path) -> None:
    assert sorted(folder.name for folder in (sample_folder / TILE_FOLDER).iterdir()) == sorted(CLASS_NAMES)
    for name in CLASS_NAMES:
        tiles = sorted(path.name for path in (sample_folder / TILE_FOLDER / name).iterdir())
        assert tiles == [f"{name}_{number}.tif" for number in (1, 2, 3)]


def test_nothing_else_is_left_behind(sample_folder: Path) -> None:
    names = sorted(path.name for path in sample_folder.iterdir())
    assert names == ["README.txt", "catalog.json", "collection.json", "items", "items.parquet", "synthetic-tiles"]


def test_the_summary_names_what_is_there(sample: SampleSummary) -> None:
    assert sample.tile_count == 30
    assert sample.catalog.is_file()


def test_the_readme_says_that_it_is_synthetic_and_how_to_make_it_again(sample_folder: Path) -> None:
    readme = (sample_folder / "README.txt").read_text()
    assert "SYNTHETIC" in readme
    assert "--tiles-per-class 3 --seed 7" in readme
    assert "https://doi.org/10.1109/JSTARS.2019.2918242" in readme


def test_the_same_seed_gives_the_same_bytes_with_any_number_of_processes(tmp_path: Path) -> None:
    write_sample(tmp_path / "one", tiles_per_class=6, seed=3, processes=1)
    write_sample(tmp_path / "two", tiles_per_class=6, seed=3, processes=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_tile_does_not_depend_on_how_many_there_are(sample_folder: Path, tmp_path: Path) -> None:
    write_sample(tmp_path, tiles_per_class=1, seed=7, processes=1)
    assert contents(tmp_path / TILE_FOLDER).items() <= contents(sample_folder / TILE_FOLDER).items()


def test_another_seed_gives_other_tiles(sample_folder: Path, tmp_path: Path) -> None:
    write_sample(tmp_path, tiles_per_class=1, seed=8, processes=1)
    first, second = contents(sample_folder / TILE_FOLDER), contents(tmp_path / TILE_FOLDER)
    assert all(first[name] != pixels for name, pixels in second.items())


def test_progress_counts_up_to_all_tiles(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    write_sample(tmp_path, tiles_per_class=6, processes=1, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(50, 60), (60, 60)]


@pytest.mark.parametrize("tiles_per_class", [0, -1, MOST_TILES_PER_CLASS + 1])
def test_a_count_out_of_range_is_refused(tmp_path: Path, tiles_per_class: int) -> None:
    with pytest.raises(ParameterError, match=f"Received: tiles_per_class={tiles_per_class}"):
        write_sample(tmp_path / "out", tiles_per_class=tiles_per_class)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(ParameterError, match="must be an empty or a new folder"):
        write_sample(tmp_path, tiles_per_class=1)
    assert contents(tmp_path) == {"precious.txt": b"mine"}


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ParameterError, match="must be an empty or a new folder"):
        write_sample(tmp_path / "out", tiles_per_class=1)


def test_an_empty_folder_is_filled_and_stays_the_same_folder(tmp_path: Path) -> None:
    inode = tmp_path.stat().st_ino
    write_sample(tmp_path, tiles_per_class=1, processes=1)
    assert tmp_path.stat().st_ino == inode
    assert (tmp_path / "catalog.json").is_file()


def test_a_folder_below_a_file_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StorageError, match=r"must be writable.*Received: out="):
        write_sample(tmp_path / "file" / "out", tiles_per_class=1)


@pytest.mark.parametrize("was_there", [True, False])
def test_a_full_disk_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, was_there: bool
) -> None:
    out = tmp_path / "out"
    if was_there:
        out.mkdir()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sample_catalog, "write_catalog", full)
    with pytest.raises(StorageError, match=r"room for 10 tiles.*No space left on device"):
        write_sample(out, tiles_per_class=1, processes=1)
    assert out.exists() == was_there
    assert not (was_there and any(out.iterdir()))


def test_a_killed_process_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise BrokenProcessPool("A process was terminated abruptly.")

    monkeypatch.setattr(sample_module, "_write_tiles", killed)
    with pytest.raises(StorageError, match=r"terminated abruptly.*Free some memory"):
        write_sample(tmp_path / "out", tiles_per_class=1)
    assert not (tmp_path / "out").exists()

import os
import random

import pytest

from tilepipe.components.shared.errors import SourceError
from tilepipe.pipelines.cli.push.local_folder import walk


def fill(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())


def names(root):
    left_out = []
    return [file.name for file in walk(root, left_out.append)], left_out


def test_the_order_is_that_of_keys_in_s3(tmp_path):
    wanted = ["a.tif", "a/b.tif", "a/b/c.tif", "a0/x", "a-b/x", "a b/x", "Z.tif", "ü/x.tif", "z.tif", "a/ä"]
    random.Random(0).shuffle(wanted)
    fill(tmp_path, *wanted)
    found, left_out = names(tmp_path)
    assert found == sorted(wanted, key=str.encode)
    assert left_out == []


def test_what_is_left_out(tmp_path):
    fill(tmp_path, "x.tif", ".git/config", "a/.DS_Store", "a/y.tif")
    os.mkfifo(tmp_path / "a" / "pipe")
    found, left_out = names(tmp_path)
    assert found == ["a/y.tif", "x.tif"]
    assert sorted(left_out) == [".git", "a/.DS_Store", "a/pipe"]


def test_links_within_the_folder_are_what_they_lead_to(tmp_path):
    fill(tmp_path, "real/x.tif", "a/y.tif")
    (tmp_path / "a" / "x.tif").symlink_to("../real/x.tif")
    (tmp_path / "b").symlink_to("real")
    files = list(walk(tmp_path, lambda name: None))
    assert [file.name for file in files] == ["a/x.tif", "a/y.tif", "b/x.tif", "real/x.tif"]
    assert {file.bytes for file in files if file.name != "a/y.tif"} == {10}


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("/etc/passwd", "leads to /etc/passwd. Replace it by a copy"),
        ("../outside", "outside. Replace it by a copy"),
        ("../folder-of-another/x", "folder-of-another/x. Replace it by a copy"),
        ("nowhere", "which is missing"),
        (".", "in a circle"),
        ("..", "Replace it by a copy"),
    ],
)
def test_links_that_lead_out(tmp_path, target, message):
    root = tmp_path / "folder"
    fill(tmp_path, "folder/x.tif", "outside/secret", "folder-of-another/x")
    (root / "link").symlink_to(target)
    with pytest.raises(SourceError, match="within the pushed folder.*" + message):
        names(root)


def test_links_in_a_circle(tmp_path):
    fill(tmp_path, "a/x", "b/y")
    (tmp_path / "a" / "to_b").symlink_to("../b")
    (tmp_path / "b" / "to_a").symlink_to("../a")
    with pytest.raises(SourceError, match="in a circle"):
        names(tmp_path)


def test_names_that_no_key_has(tmp_path):
    (tmp_path / os.fsdecode(b"\xff.tif")).write_bytes(b"")
    with pytest.raises(SourceError, match="must be UTF-8"):
        names(tmp_path)


def test_what_is_no_folder(tmp_path):
    fill(tmp_path, "x.tif")
    with pytest.raises(SourceError, match="which is missing"):
        names(tmp_path / "none")
    with pytest.raises(SourceError, match="is a file"):
        names(tmp_path / "x.tif")

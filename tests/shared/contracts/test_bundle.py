"""Tests of the bundle as an archive."""

import io
import tarfile

import pytest

from tilepipe.components.shared.contracts.bundle import read_bundle, write_bundle
from tilepipe.components.shared.errors import ArtifactError

FILES = {"model.onnx": b"graph" * 100, "labels.json": b"{}"}


def test_the_same_files_give_the_same_bytes(tmp_path):
    first = write_bundle(FILES, tmp_path / "first.tar.gz")
    second = write_bundle(dict(reversed(FILES.items())), tmp_path / "second.tar.gz")
    assert first == second
    assert read_bundle(tmp_path / "first.tar.gz") == FILES


def test_a_bundle_cut_short_anywhere_is_refused(tmp_path):
    write_bundle(FILES, tmp_path / "whole.tar.gz")
    content = (tmp_path / "whole.tar.gz").read_bytes()
    for length in range(len(content)):
        (tmp_path / "cut.tar.gz").write_bytes(content[:length])
        with pytest.raises(ArtifactError, match="A bundle must be"):
            read_bundle(tmp_path / "cut.tar.gz")


def repacked(files, path, change):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in change(files).items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda files: {**files, "labels.json": b'{"0": "x"}'}, "labels.json differs"),
        (lambda files: {name: files[name] for name in files if name != "model.onnx"}, "model.onnx differs"),
        (lambda files: {**files, "added.txt": b""}, "added.txt differs"),
    ],
)
def test_a_changed_bundle_is_refused(tmp_path, change, message):
    write_bundle(FILES, tmp_path / "bundle.tar.gz")
    with tarfile.open(tmp_path / "bundle.tar.gz") as archive:
        files = {member.name: archive.extractfile(member).read() for member in archive}
    repacked(files, tmp_path / "changed.tar.gz", change)
    with pytest.raises(ArtifactError, match=message):
        read_bundle(tmp_path / "changed.tar.gz")


def test_a_link_in_a_bundle_is_refused(tmp_path):
    with tarfile.open(tmp_path / "linked.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("model.onnx")
        member.type, member.linkname = tarfile.SYMTYPE, "labels.json"
        archive.addfile(member)
    with pytest.raises(ArtifactError, match="is not a plain file"):
        read_bundle(tmp_path / "linked.tar.gz")

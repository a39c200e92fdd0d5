"""Damaged or malicious checkpoints are skipped and reported, never silently."""

import json

import numpy as np
import pytest
import xxhash
from safetensors import safe_open

from tests.support.checkpoints import KEY, best_of, files, make_state, save, step_of
from tilepipe.components.train.checkpoints.checkpoints import FOLDER, Checkpoints
from tilepipe.components.train.checkpoints.file import encode


@pytest.fixture
def local(tmp_path):
    with Checkpoints(str(tmp_path / "checkpoints"), KEY) as checkpoints:
        yield checkpoints


@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped", "longer", "header", "other", "text"])
def test_a_damaged_newest_one_is_passed_over(local, tmp_path, caplog, damage):
    save(local, make_state(1, best=1), make_state(2, best=1))
    with Checkpoints(str(tmp_path / "elsewhere"), "another") as other:
        save(other, make_state(9))
    _, first, newest = files(tmp_path)
    content = newest.read_bytes()
    damaged = {
        "truncated": content[:-1],
        "empty": b"",
        "flipped": content[:-30] + bytes([content[-30] ^ 1]) + content[-29:],
        "longer": content + b"\0",
        "header": content[:40] + bytes([content[40] ^ 1]) + content[41:],
        "other": next((tmp_path / "elsewhere").rglob("*.safetensors")).read_bytes(),
        "text": b"not a checkpoint",
    }[damage]
    newest.write_bytes(damaged)
    with Checkpoints(str(tmp_path / "checkpoints"), KEY) as again:
        assert step_of(again.latest()) == 1
        assert f"{newest.name} at" in caplog.text
        save(again, make_state(3, best=1))
        assert first in files(tmp_path)  # the damaged one does not count among those that are kept
        assert newest not in files(tmp_path)
        assert step_of(again.latest()) == 3


def test_if_all_are_damaged_the_restart_is_reported(local, tmp_path, caplog):
    save(local, make_state(1), make_state(2))
    for path in files(tmp_path):
        path.write_bytes(path.read_bytes()[:50])
    assert local.latest() is None
    assert caplog.text.count("skipping the checkpoint") == 2
    assert "the training starts over" in caplog.text
    save(local, make_state(3))
    (left,) = files(tmp_path)
    assert left.name.startswith("state-000003-")


def test_damaged_best_weights_cost_the_states_that_need_them_and_are_written_again(local, tmp_path, caplog):
    save(local, make_state(1, best=1), make_state(2, best=2))
    at = {best_of_file(path): path for path in files(tmp_path) if path.name.startswith("best-")}
    content = at[2.0].read_bytes()
    at[2.0].write_bytes(content[:-4] + b"\0\0\0\0")  # of the right size
    latest = local.latest()
    assert (step_of(latest), best_of(latest)) == (1, 1)
    assert "cannot be used: its checksum" in caplog.text
    save(local, make_state(3, best=2))
    assert best_of(local.latest()) == 2
    at[2.0].unlink()
    assert step_of(local.latest()) == 1


def best_of_file(path):
    return float(np.frombuffer(path.read_bytes()[-4:], "float32")[0])


def test_a_checkpoint_of_another_training_is_refused(local, tmp_path, caplog):
    save(local, make_state(1))
    (path,) = files(tmp_path)
    content = encode("another", {"a": np.zeros(2, "float32")}, {})
    path.with_name(f"state-000002-{content.digest}.safetensors").write_bytes(b"".join(content.parts))
    assert step_of(local.latest()) == 1
    assert "it belongs to another training, 'another'" in caplog.text


def test_a_hostile_header_is_refused_whatever_its_checksum_says(local, tmp_path, caplog):
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    metadata = {"key": KEY, "facts": "{}"}
    headers = [
        {"__metadata__": metadata, "a": {**entry, "dtype": "O"}},
        {"__metadata__": metadata, "a": {**entry, "dtype": "F8_E4M3", "shape": [8]}},
        {"__metadata__": metadata, "a": {**entry, "shape": [2**39, 2**39]}},
        {"__metadata__": metadata, "a": {**entry, "shape": [0, 2**39, 2**39]}},
        {"__metadata__": metadata, "a": {**entry, "shape": [0, 2**39, 2**39], "data_offsets": [0, 0]}},
        {"__metadata__": metadata, "a": {**entry, "shape": [-2]}},
        {"__metadata__": metadata, "a": {**entry, "shape": [1]}},
        {"__metadata__": metadata, "a": {**entry, "data_offsets": [8, 16]}},
        {"__metadata__": metadata, "a": entry, "b": entry},
        {"__metadata__": {"key": "another", "facts": "{}"}, "a": entry},
        {"__metadata__": {"key": KEY}, "a": entry},
        {"__metadata__": {"key": KEY, "facts": "[" * 100_000}, "a": entry},
        {"__metadata__": {"key": KEY, "facts": "7"}, "a": entry},
        {"a": entry},
        [],
    ]
    folder = tmp_path / "checkpoints" / FOLDER / KEY
    folder.mkdir(parents=True)
    texts = [json.dumps(header).encode() for header in headers] + [b"[" * 100_000, b"\xff", b""]
    bodies = [len(text).to_bytes(8, "little") + text + bytes(8) for text in texts]
    for body in [*bodies, (2**63).to_bytes(8, "little") + bytes(8)]:
        path = folder / f"state-000001-{xxhash.xxh3_128_hexdigest(body)}.safetensors"
        path.write_bytes(body)
        caplog.clear()
        assert local.latest() is None, body[:80]
        assert f"skipping the checkpoint {path.name}" in caplog.text
        path.unlink()


def test_other_programs_read_checkpoints(local, tmp_path):
    save(local, make_state(7))
    with safe_open(files(tmp_path)[0], framework="np") as opened:
        assert opened.metadata() == {"key": KEY, "facts": '{"step": 7}'}
        assert (opened.get_tensor("kernel") == 7).all()
        assert list(opened.get_tensor("seed")) == [7, 1]


def test_checkpoints_of_the_former_format_are_ignored_with_one_line_and_replaced(local, tmp_path, caplog):
    folder = tmp_path / "checkpoints" / FOLDER / KEY
    folder.mkdir(parents=True)
    digest = "0123456789abcdef" * 2
    former = [folder / name for name in ("state-000009.tpck", f"state-000010-{digest}.tpck", f"best-{digest}.tpck")]
    for path in former:
        path.write_bytes(b"TPCKPT01")
    assert local.latest() is None
    assert len(caplog.records) == 1
    assert "have the former format of tilepipe" in caplog.text
    save(local, make_state(1))
    assert step_of(local.latest()) == 1
    assert not set(files(tmp_path)) & set(former)

"""Checkpoints that are damaged, or made to do harm: passed over, said, and never lost silently."""

import json

import numpy as np
import pytest
import xxhash

from tests.support.checkpoints import KEY, best_of, files, make_state, save, step_of
from tilepipe.components.train.checkpoints.checkpoints import Checkpoints


@pytest.fixture
def local(tmp_path):
    with Checkpoints(str(tmp_path / "checkpoints"), KEY) as checkpoints:
        yield checkpoints


@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped", "longer", "other", "text"])
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
        "other": next((tmp_path / "elsewhere").rglob("*.tpck")).read_bytes(),
        "text": b"TPCKPT02" + content[8:],
    }[damage]
    newest.write_bytes(damaged)
    with Checkpoints(str(tmp_path / "checkpoints"), KEY) as again:
        assert step_of(again.latest()) == 1
        assert f"{newest.name} at" in caplog.text
        save(again, make_state(3, best=1))
        assert first in files(tmp_path)  # the damaged one does not count among those that are kept
        assert newest not in files(tmp_path)
        assert step_of(again.latest()) == 3


def test_where_all_are_damaged_it_is_said_that_the_training_begins_anew(local, tmp_path, caplog):
    save(local, make_state(1), make_state(2))
    for path in files(tmp_path):
        path.write_bytes(path.read_bytes()[:50])
    assert local.latest() is None
    assert caplog.text.count("skipping the checkpoint") == 2
    assert "the training starts over" in caplog.text
    save(local, make_state(3))
    assert [path.name for path in files(tmp_path)] == ["state-000003.tpck"]


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


def test_a_hostile_header_is_refused_whatever_its_checksum_says(local, tmp_path, caplog):
    save(local, make_state(1))
    (path,) = files(tmp_path)
    entry = {"name": "a", "dtype": "float32", "shape": [2]}
    headers = [
        {"key": KEY, "arrays": [{**entry, "dtype": "O"}], "facts": {}},
        {"key": KEY, "arrays": [{**entry, "shape": [2**39, 2**39]}], "facts": {}},
        {"key": KEY, "arrays": [{**entry, "shape": [0, 2**39, 2**39]}], "facts": {}},
        {"key": KEY, "arrays": [{**entry, "shape": [-2]}], "facts": {}},
        {"key": KEY, "arrays": [entry, entry], "facts": {}},
        {"key": KEY, "arrays": [{**entry, "shape": [1]}], "facts": {}},
        {"key": "another", "arrays": [entry], "facts": {}},
        {"key": KEY, "arrays": [entry], "facts": {}, "more": 1},
        [],
    ]
    texts = [json.dumps(header).encode() for header in headers] + [b"[" * 100_000, b"\xff", b""]
    for text in texts:
        body = len(text).to_bytes(4, "little") + text + bytes(8)
        path.write_bytes(b"TPCKPT01" + xxhash.xxh3_128_digest(body) + body)
        caplog.clear()
        assert local.latest() is None, text[:80]
        assert "skipping the checkpoint" in caplog.text
    body = (2**31).to_bytes(4, "little") + bytes(8)
    path.write_bytes(b"TPCKPT01" + xxhash.xxh3_128_digest(body) + body)
    assert local.latest() is None

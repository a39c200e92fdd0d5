"""Checkpoints are complete or skipped: real kills, a real S3 that becomes unreachable, real damage."""

import contextlib
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import ml_dtypes
import numpy as np
import pytest

from tests.support.checkpoints import KEY, best_of, files, make_state, save, step_of
from tests.support.minio_server import own_server
from tests.support.s3_stores import STORES
from tests.support.small_disk import small_disk
from tilepipe.components.shared.errors import ParameterError, StorageError
from tilepipe.components.shared.storage import s3, storage
from tilepipe.components.train.checkpoints.checkpoints import Checkpoints
from tilepipe.components.train.checkpoints.file import State

ROOT = Path(__file__).parents[3]
ALL_DTYPES = ["bool", "int8", "int64", "uint8", "uint32", "float16", "float32", "float64", ml_dtypes.bfloat16]


@pytest.fixture(params=["folder", *STORES])
def location(request, tmp_path):
    if request.param == "folder":
        return str(tmp_path / "checkpoints")
    server = request.getfixturevalue("s3_servers")(request.param)
    server.use(request.getfixturevalue("monkeypatch"))
    return f"s3://{server.make_bucket(f'train-{uuid.uuid4().hex[:8]}').name}/some/prefix"


def names(location):
    if not storage.is_remote(location) and not Path(location).exists():
        return []
    return sorted(file.name for file in storage.list_files(storage.normalize(location)))


@pytest.fixture
def local(tmp_path):
    with Checkpoints(str(tmp_path / "checkpoints"), KEY) as checkpoints:
        yield checkpoints


def test_all_comes_back_to_the_bit(location):
    random = np.random.default_rng(3)
    arrays = {f"a/{dtype}": random.integers(0, 2, (3, 2)).astype(dtype) for dtype in ALL_DTYPES}
    arrays["nan"] = np.float32([np.nan, -0.0, np.inf, np.nextafter(np.float32(1), np.float32(2))])
    arrays |= {"scalar": np.array(7, "int64"), "none": np.zeros((0, 3), "float32"), "": np.ones((1, 1, 1))}
    arrays |= {"turned": np.asfortranarray(random.random((4, 5))), "swapped": np.arange(3, dtype=">i4")}
    expected = {name: array.copy() for name, array in arrays.items()}
    facts = {"epoch": 3, "loss": 0.1 + 0.2, "not": float("inf"), "history": [{"näme": None, "ok": True}]}
    with Checkpoints(location, KEY) as checkpoints:
        checkpoints.check()
        assert checkpoints.latest() is None
        save(checkpoints, State(arrays, {"w": np.ones(3, ml_dtypes.bfloat16)}, facts))
    state = Checkpoints(location, KEY).latest()
    assert state.facts == facts
    assert state.best["w"].dtype == ml_dtypes.bfloat16
    assert list(state.arrays) == list(arrays)
    for name, array in expected.items():
        assert state.arrays[name].dtype == array.dtype.newbyteorder("=")
        assert state.arrays[name].shape == array.shape
        assert state.arrays[name].tobytes() == array.astype(array.dtype.newbyteorder("=")).tobytes()


def test_the_last_two_are_kept_and_the_best_is_written_once(location):
    with Checkpoints(location, KEY) as checkpoints:
        save(checkpoints, State({}, {}, {"run": "abc"}))
        assert checkpoints.latest().facts == {"run": "abc"}
        save(checkpoints, make_state(1, best=1), make_state(2, best=1))
        at = {name: written for name, written in written_at(location).items() if "/best-" in name}
        assert len(at) == 1
        save(checkpoints, make_state(3, best=1))
        assert {name: written for name, written in written_at(location).items() if "/best-" in name} == at
        assert [name.split("/")[-1][:12] for name in names(location) if "/state-" in name] == [
            "state-000003",
            "state-000004",
        ]
        save(checkpoints, make_state(4, best=4), make_state(5, best=4))
        assert len([name for name in names(location) if "/best-" in name]) == 1
    latest = Checkpoints(location, KEY).latest()
    assert (step_of(latest), best_of(latest)) == (5, 4)


def written_at(location):
    if not storage.is_remote(location):
        return {str(path): path.stat().st_mtime_ns for path in Path(location).rglob("*.safetensors")}
    import boto3

    bucket = boto3.resource("s3").Bucket(urlsplit(location).netloc)
    return {entry.key: entry.last_modified for entry in bucket.objects.all()}


def test_nothing_is_left_once_it_is_removed(location, tmp_path):
    with Checkpoints(location, "another") as other, Checkpoints(location, KEY) as checkpoints:
        save(other, make_state(9))
        checkpoints.check(1000)
        save(checkpoints, make_state(1, best=1), make_state(2, best=2))
        checkpoints.remove()
        assert checkpoints.latest() is None
        assert all("/another/" in name for name in names(location))
        assert step_of(other.latest()) == 9
        other.remove()
    assert names(location) == []
    if not storage.is_remote(location):
        assert list(Path(location).iterdir()) == []


def test_only_what_is_ours_is_removed(local, tmp_path):
    save(local, make_state(1))
    stranger = files(tmp_path)[0].with_name("state-000001.safetensors.bak")
    stranger.write_text("mine")
    local.remove()
    assert files(tmp_path) == [stranger]


def test_what_is_saved_is_what_was_there_then(local):
    values, facts = np.zeros(50), {"steps": [1]}
    local.save(State({"view": values[10:20], "own": np.ones(3)}, {}, facts))
    values += 5  # a view of memory that changes later is copied
    facts["steps"].append(2)
    assert local.wait(30)
    latest = local.latest()
    assert (latest.arrays["view"] == 0).all()
    assert latest.facts == {"steps": [1]}
    own = np.ones(3)
    local.save(State({"own": own}))
    with pytest.raises(ValueError, match="read-only"):
        own += 1


def test_a_newer_state_takes_the_place_of_the_one_that_waits(local, tmp_path):
    local.save(make_state(1, size=15_000_000))  # 60 MB: writing it takes much longer than queuing the others
    began = time.monotonic()
    for step in range(2, 40):
        local.save(make_state(step))
    assert time.monotonic() - began < 1  # no call waits for the disk
    assert not local.wait(0)
    assert local.wait(60)
    assert step_of(local.latest()) == 39
    assert int(files(tmp_path)[-1].name[6:12]) < 39  # each one that was written would have a number


def test_closing_writes_what_waits_and_ends_the_thread(tmp_path):
    with Checkpoints(str(tmp_path), KEY) as checkpoints:
        checkpoints.save(make_state(1, size=1_000_000))
        checkpoints.save(make_state(2))
    assert not [thread for thread in threading.enumerate() if thread.name == "tilepipe-checkpoints"]
    assert step_of(checkpoints.latest()) == 2


def test_what_no_checkpoint_holds_is_an_error_at_once(local):
    with pytest.raises(ParameterError, match=r"must be one of bool, .*Received: object for names"):
        local.save(State({"names": np.array(["a", None], object)}))
    with pytest.raises(TypeError):
        local.save(State({}, {}, {"path": Path()}))


KILLED = """
import os, signal, sys, time
import numpy as np
from tilepipe.components.train.checkpoints.checkpoints import Checkpoints, State

def write(location, out):
    checkpoints = Checkpoints(location, "killed")
    latest = checkpoints.latest()
    step = latest.facts["step"] if latest else 0
    while True:
        step += 1
        arrays = {"kernel": np.full(50_000, step, "float32"), "seed": np.uint32([step, 1])}
        checkpoints.save(State(arrays, {"kernel": np.full(20_000, step // 3, "float32")}, {"step": step}))
        if step % 2 and checkpoints.wait():
            os.write(out, step.to_bytes(8, "little"))

location, rounds = sys.argv[1], int(sys.argv[2])
reached = 0
for number in range(rounds):
    reading, writing = os.pipe()
    if not (child := os.fork()):
        write(location, writing)
    os.close(writing)
    promised = int.from_bytes(os.read(reading, 8), "little")  # it has begun
    time.sleep(0.15 * number / rounds)  # another moment of the writing in each round
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while more := os.read(reading, 8):
        promised = int.from_bytes(more, "little")
    state = Checkpoints(location, "killed").latest()
    step = state.facts["step"]
    assert step >= promised > reached, (step, promised, reached)
    assert (state.arrays["kernel"] == step).all() and list(state.arrays["seed"]) == [step, 1]
    assert (state.best["kernel"] == step // 3).all()
    reached = step
checkpoints = Checkpoints(location, "killed")
checkpoints.check()
print(*sorted(os.listdir(checkpoints._store._place._address)))
checkpoints.remove()
"""


def test_killed_at_any_moment_the_newest_one_is_whole(tmp_path):
    command = [sys.executable, "-W", "error", "-c", KILLED, str(tmp_path / "checkpoints"), "25"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "skipping the checkpoint" not in done.stderr
    left = done.stdout.split()
    # Two, and one more if the kill came between a write and the removal of the oldest one.
    assert len([name for name in left if name.startswith("state-")]) in {2, 3}
    assert all(name.startswith(("state-", "best-")) for name in left)  # no incomplete file remains
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_a_store_that_goes_away_and_comes_back(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(s3, "MAX_RETRIES", 3)
    data = tmp_path / "minio"
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(own_server(data))
        port = urlsplit(server.endpoint).port
        server.use(monkeypatch)
        server.make_bucket("train-away")
        checkpoints = stack.enter_context(Checkpoints("s3://train-away", KEY))
        checkpoints.check()
        save(checkpoints, make_state(1, best=1))
    checkpoints.save(make_state(2, best=2))
    assert not checkpoints.wait(60)
    assert caplog.text.count("could not be written") == 1
    assert server.secret_key not in caplog.text
    with pytest.raises(StorageError, match="must be readable to resume the training"):
        checkpoints.latest()
    checkpoints.save(make_state(3, best=3))  # it comes back while this one is tried again
    with own_server(data, port):
        if not checkpoints.wait(60):
            save(checkpoints, make_state(3, best=3))
        latest = checkpoints.latest()
        assert (step_of(latest), best_of(latest)) == (3, 3)
        save(checkpoints, make_state(4, best=3))
        assert step_of(checkpoints.latest()) == 4
    checkpoints.remove()  # the store is unreachable again: only a warning, since the training has succeeded
    assert "could not be deleted" in caplog.text


def test_a_full_disk_is_reported_at_the_start_and_never_ends_the_training(tmp_path, caplog):
    disk = tmp_path / "disk"
    with small_disk(disk, 1024):
        checkpoints = Checkpoints(str(disk), KEY)
        checkpoints.check(state_bytes=300_000)
        with pytest.raises(StorageError, match=r"room for 3 checkpoints, 1 MiB\. Received.*which has 1 MiB"):
            checkpoints.check(state_bytes=400_000)
        save(checkpoints, make_state(1))
        checkpoints.save(make_state(2, size=500_000))
        assert not checkpoints.wait(30)
        assert "could not be written" in caplog.text
        assert "No space left on device" in caplog.text
        save(checkpoints, make_state(3))
        assert step_of(checkpoints.latest()) == 3
        assert not list(disk.rglob(".partial-*"))
        with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(4096))
        with pytest.raises(StorageError, match=r"must be writable.*No space left on device"):
            Checkpoints(str(disk), KEY).check()
        checkpoints.close()


def test_an_unwritable_place_is_reported_at_the_start(tmp_path, minio_server, monkeypatch):
    disk = tmp_path / "disk"
    with small_disk(disk, 1024):
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        with pytest.raises(StorageError, match=r"must be writable.*[Rr]ead-only"):
            Checkpoints(str(disk / "below"), KEY).check()


def test_an_invalid_address_is_reported_at_the_start(tmp_path, minio_server, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"must be writable.*Not a directory"):
        Checkpoints(str(tmp_path / "file"), KEY).check()
    minio_server.use(monkeypatch)
    with pytest.raises(StorageError, match=r"must be writable.*NoSuchBucket"):
        Checkpoints("s3://no-such-bucket-here/x", KEY).check()
    for location in ("https://example.com/x", "gs://bucket", "s3://B"):
        with pytest.raises(ParameterError, match="`checkpoint_uri` must be a local folder or s3://"):
            Checkpoints(location, KEY)
    for key in ("", "..", "a/b", "../a", "x" * 200):
        with pytest.raises(ParameterError, match="key must consist of letters"):
            Checkpoints(str(tmp_path), key)

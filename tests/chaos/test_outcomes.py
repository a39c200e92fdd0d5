"""The judgement of `make chaos` itself: it must notice what it looks for."""

import os
import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.chaos import outcomes, soak
from tests.chaos.__main__ import ROOT
from tests.chaos.outcomes import ERROR, HANG, LOST, SAME, WRONG, Outcome, judge
from tests.chaos.steps import Ended, digests, signal_after
from tests.support.faulty_proxy import FaultyProxy
from tests.support.loopback_server import LoopbackServer, QuietHandler

LINE = "2026-01-01 00:00:00,000 ERROR tilepipe.merge: A manifest must be whole. Received: half of it.\n"


@pytest.fixture
def outputs(tmp_path):
    """A folder with the outputs of merge, and their digests."""
    for name in ("manifest.json", "all_quarantine.parquet"):
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path, digests(tmp_path, "merge")


def judged(outputs, code, log="", **more):
    return judge(Ended(code, log, 1.0), outputs[0], "merge", outputs[1], **more)[0]


def test_ends_with_all_outputs(outputs):
    assert judged(outputs, 0) == SAME
    assert judged(outputs, 2, LINE) == ERROR
    assert judged(outputs, -9, was_killed=True) == SAME
    assert judged(outputs, None) == HANG


def test_another_or_no_output_is_wrong(outputs):
    (outputs[0] / "manifest.json").write_bytes(b"other")
    assert judged(outputs, 0) == WRONG
    assert judged(outputs, 2, LINE) == LOST
    assert judged(outputs, -9, was_killed=True) == LOST
    (outputs[0] / "manifest.json").unlink()
    assert judged(outputs, 0) == WRONG
    assert judged(outputs, 2, LINE) == ERROR


@pytest.mark.parametrize(
    ("code", "log"), [(1, LINE), (2, ""), (2, LINE + LINE), (2, LINE + "Traceback (most recent call last):"), (-11, "")]
)
def test_an_end_without_one_clear_error_is_lost(outputs, code, log):
    assert judged(outputs, code, log) == LOST


def test_outcomes_are_resumed_for_the_same_code_only(tmp_path):
    found = {("a.kill", 0): Outcome("a.kill", 0, SAME, 1.0), ("b.kill", 1): Outcome("b.kill", 1, WRONG, 2.0, "x", 3)}
    outcomes.write(tmp_path / "build" / "chaos.json", "one", found)
    assert outcomes.read(tmp_path / "build" / "chaos.json", "one") == found
    assert outcomes.read(tmp_path / "build" / "chaos.json", "two") == {}
    assert outcomes.bad(found) == [found["b.kill", 1]]
    _, first, second = outcomes.table(found).splitlines()
    assert first.split() == ["a.kill", "1", "1", "0", "0", "0", "0", "1"]
    assert second.split() == ["b.kill", "3", "0", "0", "1", "0", "0", "2"]


@pytest.fixture
def site():
    class Handler(QuietHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(bytes(1000))

    with LoopbackServer(Handler) as server:
        yield server.url


def test_the_proxy_breaks_what_it_should(site):
    def get(fault, **settings):
        proxy = FaultyProxy(site, fault, share=1, **settings)
        with proxy, urllib.request.urlopen(proxy.address, timeout=10) as answer:
            return answer.read()

    assert get("reset", most=0) == get("reset", after=1) == get("reset", methods=("HEAD",)) == bytes(1000)
    assert sum(get("flip")) == 0x10
    assert len(get("slow")) == 1000
    for fault, error in (("reset", ConnectionError), ("truncate", Exception)):
        with pytest.raises(error):
            get(fault)
    for fault, status in (("slowdown", 503), ("error", 500), ("early", 503)):
        with pytest.raises(urllib.error.HTTPError) as raised:
            get(fault)
        assert raised.value.code == status
        raised.value.close()


def test_every_fault_is_registered_with_its_name():
    from tests.chaos import cuts, faults, registry, servers

    assert cuts.MOST
    assert registry.STEPS
    assert servers.stac_fails
    assert {"s3.reset", "pack.disk", "shard.cut", "model.flip", "stac.reset", "mlflow.away"} <= set(faults.FAULTS)
    steps = {path.parent.name for path in (ROOT / "components").glob("*/component.py")} - {"snapshot", "propose"}
    assert {step for step in steps if f"{step}.kill" not in faults.FAULTS} == set(), "the others write no files"
    assert all(name.count(".") == 1 for name in faults.FAULTS)
    assert callable(signal_after(1, 9))


def test_a_soak_notices_what_grows():
    def samples(**growing):
        held = {"connections": 4, "threads": 20, "files": 30, "mebibytes": 500.0}
        return [
            soak.Sample(
                10 * number, number, **{name: value + number * growing.get(name, 0) for name, value in held.items()}
            )
            for number in range(40)
        ]

    assert soak.leaks(samples()) == []
    assert soak.leaks(samples(connections=0.05, mebibytes=0.5)) == []
    for name, each in (("connections", 1), ("threads", 1), ("files", 1), ("mebibytes", 5)):
        (found,) = soak.leaks(samples(**{name: each}))
        assert found.startswith(f"{name}: ")
    assert len(soak.table("train", samples()).splitlines()) == 9
    mine = soak.sample(os.getpid(), 0, 0)
    with socket.socket(), Path(os.devnull).open("rb"):
        more = soak.sample(os.getpid(), 1, 0)
    assert (more.connections, more.files) == (mine.connections + 1, mine.files + 2)
    assert min(more.threads, more.mebibytes) >= 1

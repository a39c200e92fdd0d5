"""Promotions of one model at the same time: threads and processes against a real MLflow server."""

import json
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.registry import register_version
from tilepipe.components.promote import promote as promoting
from tilepipe.components.promote.claim import CLAIM, Turn, claimed, claims
from tilepipe.components.promote.config import PromoteConfig
from tilepipe.components.shared.errors import PromotionError
from tilepipe.components.shared.registry.promotions import read_state
from tilepipe.components.shared.tracking import tracking

ROUNDS = 4
CONTENDER = """
import json, os, sys, time
from pathlib import Path
from tilepipe.components.promote import promote as promoting
from tilepipe.components.promote.config import PromoteConfig
from tilepipe.components.shared.errors import PromotionError

folder, index, versions = Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
check = promoting.check_bundle

def meet(label):
    (folder / f"{label}-{index}").touch()
    while not (folder / f"{label}-{1 - index}").exists():
        time.sleep(0.01)

for number, pair in enumerate(versions):
    promoting.check_bundle = lambda *arguments: (check(*arguments), meet(f"begun-{number}"))
    config = PromoteConfig(name="contended", version=str(pair[index]), override=True, reason="a race")
    try:
        print("won", promoting.promote(config).sequence, flush=True)
    except PromotionError as error:
        print("lost", error, flush=True)
    meet(f"ended-{number}")
"""

NAME = "contended"  # other tests promote the versions of another model on the same server


@pytest.fixture(scope="module")
def server(mlflow_server):
    """Client of a real MLflow server that `MLFLOW_TRACKING_URI` names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
        yield tracking.client()


@pytest.fixture(scope="module")
def versions(server, tmp_path_factory):
    """Numbers of four versions, of which the first is champion."""
    numbers = [register_version(server, tmp_path_factory.mktemp("bundles"), name=NAME) for _ in range(4)]
    promoting.promote(PromoteConfig(name=NAME, version=str(numbers[0]), override=True, reason="the first"))
    return numbers


def open_claims(client):
    return claims(read_state(client, NAME).tags)


def test_of_threads_exactly_one_wins_each_time(server, versions, monkeypatch):
    check, barrier = promoting.check_bundle, threading.Barrier(3, timeout=120)  # broken if one of them fails before

    def wait_for_the_others(*arguments):
        check(*arguments)
        barrier.wait()

    def contend(number, outcomes):
        try:
            config = PromoteConfig(name=NAME, version=str(number), override=True, reason="a race")
            outcomes[number] = promoting.promote(config)
        except PromotionError as error:
            outcomes[number] = str(error)

    monkeypatch.setattr(promoting, "check_bundle", wait_for_the_others)
    for _ in range(ROUNDS):
        before, outcomes = read_state(server, NAME), {}
        wanted = [number for number in versions if number != before.champion]
        threads = [threading.Thread(target=contend, args=(number, outcomes)) for number in wanted]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (winner,) = [entry for entry in outcomes.values() if not isinstance(entry, str)]
        after = read_state(server, NAME)
        assert (after.champion, after.sequence) == (winner.to_version, before.sequence + 1)
        assert after.promotions == (*before.promotions, winner)
        losers = [text for text in outcomes.values() if isinstance(text, str)]
        assert [("Nothing was changed" in text, "Received:" in text) for text in losers] == [(True, True)] * 2
        assert open_claims(server) == {}


def test_of_processes_exactly_one_wins_each_time(server, versions, tmp_path):
    before = read_state(server, NAME)
    # Neither of two candidates may be champion already, whoever won the round before.
    others = [number for number in versions if number != before.champion]
    pairs = [others[:2] if round_ == 0 else [others[2], before.champion] for round_ in (0, 1)] * (ROUNDS // 2)
    command = [sys.executable, "-W", "ignore", "-c", CONTENDER, str(tmp_path)]
    running = [
        subprocess.Popen(
            [*command, str(index), json.dumps(pairs)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for index in (0, 1)
    ]
    try:
        outputs = [process.communicate(timeout=300) for process in running]
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0, 0], outputs
    outcomes = [[line for line in out.splitlines() if line.startswith(("won", "lost"))] for out, _ in outputs]
    for one, other in zip(*outcomes, strict=True):
        assert sorted([one.split()[0], other.split()[0]]) == ["lost", "won"], (one, other)
    after = read_state(server, NAME)
    assert len(outcomes[0]) == after.sequence - before.sequence == ROUNDS
    assert after.champion == after.promotions[-1].to_version
    assert open_claims(server) == {}


def claim(client, token, **age):
    began = datetime.now(UTC) - timedelta(**age)
    client.set_registered_model_tag(NAME, f"{CLAIM}{token}", json.dumps({"who": "ann@lab", "at": began.isoformat()}))


@pytest.mark.parametrize("token", ["0", "z"])  # below and above any token: one is withdrawn, one waits in vain
def test_a_promotion_under_way_is_named(server, versions, token):
    claim(server, token)
    with (
        pytest.raises(PromotionError, match="Received: that of ann@lab, begun at 20"),
        claimed(server, NAME, "me", wait_seconds=0.3),
    ):
        pass
    assert list(open_claims(server)) == [token]
    server.delete_registered_model_tag(NAME, f"{CLAIM}{token}")


@pytest.mark.parametrize("value", ["", "[]", '{"at": "2026-01-01T00:00:00+00:00"}', '{"at": "2026-01-01"}'])
def test_an_abandoned_claim_no_longer_counts(server, versions, value):
    server.set_registered_model_tag(NAME, f"{CLAIM}0", value)
    with claimed(server, NAME, "me"):
        assert [found["who"] for found in open_claims(server).values()] == ["me"]
    assert open_claims(server) == {}


def test_the_claim_ends_with_an_error(server, versions):
    with pytest.raises(ZeroDivisionError), claimed(server, NAME, "me"):
        raise ZeroDivisionError
    assert open_claims(server) == {}


def test_a_suspended_promotion_stops():
    Turn(NAME, time.time() - 100).check()
    with pytest.raises(PromotionError, match=r"within 120 seconds, after which another may begin. Received: 130"):
        Turn(NAME, time.time() - 130).check()

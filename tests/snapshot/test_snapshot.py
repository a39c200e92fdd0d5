"""The time as of which a run reads its source."""

import pytest

from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.snapshot.config import SnapshotConfig
from tilepipe.components.snapshot.snapshot import choose_snapshot, triggered_at


def test_what_the_user_gives_wins():
    assert choose_snapshot(SnapshotConfig(snapshot="2026-05-01T12:00:00Z")) == "2026-05-01T12:00:00Z"


def test_none_outside_of_a_cluster(monkeypatch):
    monkeypatch.delenv("KFP_WORKFLOW_NAME", raising=False)
    assert choose_snapshot(SnapshotConfig()) == ""


def test_a_one_off_run_has_none_and_a_recurring_one_the_time_it_was_triggered():
    metadata = {"creationTimestamp": "2026-11-21T21:45:22Z", "labels": {"pipeline/runid": "1"}}
    assert triggered_at({"metadata": metadata}) == ""
    label = {"scheduledworkflows.kubeflow.org/isOwnedByScheduledWorkflow": "true"}
    assert triggered_at({"metadata": {**metadata, "labels": label}}) == "2026-11-21T21:45:22Z"
    owners = [{"kind": "ScheduledWorkflow"}]
    assert triggered_at({"metadata": {**metadata, "ownerReferences": owners}}) == "2026-11-21T21:45:22Z"


@pytest.mark.parametrize("value", ["[[ScheduledTime]]", "[[CurrentTime.2006-01-02T15:04:05Z]]", "yesterday"])
def test_unfilled_macros_and_nonsense_are_refused(value):
    with pytest.raises(ParameterError, match="Received: snapshot="):
        SnapshotConfig.parse(snapshot=value)

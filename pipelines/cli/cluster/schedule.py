"""Recurring runs by name: create, change, pause and delete.

KFP's API has no update. A change first creates the new recurring run, paused, so that KFP validates it while the old
one is still active. It then pauses the old one, reads when it last started a run, starts the new one from that time,
and deletes the old one. With the same trigger, the new one starts exactly the runs that the old one would have started:
no run is missed, and none starts twice.
"""

import datetime
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from tilepipe.components.shared.errors import ClusterError, ParameterError
from tilepipe.pipelines.cli.cluster import cron as crontab
from tilepipe.pipelines.cli.cluster.endpoint import Kubeflow
from tilepipe.pipelines.cli.cluster.submit import DEFAULT_EXPERIMENT, find_experiment
from tilepipe.pipelines.cli.cluster.upload import content_digest, digest_of, find, version_names
from tilepipe.pipelines.cli.compilation.compiled_pipeline import CompiledPipeline

_SETTLE_SECONDS = 2.0
"""Wait for a run that KFP's scheduler may have been starting when the recurring run was paused."""

_AT_ONCE = "1"


@dataclass(frozen=True)
class Trigger:
    """Trigger of a recurring run: a cron expression or an interval.

    Args:
        cron: six fields, in the time zone of KFP's scheduler (CRON_SCHEDULE_TIMEZONE; default: UTC).
        interval_seconds: time between two runs.
    """

    cron: str = ""
    interval_seconds: int = 0

    @classmethod
    def of(cls, cron: str, every_minutes: int | None) -> Self:
        """Create a trigger from the options of the command line.

        Raises:
            ParameterError: neither or both were given, or the expression is invalid.
        """
        if bool(cron) == bool(every_minutes):
            raise ParameterError(
                "A recurring run takes either --cron or --every-minutes. "
                f"Received: --cron {cron!r}, --every-minutes {every_minutes}. Give exactly one."
            )
        return cls(cron=crontab.normalize(cron)) if cron else cls(interval_seconds=(every_minutes or 0) * 60)

    def __str__(self) -> str:
        return f"cron {self.cron}" if self.cron else f"every {self.interval_seconds / 60:g} minutes"


@dataclass(frozen=True)
class Wanted:
    """Desired state of a recurring run."""

    name: str
    pipeline_id: str
    trigger: Trigger
    arguments: Mapping[str, Any]
    catchup: bool = False
    experiment: str = DEFAULT_EXPERIMENT
    service_account: str = ""


@dataclass(frozen=True)
class RecurringRun:
    """A recurring run on the server."""

    recurring_run_id: str
    name: str
    pipeline_id: str
    version_id: str
    trigger: Trigger
    arguments: Mapping[str, Any]
    catchup: bool
    experiment_id: str
    enabled: bool
    begins: datetime.datetime
    """Start of its schedule: its start time, else its creation time."""
    service_account: str = ""

    def differs_from(self, wanted: Wanted, experiment_id: str) -> list[str]:
        """List the differences from `wanted`; empty if there are none."""
        changes = []
        if self.trigger != wanted.trigger:
            changes.append(f"{self.trigger} -> {wanted.trigger}")
        if self.pipeline_id != wanted.pipeline_id:
            changes.append("another pipeline")  # the ids mean nothing to the user
        if self.version_id:
            changes.append("follows the newest version")
        for key in sorted({*self.arguments, *wanted.arguments}):
            before, after = self.arguments.get(key), wanted.arguments.get(key)
            if before != after:
                changes.append(f"{key}: {_shown(before)} -> {_shown(after)}")
        if self.catchup != wanted.catchup:
            changes.append(f"catchup: {self.catchup} -> {wanted.catchup}")
        if self.experiment_id != experiment_id:
            changes.append(f"experiment {wanted.experiment}")
        # The server names its own default, so that only an explicit account can differ.
        if wanted.service_account not in {"", self.service_account}:
            changes.append(f"service account {wanted.service_account}")
        return changes


def put(kubeflow: Kubeflow, wanted: Wanted) -> str:
    """Create a recurring run, or change the one of that name.

    Returns:
        A line that describes what was done.

    Raises:
        ClusterError: KFP refuses; the old one, if any, stays active.
    """
    experiment_id = find_experiment(kubeflow, wanted.experiment)
    old = [run for run in recurring_runs(kubeflow) if run.name == wanted.name]
    if not old:
        _create(kubeflow, wanted, experiment_id, enabled=True)
        return f"{wanted.name}: created, {wanted.trigger}"
    changes = old[0].differs_from(wanted, experiment_id)
    if not changes and len(old) == 1:
        return f"{wanted.name}: unchanged, {wanted.trigger}{'' if old[0].enabled else ', paused'}"
    enabled = any(run.enabled for run in old)
    _replace(kubeflow, old, wanted, experiment_id, enabled=enabled)
    paused = "" if enabled else "; it stays paused (--resume)"
    return f"{wanted.name}: changed ({'; '.join(changes) or 'several of that name merged'}){paused}"


def pause(kubeflow: Kubeflow, name: str) -> str:
    """Pause a recurring run; runs that have started continue."""
    for run in _existing(kubeflow, name):
        _disable(kubeflow, run)
    return f"{name}: paused (--resume resumes it)"


def resume(kubeflow: Kubeflow, name: str) -> str:
    """Resume a paused recurring run.

    KFP would immediately start a run that was missed during the pause, even without catchup. Therefore, unless catchup
    is on, the recurring run is replaced by one whose schedule starts now.
    """
    runs = _existing(kubeflow, name)
    if any(run.enabled for run in runs):
        return f"{name}: not paused"
    newest = runs[0]
    if newest.catchup or newest.version_id:
        kubeflow.call(
            kubeflow.client.recurring_runs.recurring_run_service_enable_recurring_run, newest.recurring_run_id
        )
    else:
        wanted = Wanted(
            name,
            newest.pipeline_id,
            newest.trigger,
            newest.arguments,
            service_account=newest.service_account,
        )
        _replace(kubeflow, runs, wanted, newest.experiment_id, enabled=True)
    return f"{name}: resumed, {newest.trigger}"


def delete(kubeflow: Kubeflow, name: str) -> str:
    """Delete a recurring run; the runs that it started are kept and continue."""
    for run in _existing(kubeflow, name):
        _delete(kubeflow, run)
    return f"{name}: deleted; its runs stay"


def recurring_runs(kubeflow: Kubeflow) -> list[RecurringRun]:
    """List all recurring runs, newest first."""
    method = kubeflow.client.recurring_runs.recurring_run_service_list_recurring_runs
    options = {"sort_by": "created_at desc", "namespace": kubeflow.api_namespace or ""}
    return [_read(run) for run in kubeflow.pages(method, "recurring_runs", **options)]


def uploaded(kubeflow: Kubeflow, pipeline: CompiledPipeline) -> str:
    """Return the id of an uploaded pipeline.

    Raises:
        ParameterError: it was not uploaded, or its newest version differs from the given one.
    """
    name = pipeline.kfp_name
    pipeline_id = find(kubeflow, name)
    newest = version_names(kubeflow, pipeline_id)[:1] if pipeline_id else []
    if not newest:
        raise ParameterError(
            f"A recurring run follows the newest version of an uploaded pipeline. Received: {name}, which is not "
            f"uploaded. Upload it: `tilepipe upload {pipeline.name}`."
        )
    digest = content_digest(pipeline.path.read_bytes())
    if digest_of(newest[0]) != digest:
        raise ParameterError(
            f"The uploaded pipeline must be the one that the parameters were checked against. Received: {name}, whose "
            f"newest version {newest[0]} is not {pipeline.path} ({digest}). First `tilepipe upload {pipeline.name}`."
        )
    return pipeline_id


def anchor(
    old: Sequence[RecurringRun], last_fired: datetime.datetime | None, trigger: Trigger
) -> datetime.datetime | None:
    """Return the start of a replacement's schedule.

    Args:
        old: the recurring runs that it replaces, newest first.
        last_fired: time at which they last started a run; None if never.
        trigger: trigger of the replacement.

    Returns:
        The start; None for the creation of the replacement. If the trigger is unchanged and the old schedule was
        active, the replacement also starts the runs that were due and not yet started.
    """
    working = [run for run in old if run.enabled]
    if not working or working[0].trigger != trigger:
        return None
    return max(filter(None, (last_fired, working[0].begins)))


def _replace(
    kubeflow: Kubeflow, old: Sequence[RecurringRun], wanted: Wanted, experiment_id: str, *, enabled: bool
) -> None:
    before = _last_fired(kubeflow, old)
    begins = anchor(old, before, wanted.trigger)
    new = _create(kubeflow, wanted, experiment_id, enabled=False, begins=begins)
    for run in old:
        _disable(kubeflow, run)
    if any(run.enabled for run in old):
        time.sleep(_SETTLE_SECONDS)
    after = _last_fired(kubeflow, old)
    if after != before:  # a run started in the meantime: the new one must not start another for the same time
        _delete(kubeflow, new)
        new = _create(kubeflow, wanted, experiment_id, enabled=False, begins=after)
    if enabled:
        kubeflow.call(kubeflow.client.recurring_runs.recurring_run_service_enable_recurring_run, new.recurring_run_id)
    for run in old:
        _delete(kubeflow, run)


def _create(
    kubeflow: Kubeflow,
    wanted: Wanted,
    experiment_id: str,
    *,
    enabled: bool,
    begins: datetime.datetime | None = None,
) -> RecurringRun:
    start = {"start_time": begins.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")} if begins else {}
    trigger = (
        {"cron_schedule": {"cron": wanted.trigger.cron, **start}}
        if wanted.trigger.cron
        else {"periodic_schedule": {"interval_second": str(wanted.trigger.interval_seconds), **start}}
    )
    body = {
        "display_name": wanted.name,
        "experiment_id": experiment_id,
        # Without a version: the newest counts at each start. Only so does KFP fill in `[[CurrentTime...]]`.
        "pipeline_version_reference": {"pipeline_id": wanted.pipeline_id},
        "runtime_config": {"parameters": dict(wanted.arguments)},
        "trigger": trigger,
        "mode": "ENABLE" if enabled else "DISABLE",
        "max_concurrency": _AT_ONCE,
        "no_catchup": not wanted.catchup,
        **({"service_account": wanted.service_account} if wanted.service_account else {}),
    }
    method = kubeflow.client.recurring_runs.recurring_run_service_create_recurring_run
    try:
        return _read(kubeflow.call(method, recurring_run=body))
    except ClusterError as error:
        _, refused, reason = str(error).partition("Schedule cron is not a supported format")
        if not refused:
            raise
        raise ParameterError(
            f"--cron must be a cron expression that KFP accepts. Received: {wanted.trigger.cron!r}: "
            f"{reason.partition('Error: ')[2]} Give {crontab.EXAMPLE}."
        ) from None


def _existing(kubeflow: Kubeflow, name: str) -> list[RecurringRun]:
    everything = recurring_runs(kubeflow)
    found = [run for run in everything if run.name == name]
    if not found:
        names = ", ".join(sorted({run.name for run in everything})) or "none"
        raise ParameterError(f"There must be a recurring run of that name. Received: {name}. There are: {names}.")
    return found


def _disable(kubeflow: Kubeflow, run: RecurringRun) -> None:
    kubeflow.call(kubeflow.client.recurring_runs.recurring_run_service_disable_recurring_run, run.recurring_run_id)


def _delete(kubeflow: Kubeflow, run: RecurringRun) -> None:
    # ORPHAN: the runs that it started belong to it, and would otherwise be deleted with it, even while they run.
    method = kubeflow.client.recurring_runs.recurring_run_service_delete_recurring_run
    kubeflow.call(method, run.recurring_run_id, propagation_policy="ORPHAN")


def _last_fired(kubeflow: Kubeflow, runs: Sequence[RecurringRun]) -> datetime.datetime | None:
    times = []
    for run in runs:
        predicate = {"key": "recurring_run_id", "operation": "EQUALS", "string_value": run.recurring_run_id}
        page = kubeflow.call(
            kubeflow.client.runs.run_service_list_runs,
            page_size=1,
            sort_by="created_at desc",
            filter=json.dumps({"predicates": [predicate]}),
            namespace=kubeflow.api_namespace or "",
        )
        times += [found.created_at for found in page.runs or []]
    return max(times, default=None)


def _read(run: Any) -> RecurringRun:  # noqa: ANN401 - generated model
    cron, periodic = run.trigger.cron_schedule, run.trigger.periodic_schedule
    schedule = cron or periodic
    reference = run.pipeline_version_reference
    return RecurringRun(
        recurring_run_id=run.recurring_run_id,
        name=run.display_name,
        pipeline_id=(reference and reference.pipeline_id) or "",
        version_id=(reference and reference.pipeline_version_id) or "",
        trigger=Trigger(cron=cron.cron) if cron else Trigger(interval_seconds=int(periodic.interval_second or 0)),
        arguments=dict((run.runtime_config and run.runtime_config.parameters) or {}),
        catchup=not run.no_catchup,
        experiment_id=run.experiment_id,
        enabled=run.status == "ENABLED" or (run.status is None and run.mode == "ENABLE"),
        begins=(schedule and schedule.start_time) or run.created_at,
        service_account=run.service_account or "",
    )


def _shown(value: object) -> str:
    return "default" if value is None else str(value)

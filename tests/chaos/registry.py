"""Kills of the steps that write to MLflow's registry, whose state must then be that of an undisturbed run."""

import json
import random
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.chaos.faults import KILLS, Result, fault
from tests.chaos.ground import Ground
from tests.chaos.outcomes import LOST, SAME, WRONG, judge
from tests.chaos.steps import Run, execute, signal_after

STEPS = ("register", "gate", "promote", "finish")
NAME = "chaos"
RUN = "chaos-run"
_LONG_AGO = "2026-01-01T00:00:00+00:00"

State = dict[str, Any]
_known: dict[str, tuple[Path, State, float]] = {}
"""Step -> database before it, state after it, and its duration."""


def register(settings: Mapping[str, Any], _: Path, inputs: Path) -> None:
    """Register the bundle with the packed test tiles as its lineage."""
    from tilepipe.components.register.config import RegisterConfig
    from tilepipe.components.register.register import Lineage, register

    lineage = Lineage("image:1", (str(inputs / "test"),), (str(inputs / "contents.parquet"),))
    register(RegisterConfig.parse(name=NAME, **settings), inputs / "bundle.tar.gz", "", lineage)


def gate(_: Mapping[str, Any], out: Path, __: Path) -> None:
    """Judge the registered version."""
    from tilepipe.components.gate.config import GateConfig
    from tilepipe.components.gate.gate import Outputs, gate

    config = GateConfig.parse(name=NAME, floors={"accuracy": 0.0}, options={"min_tiles": 1})
    gate(config, Outputs(out / "verdict.json", out / "verdict.html"))


def promote(_: Mapping[str, Any], __: Path, ___: Path) -> None:
    """Promote the accepted version."""
    from tilepipe.components.promote.config import PromoteConfig
    from tilepipe.components.promote.promote import promote

    promote(PromoteConfig.parse(name=NAME))


def finish(_: Mapping[str, Any], __: Path, ___: Path) -> None:
    """Close the run."""
    from tilepipe.components.finish.config import FinishConfig
    from tilepipe.components.finish.finish import finish

    finish(FinishConfig.parse(), "SUCCEEDED")


CALLS = {"register": register, "gate": gate, "promote": promote, "finish": finish}


def state(database: Path) -> State:
    """Return what MLflow shows of the model and the run, without ids and times."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{database}")
    versions = client.search_model_versions(f"name='{NAME}'")
    models = client.search_registered_models(f"name='{NAME}'")
    aliases = {alias: str(version) for model in models for alias, version in model.aliases.items()}
    (run,) = client.search_runs([client.get_experiment_by_name(NAME).experiment_id])
    return {
        "versions": {str(one.version): sorted(one.tags) for one in versions},
        "verdicts": {str(one.version): one.tags.get("tilepipe.gate") for one in versions},
        "aliases": aliases,
        "run": run.info.status,
    }


def _run(ground: Ground, step: str, folder: Path, database: Path) -> Run:
    environment = {
        **ground.environment(),
        "MLFLOW_TRACKING_URI": f"sqlite:///{database}",
        "KFP_RUN_ID": RUN,
        "TILEPIPE_TERMINATION_LOG": str(folder / "note"),
    }
    settings = json.loads((ground.folder / "registry" / "run.json").read_text()) if step == "register" else {}
    return Run(step, folder, settings, environment, inputs=ground.reference)


def _prepare(ground: Ground) -> str:
    """Run the steps once undisturbed; returns why that failed, or an empty text."""
    from mlflow import MlflowClient

    folder = ground.scratch("registry")
    database = folder / "mlflow.db"
    client = MlflowClient(f"sqlite:///{database}")
    experiment = client.create_experiment(NAME, (folder / "artifacts").as_uri())
    run = client.create_run(experiment, tags={"kfp.run_id": RUN}).info.run_id
    (folder / "run.json").write_text(json.dumps({"mlflow_run_id": run}))
    for step in STEPS:
        before = folder / f"{step}.db"
        shutil.copy(database, before)
        ended = execute(_run(ground, step, folder, database))
        if ended.code != 0:
            return f"{step}: {ended.log[-1500:]}"
        _known[step] = before, state(database), ended.seconds
    return ""


@fault(*(f"{step}.{how}" for step in STEPS for how in ("kill", "term")))
def killed(ground: Ground, number: int, draws: random.Random, name: str) -> Result:
    """A step of the registry is killed at random points, each time on what the former left, and then ends."""
    if not _known and (why := _prepare(ground)):
        return LOST, f"undisturbed: {why}", 0
    step, _, how = name.partition(".")
    before, after, seconds = _known[step]
    folder = ground.scratch(f"{name}-{number}")
    database = folder / "mlflow.db"
    shutil.copy(before, database)
    run = _run(ground, step, folder, database)
    for _ in range(KILLS):
        sent = signal.SIGKILL if how == "kill" else signal.SIGTERM
        ended = execute(run, signal_after(draws.uniform(0.02, 1.0) * seconds, sent))
        found = judge(ended, folder, step, {}, was_killed=True)
        whole = set(_known["register"][1]["versions"]["1"])
        half = [version for version, tags in state(database)["versions"].items() if whole - set(tags)]
        if found[0] != SAME or half:
            return (*found, 1) if found[0] != SAME else (LOST, f"versions without tags: {half}", 1)
        _age_claims(database)
    ended = execute(run)
    outcome, detail = judge(ended, folder, step, {})
    if outcome == SAME and state(database) != after:
        return WRONG, f"{state(database)} instead of {after}", KILLS
    return (outcome, detail, KILLS) if outcome == SAME else (LOST, f"the rerun: {detail}", KILLS)


def _age_claims(database: Path) -> None:
    """Let the claims of killed promotions be old, which count for ten minutes."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{database}")
    for model in client.search_registered_models(f"name='{NAME}'"):
        for tag, value in model.tags.items():
            if "claim" in tag:
                client.set_registered_model_tag(NAME, tag, json.dumps({**json.loads(value), "at": _LONG_AGO}))

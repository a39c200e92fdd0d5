"""Faults of the STAC API and of MLflow, against real servers that are started when they are first needed."""

import atexit
import contextlib
import os
import random
import sqlite3
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from tests.chaos.faults import Result, again, fault, of_step
from tests.chaos.ground import Ground
from tests.chaos.outcomes import LOST, SAME, WRONG, judge
from tests.chaos.steps import Run, execute
from tests.support.faulty_proxy import FaultyProxy
from tests.support.servers import free_ports, running

_addresses: dict[str, str] = {}
_open = ExitStack()
atexit.register(_open.close)


def _server(name: str, command: list[str], folder: Path, health: str) -> str:
    """Start a server on a free port, which replaces `PORT`; returns its address."""
    port = str(free_ports(1)[0])
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    words, address = [word.replace("PORT", port) for word in command], f"http://127.0.0.1:{port}"
    _open.enter_context(running(words, f"{address}{health}", folder, name, env=environment, cwd=folder))
    return address


def mlflow_address(ground: Ground) -> str:
    """Return the address of MLflow with SQLite and proxied artifacts."""
    if "mlflow" not in _addresses:
        folder = ground.scratch("mlflow")
        command = [sys.executable, "-W", "ignore", "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", "PORT"]
        command += ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--workers", "1"]
        command += ["--artifacts-destination", str(folder / "artifacts")]
        _addresses["mlflow"] = _server("mlflow", command, folder, "/health")
    return _addresses["mlflow"]


def stac_address(ground: Ground) -> str:
    """Return the address of a STAC API with the items of tilepipe's sample."""
    if "stac" not in _addresses:
        from tests.support import stac_server

        folder = ground.scratch("stac")
        collections = stac_server._fill(folder)
        app = stac_server.HERE / "stac_server_app.py"
        command = [str(word) for word in (stac_server._environment(), app, collections, "PORT")]
        _addresses["stac"] = _server("stac", command, folder, "/collections")
    return _addresses["stac"]


@fault("mlflow.away", "mlflow.busy", "mlflow.down")
def mlflow_fails(ground: Ground, number: int, draws: random.Random, name: str) -> Result:
    """MLflow is away or busy for part of a training, or for all of it; its record must then be whole, if it is back."""
    from mlflow import MlflowClient

    address, kind = mlflow_address(ground), "slowdown" if name == "mlflow.busy" else "reset"
    experiment = f"{name}-{number}-{draws.randrange(2**32)}"
    limits = {"after": draws.randrange(4), "most": 10_000} if name == "mlflow.down" else {
        "after": draws.randrange(25), "most": draws.randrange(1, 30)
    }  # fmt: skip
    with FaultyProxy(address, kind, 1.0, **limits) as proxy:
        run = of_step(ground, "train", ground.scratch(f"{name}-{number}"), experiment=experiment)
        environment = {"MLFLOW_TRACKING_URI": proxy.address, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
        ended = execute(replace(run, environment={**run.environment, **environment}))
        count = proxy.counts["faults"]
    outcome, detail = judge(ended, run.folder, "train", ground.digests["train"])
    if outcome == SAME and name != "mlflow.down":
        client = MlflowClient(address)
        known = client.get_experiment_by_name(experiment)
        runs = client.search_runs([known.experiment_id]) if known else []
        points = client.get_metric_history(runs[0].info.run_id, "val_accuracy") if runs else []
        if len(points) != run.settings["epochs"] and "not sent" not in ended.log and "lost" not in ended.log:
            outcome, detail = LOST, f"MLflow has {len(points)} of {run.settings['epochs']} epochs: {ended.log[-500:]}"
    return *again(ground, run, (outcome, detail)), count


@fault("mlflow.locked")
def database_locked(ground: Ground, number: int, draws: random.Random, name: str) -> Result:
    """Another process locks MLflow's SQLite database for up to 10 seconds, at the beginning of a training or later."""
    database = ground.scratch(f"{name}-{number}-store") / "mlflow.db"
    run = of_step(ground, "train", ground.scratch(f"{name}-{number}"), experiment=name)
    run = replace(run, environment={**run.environment, "MLFLOW_TRACKING_URI": f"sqlite:///{database}"})
    first = execute(replace(run, folder=ground.scratch(f"{name}-{number}-first")))  # creates the tables
    if first.code != 0:
        return LOST, f"undisturbed: {first.log[-600:]}", 0

    def lock(process: object) -> None:
        time.sleep(draws.uniform(0, ground.seconds["train"]))
        with contextlib.closing(sqlite3.connect(database, timeout=60, isolation_level=None)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            time.sleep(draws.uniform(0.5, 10))
            connection.execute("ROLLBACK")

    ended = execute(run, lock)
    return *again(ground, run, judge(ended, run.folder, "train", ground.digests["train"])), 1


@fault("stac.reset", "stac.error", "stac.slowdown", "stac.truncate", "stac.down")
def stac_fails(ground: Ground, number: int, draws: random.Random, name: str) -> Result:
    """The STAC API fails in the middle of the pages of a search."""
    from tests.support.tile_tables import read_tile_table

    address, reference = stac_address(ground), ground.folder / "stac-reference"
    settings = {"source": "", "query": {"collections": ["tilepipe-synthetic-sample"]}}
    settings["href_rewrite"] = {"https://tiles.test/": "https://tiles.test/"}
    environment = {**ground.environment(), "CHAOS_PAGE_ITEMS": "20"}

    def run_at(proxy: str, folder: Path) -> Run:
        return Run("ingest", folder, {**settings, "source": proxy}, environment)

    if not reference.exists():
        ended = execute(run_at(address, reference))
        if ended.code != 0:
            return LOST, f"undisturbed: {ended.log[-600:]}", 0
    kind = "reset" if name == "stac.down" else name.partition(".")[2]
    most = 10_000 if name == "stac.down" else draws.randint(1, 4)
    out = ground.scratch(f"{name}-{number}")
    with FaultyProxy(address, kind, 1.0, after=draws.randrange(1, 7), most=most) as proxy:
        ended = execute(run_at(proxy.address, out))
        count = proxy.counts["faults"]
    if ended.code == 0:
        tables = [read_tile_table(folder / "tiles.parquet")[0] for folder in (reference, out)]
        return (SAME, "", count) if tables[0].equals(tables[1]) else (WRONG, "other rows", count)
    outcome, detail = judge(ended, out, "ingest", {})
    return outcome, detail, count

"""Tiny sweeps: packed data, shares of candidates and made-up outcomes."""

from pathlib import Path

from tests.support.packed import write_packed
from tilepipe.components.propose.config import ProposeConfig
from tilepipe.components.shared.contracts.candidates import Outcome
from tilepipe.components.shared.contracts.history import History
from tilepipe.components.tune.candidate_training import Shards
from tilepipe.components.tune.config import TuneConfig
from tilepipe.components.tune.tune import tune

SMALL = {"model_options": {"filters": [4], "dense_units": 4}, "train_batch_size": 8, "train_epochs": 2}


def packed_shards(folder: Path, **settings) -> Shards:
    """Write a tiny packed data set, and return its artifacts."""
    write_packed(folder, **settings)
    return Shards((folder / "train",), (folder / "val",), folder / "manifest.json")


def run_worker(space, shards: Shards, outcomes: Path, **parameters) -> list[Outcome]:
    """Train all candidates of a space in one worker."""
    (share,) = ProposeConfig.parse(tune_space=space, **{**SMALL, **parameters}).shares()
    return tune(TuneConfig(share=share), shards, outcomes)


def made_up(index, parameters, values, *, status="finished", metric="val_accuracy", weights=1000, reason="") -> Outcome:
    """Create an outcome with these validation figures per epoch."""
    figures = [
        {"loss": 2.0 / epoch, "accuracy": value, "val_loss": 2.1 / epoch, "val_accuracy": value, metric: value}
        for epoch, value in enumerate(values, start=1)
    ]
    best = max(range(len(values)), key=lambda at: values[at]) + 1 if values else 0
    return Outcome(
        index=index,
        parameters=parameters,
        status=status,
        reason=reason,
        metric=metric,
        history=History(metric=metric, best_epoch=best, epochs=tuple(figures)) if values else None,
        weights=weights if values else None,
        seconds=12.5,
        mlflow_run_id=f"run-{index}",
    )

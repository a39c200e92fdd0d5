"""Versions in a registry as `register` makes them, with bundles of tiny models."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.bundles import write_model_bundle
from tilepipe.components.shared.registry.version_tags import (
    BUNDLE_FILE,
    BUNDLE_FOLDER,
    BUNDLE_SHA256,
    BUNDLE_URI,
    CHALLENGER,
    DATASET_DIGEST,
    FIGURE_PREFIX,
)

NAME = "forests"


def register_version(client, folder: Path, *, name: str = NAME, manifest=None, tags=None, figures=None, **files) -> int:
    """Register a version with a bundle, as the challenger; returns its number."""
    experiment = client.get_experiment_by_name("trainings")
    where = None if client.tracking_uri.startswith("http") else (folder / "artifacts").as_uri()
    experiment_id = experiment.experiment_id if experiment else client.create_experiment("trainings", where)
    run_id = client.create_run(experiment_id).info.run_id
    folder.mkdir(parents=True, exist_ok=True)
    sha256 = write_model_bundle(folder / BUNDLE_FILE, manifest, **files)
    client.log_artifact(run_id, str(folder / BUNDLE_FILE), BUNDLE_FOLDER)
    if name not in {model.name for model in client.search_registered_models()}:
        client.create_registered_model(name)
    shown = figures or {"test_accuracy": 0.9, "test_macro_f1": 0.8}
    facts = {BUNDLE_SHA256: sha256, BUNDLE_URI: f"runs:/{run_id}/{BUNDLE_FOLDER}/{BUNDLE_FILE}", DATASET_DIGEST: "d1"}
    facts |= {f"{FIGURE_PREFIX}{key}": str(value) for key, value in shown.items()}
    facts |= tags or {}
    made = client.create_model_version(name, f"runs:/{run_id}/{BUNDLE_FOLDER}", run_id=run_id, tags=facts)
    client.set_registered_model_alias(name, CHALLENGER, made.version)
    return int(made.version)


def twice_at_once(monkeypatch, kind: type, call: Callable[[], Any]) -> list[Any]:
    """Call a function on two threads, which both look for a first row of a kind before either of them inserts it.

    Args:
        monkeypatch: pytest's fixture.
        kind: class of a table of MLflow's store, such as `SqlModelVersionTag`.
        call: the function.

    Returns:
        The results of the calls that did not raise.
    """
    from sqlalchemy.orm import Session

    both_looked, merge, waited = threading.Barrier(2), Session.merge, set()

    def merge_together(self, instance, **options):
        merged = merge(self, instance, **options)
        if isinstance(instance, kind) and threading.get_ident() not in waited:
            waited.add(threading.get_ident())
            both_looked.wait(60)
        return merged

    monkeypatch.setattr(Session, "merge", merge_together)
    results: list[Any] = []
    attempts = [threading.Thread(target=lambda: results.append(call())) for _ in range(2)]
    for attempt in attempts:
        attempt.start()
    for attempt in attempts:
        attempt.join()
    return results

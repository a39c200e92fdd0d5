"""Artifacts of the component."""

from kfp import dsl

from tests.support.packed import manifest_for
from tests.support.sweeping import made_up
from tilepipe.components.refit.component import refit_winner


def test_the_manifest_leads_to_the_packed_tiles(tmp_path, monkeypatch):
    """`register` reads the addresses of their tables from its metadata, as from those of `merge`."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    winner = made_up(0, {"seed": 1}, [0.5])
    winner.write(tmp_path / "winner.json")
    winner.history.write(tmp_path / "history.json")
    (tmp_path / "model.keras").write_bytes(b"model")
    manifest_for().write(tmp_path / "manifest.json")
    facts = {"digest": "d", "tiles": 9, "contents": '["s3://b/contents.parquet"]'}
    manifest = dsl.Artifact(uri=str(tmp_path / "out" / "manifest"))
    refit_winner.python_func(
        winner=dsl.Artifact(uri=str(tmp_path / "winner.json")),
        winner_model=dsl.Model(uri=str(tmp_path / "model.keras")),
        winner_history=dsl.Dataset(uri=str(tmp_path / "history.json")),
        winner_manifest=dsl.Artifact(uri=str(tmp_path / "manifest.json"), metadata={**facts, "of_kfp": "x"}),
        train_shards=[],
        val_shards=[],
        model=dsl.Model(uri=str(tmp_path / "out" / "model")),
        history=dsl.Dataset(uri=str(tmp_path / "out" / "history")),
        manifest=manifest,
    )
    assert manifest.metadata == facts

"""Calls of the steps after the training, as their components make them, and what of their outputs must not change."""

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

OUTPUTS = {
    "evaluate": ("metrics.json", "confusion.json", "predictions.parquet", "samples.npz", "evaluation.html"),
    "export": ("model.onnx", "bundle.tar.gz", "card.md", "item.json"),
    "plan": ("plan.json", "planned.tar.gz", "reference.parquet", "new_tiles.parquet"),
    "predict_tiles": ("part.parquet", "part_quarantine.parquet", "moments.json"),
    "collect": ("new.parquet", "new_quarantine.parquet", "drift.json", "drift.html"),
    "predict_scenes": ("prediction/*", "scene.html"),
    "tune": ("outcomes/*/*",),
    "select": ("winner.json", "best.keras", "best_history.json", "comparison.html"),
    "refit": ("refit.keras", "refit_history.json", "refit_manifest.json"),
}
"""Step -> patterns of its outputs."""


def stable(path: Path) -> bytes:
    """Return what of a file must not differ between two runs, which state times and places; fails if it is damaged."""
    content = path.read_bytes()
    if path.suffix == ".html" and content.rstrip().endswith(b"</html>"):
        return b"a whole page"
    if path.suffix == ".gz":
        from tilepipe.components.shared.contracts.bundle import read_bundle

        return repr(sorted(read_bundle(path))).encode()
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        return repr(pq.read_table(io.BytesIO(content)).to_pydict()).encode()
    if path.suffix == ".json":
        return repr(sorted(json.loads(content))).encode()
    return b"a text" if path.suffix == ".md" and content.endswith(b"\n") else hashlib.sha256(content).digest()


def _evaluate(settings: Mapping[str, Any], out: Path, inputs: Path) -> None:
    from tilepipe.components.evaluate.config import EvaluateConfig
    from tilepipe.components.evaluate.evaluate import Inputs, Outputs, evaluate

    read = (inputs / name for name in ("manifest.json", "model.keras", "history.json", "tiles.parquet"))
    names = ("metrics.json", "confusion.json", "evaluation.md", "evaluation.html", "predictions.parquet", "samples.npz")
    inputs_of = Inputs((inputs / "val",), (inputs / "test",), *read)
    evaluate(EvaluateConfig.parse(**settings), inputs_of, Outputs(*(out / name for name in names)))


def _export(settings: Mapping[str, Any], out: Path, inputs: Path) -> None:
    from tilepipe.components.export.config import ExportConfig
    from tilepipe.components.export.export import Inputs, Outputs, export

    names = ("tiles.parquet", "samples.npz", "manifest.json", "model.keras", "history.json")
    outputs = Outputs(*(out / name for name in OUTPUTS["export"]))
    export(
        ExportConfig.parse(**settings),
        Inputs(*(inputs / name for name in (*names, "metrics.json", "confusion.json"))),
        outputs,
    )


def _plan(settings: Mapping[str, Any], out: Path, inputs: Path) -> None:
    from tilepipe.components.plan.config import PlanConfig
    from tilepipe.components.plan.plan import PlanOutputs, plan

    names = ("planned.tar.gz", "reference.parquet", "new_tiles.parquet", "plan.json")
    config = PlanConfig.parse(model_uri=str(inputs / "bundle.tar.gz"), experiment="", **settings)
    plan(config, inputs / "tiles.parquet", PlanOutputs(*(out / name for name in names)))


def _predict_tiles(settings: Mapping[str, Any], out: Path, inputs: Path) -> None:
    from tilepipe.components.predict_tiles.config import PredictTilesConfig
    from tilepipe.components.predict_tiles.predict_tiles import Inputs, Outputs, predict_tiles

    read = Inputs(*(inputs / name for name in ("plan.json", "planned.tar.gz", "new_tiles.parquet")))
    outputs = Outputs(*(out / name for name in OUTPUTS["predict_tiles"]))
    predict_tiles(PredictTilesConfig.parse(**settings), read, outputs)


def _collect(_: Mapping[str, Any], out: Path, inputs: Path) -> None:
    from tilepipe.components.predict_tiles.collection import CollectedFiles, PartFiles, collect

    parts = ([inputs / name] for name in OUTPUTS["predict_tiles"])
    names = ("new.parquet", "new_quarantine.parquet", "drift.json", "drift.html", "new_metrics.json")
    first = (inputs / name for name in ("plan.json", "planned.tar.gz", "reference.parquet"))
    collect(PartFiles(*first, *parts), CollectedFiles(*(out / name for name in names)))


def _predict_scenes(settings: Mapping[str, Any], out: Path, inputs: Path) -> None:
    from tilepipe.components.predict_scenes.config import PredictScenesConfig
    from tilepipe.components.predict_scenes.predict_scenes import Outputs, predict_scenes

    places = {"scene_uri": str(inputs / "scene.tif"), "model_uri": str(inputs / "bundle.tar.gz")}
    predict_scenes(PredictScenesConfig.parse(**places, **settings), Outputs(out / "prediction", out / "scene.html"))


def _tune(settings: Mapping[str, Any], out: Path, inputs: Path) -> None:
    from tilepipe.components.propose.config import ProposeConfig
    from tilepipe.components.tune.candidate_training import Shards
    from tilepipe.components.tune.config import TuneConfig
    from tilepipe.components.tune.tune import tune

    given = dict(settings)
    place = given.pop("checkpoint_uri", "")
    (share,) = ProposeConfig.parse(**given).shares()
    shards = Shards((inputs / "train",), (inputs / "val",), inputs / "manifest.json")
    tune(TuneConfig(share=share, checkpoint_uri=place), shards, out / "outcomes")


def _select(settings: Mapping[str, Any], out: Path, inputs: Path) -> None:
    from tilepipe.components.select.config import SelectConfig
    from tilepipe.components.select.select import Outputs, select

    names = ("winner.json", "best.keras", "best_history.json", "ranking.json", "comparison.html", "comparison.md")
    outputs = Outputs(*(out / name for name in names))
    select(SelectConfig.parse(**settings), [inputs / "outcomes"], inputs / "manifest.json", outputs)


def _refit(settings: Mapping[str, Any], out: Path, inputs: Path) -> None:
    from tilepipe.components.refit.config import RefitConfig
    from tilepipe.components.refit.refit import Inputs, Outputs, refit

    files = (inputs / name for name in ("winner.json", "best.keras", "best_history.json", "manifest.json"))
    read = Inputs(*files, (inputs / "train",), (inputs / "val",))
    refit(RefitConfig.parse(**settings), read, Outputs(*(out / name for name in OUTPUTS["refit"])))


CALLS: dict[str, Callable[[Mapping[str, Any], Path, Path], None]] = {
    "evaluate": _evaluate,
    "export": _export,
    "plan": _plan,
    "predict_tiles": _predict_tiles,
    "collect": _collect,
    "predict_scenes": _predict_scenes,
    "tune": _tune,
    "select": _select,
    "refit": _refit,
}
"""Step -> function of its settings, the folder of its outputs and that of its inputs."""

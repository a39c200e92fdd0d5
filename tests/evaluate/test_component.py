import json
import math

import pytest
from kfp import dsl

from tilepipe.components.evaluate.component import evaluate_model


@pytest.fixture
def outputs(tmp_path):
    kinds = {
        "metrics": dsl.Metrics,
        "confusion": dsl.ClassificationMetrics,
        "summary": dsl.Markdown,
        "report": dsl.HTML,
        "predictions": dsl.Dataset,
        "samples": dsl.Dataset,
    }
    return {name: kind(name=name, uri=str(tmp_path / name)) for name, kind in kinds.items()}


@pytest.fixture
def inputs(make_data, model_path):
    root = make_data()
    return {
        "val_shards": [dsl.Dataset(uri=str(root / "val"))],
        "test_shards": [dsl.Dataset(uri=str(root / "test"))],
        "manifest": dsl.Artifact(uri=str(root / "manifest.json")),
        "model": dsl.Model(uri=str(model_path)),
        "history": dsl.Dataset(uri=str(root / "history.json")),
    }


def test_artifacts_hold_what_kubeflow_shows(inputs, outputs, tmp_path):
    evaluate_model.python_func(**inputs, **outputs)
    written = json.loads((tmp_path / "metrics").read_text())
    shown = outputs["metrics"].metadata
    assert {name: value for name, value in shown.items() if name.startswith(("test_", "val_"))} == written
    assert {"accuracy", "loss", "model_bytes"} <= shown.keys()
    assert all(math.isfinite(value) for value in shown.values())
    confusion = outputs["confusion"].metadata
    assert [spec["displayName"] for spec in confusion["confusionMatrix"]["annotationSpecs"]] == [
        "AnnualCrop",
        "Forest",
        "SeaLake",
    ]
    assert sum(sum(row["row"]) for row in confusion["confusionMatrix"]["rows"]) == 36
    points = confusion["confidenceMetrics"]
    assert all(math.isfinite(value) for point in points for value in point.values())
    json.dumps(confusion, allow_nan=False)  # NumPy's numbers would fail here, and in KFP's executor
    assert (tmp_path / "report.html").exists()
    assert outputs["report"].uri.endswith("/report.html")
    assert outputs["predictions"].uri.endswith("/predictions.parquet")
    assert outputs["predictions"].metadata == {"test_shards": json.dumps([inputs["test_shards"][0].uri])}
    files = ("metrics", "confusion", "summary", "predictions.parquet", "samples.npz")
    assert all((tmp_path / name).exists() for name in files)


def test_a_tile_table_may_be_given(inputs, outputs, make_tile_table):
    tiles = dsl.Dataset(uri=str(make_tile_table(f"test/{number:03d}" for number in range(36))))
    evaluate_model.python_func(**inputs, **outputs, tiles=tiles, options={"bootstrap_resamples": 0})
    assert outputs["metrics"].metadata["test_groups"] == 2
    assert "test_accuracy_lower" not in outputs["metrics"].metadata


def test_a_wrong_parameter_ends_the_step_with_exit_code_2(inputs, outputs, caplog):
    with pytest.raises(SystemExit) as error:
        evaluate_model.python_func(**inputs, **outputs, batch_size=0)
    assert error.value.code == 2
    assert not outputs["metrics"].metadata


def test_the_interface_is_described():
    spec = evaluate_model.component_spec
    assert list(spec.inputs) == [
        "val_shards",
        "test_shards",
        "manifest",
        "model",
        "history",
        "tiles",
        "ingest_report",
        "label_map",
        "mlflow_run_id",
        "batch_size",
        "options",
    ]
    assert all(spec.inputs[name].optional for name in ("tiles", "ingest_report", "label_map"))
    assert (spec.inputs["mlflow_run_id"].default, spec.inputs["batch_size"].default) == ("", 256)

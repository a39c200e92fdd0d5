import json
import re

import pyarrow.parquet as pq
import pytest

from tilepipe.components.evaluate.config import EvaluateConfig
from tilepipe.components.evaluate.evaluate import Inputs, Outputs, evaluate
from tilepipe.components.shared.contracts.samples import read_samples
from tilepipe.components.shared.errors import ArtifactError, ParameterError, SplitError
from tilepipe.components.shared.tracking import tracking


@pytest.fixture
def run(model_path, tmp_path):
    """Evaluate a folder of data; returns the evaluation and the paths of the outputs."""

    def run(root, run_id="", model=model_path, tiles=None, data_files=None, **options):
        files = (root / "manifest.json", model, root / "history.json", tiles)
        inputs = Inputs((root / "val",), (root / "test",), *files, data_files=data_files or {})
        names = ("metrics", "confusion", "summary", "report.html", "predictions.parquet", "samples.npz")
        outputs = Outputs(*(tmp_path / "out" / name for name in names))
        return evaluate(EvaluateConfig(mlflow_run_id=run_id, batch_size=16, options=options), inputs, outputs), outputs

    return run


@pytest.fixture
def mlflow_run(mlflow_store):
    """Id of an open run, as `train` leaves one."""
    run_id = tracking.open_run("tests", "a run", {})
    yield run_id
    tracking.adopt_run(tracking.UNTRACKED)


def without_times(path):
    """Content of an output but for the times that the report marks."""
    return re.sub(rb'<span class="timing">.*?</span>', b"", path.read_bytes())


def test_all_outputs_are_written(run, make_data, caplog):
    caplog.set_level("INFO", logger="tilepipe")
    found, outputs = run(make_data())
    results = [record.message for record in caplog.records if ": accuracy " in record.message]
    assert [result.partition(":")[0] for result in results] == ["val", "test"], "the last one is the result of the step"
    metrics = json.loads(outputs.metrics.read_text())
    assert metrics == found.scalars()
    assert metrics["test_tiles"] == 36
    assert 0.6 < metrics["test_accuracy"] < 1
    confusion = json.loads(outputs.confusion.read_text())
    assert confusion["split"] == "test"
    assert sum(map(sum, confusion["rows"])) == 36
    assert [one["name"] for one in confusion["classes"]] == confusion["class_names"]
    assert {"recall", "precision", "f1", "average_precision", "auc"} <= set(confusion["classes"][0])
    low, high = confusion["intervals"]["accuracy"]
    assert low < metrics["test_accuracy"] < high
    assert (metrics["test_accuracy_lower"], metrics["test_accuracy_upper"]) == (low, high)
    assert outputs.summary.read_text().startswith("# tiny")
    report = outputs.report.read_text()
    assert report.startswith("<!DOCTYPE html>")
    assert report.count("data:image/jpeg;base64,") >= len(found.shown.mistakes) + 9
    samples = read_samples(outputs.samples, found.manifest)
    assert (samples.split, len(samples.tiles)) == ("val", 40)
    assert pq.read_table(outputs.predictions)["split"].to_pylist() == ["test"] * 36 + ["val"] * 40


def test_the_same_data_give_the_same_bytes(run, make_data):
    root = make_data()
    _, outputs = run(root)
    before = {path: without_times(path) for path in vars(outputs).values()}
    run(root)
    assert {path: without_times(path) for path in vars(outputs).values()} == before


def test_averaged_probabilities_are_reported_beside_the_plain_ones(run, make_data):
    root = make_data()
    plain, outputs = run(root)
    before = outputs.predictions.read_bytes()
    found, outputs = run(root, test_time_augmentation=["flip", "quarter_turn"])
    assert outputs.predictions.read_bytes() == before
    metrics = json.loads(outputs.metrics.read_text())
    assert metrics["test_accuracy"] == plain.headline.accuracy
    # The model sees the mean of a tile only, so all variants give the same probabilities.
    assert metrics["test_averaged_loss"] == pytest.approx(metrics["test_loss"], rel=1e-5)
    assert metrics["val_averaged_accuracy"] == metrics["val_accuracy"]
    assert found.averaged["test"].accuracy == found.headline.accuracy


def test_a_tile_table_gives_groups(run, make_data, make_tile_table):
    found, outputs = run(make_data(), tiles=make_tile_table(f"test/{number:03d}" for number in range(36)))
    assert len(found.places.centers) == 35
    assert found.shown.mistakes[0].uri == f"https://example.org/{found.shown.mistakes[0].tile_id}.tif"
    assert f'href="{found.shown.mistakes[0].uri}"' in outputs.report.read_text()
    groups = json.loads(outputs.confusion.read_text())["groups"]
    assert sorted((group["name"], group["tiles"]) for group in groups) == [("north", 18), ("south", 17)]
    metrics = json.loads(outputs.metrics.read_text())
    assert metrics["test_lowest_group_accuracy"] == groups[0]["accuracy"] == found.groups[0].accuracy
    assert metrics["test_groups"] == 2


def test_speed_and_size_are_shown_and_stay_out_of_the_file(run, make_data, model_path):
    found, outputs = run(make_data())
    shown = found.shown_figures()
    assert shown["model_parameters"] == 9
    assert shown["model_bytes"] == model_path.stat().st_size
    assert shown["inference_tiles_per_second"] > 0
    assert shown["inference_milliseconds_per_tile_batch_1"] > 0
    assert "inference_tiles_per_second" not in json.loads(outputs.metrics.read_text())


def test_the_first_page_of_kubeflows_table_has_accuracy_and_loss(run, make_data):
    found, outputs = run(make_data())
    shown = found.shown_figures()
    first_page = sorted(shown)[:10]
    assert {"accuracy", "loss", "macro_f1", "test_accuracy"} <= set(first_page)
    assert (shown["accuracy"], shown["loss"]) == (shown["test_accuracy"], shown["test_loss"])
    assert list(shown)[:2] == ["accuracy", "loss"]
    assert not {"accuracy", "loss"} & (found.tracked_figures().keys() | json.loads(outputs.metrics.read_text()).keys())


def test_without_test_tiles_validation_is_the_headline(run, make_data, caplog):
    root = make_data(test=0)
    found, outputs = run(root)
    assert found.headline_split == "val"
    assert "test_accuracy" not in json.loads(outputs.metrics.read_text())
    assert "no test split" in outputs.summary.read_text()
    assert "There are no test tiles: the validation figures are the headline." in caplog.text


def test_an_empty_split_needs_no_folder(run, make_data):
    root = make_data(test=0)
    (root / "test").rmdir()
    found, _ = run(root)
    assert list(found.scores) == ["val"]


def test_test_tiles_alone_are_enough(run, make_data):
    found, outputs = run(make_data(val=0))
    assert list(found.scores) == ["test"]
    assert read_samples(outputs.samples, found.manifest).split == "test"


def test_without_any_tiles_there_is_nothing_to_measure(run, make_data):
    with pytest.raises(SplitError, match="Received: a manifest with 6 training tiles and no others"):
        run(make_data(val=0, test=0))


@pytest.mark.parametrize("wrong", [{"classes": 4}, {"shape": (8, 8, 3)}, {"shape": (16, 8, 2)}])
def test_a_model_of_another_manifest_is_refused(run, make_data, make_model, wrong):
    with pytest.raises(ArtifactError, match="Model and manifest must come from the same pipeline run"):
        run(make_data(), model=make_model(**wrong))


def test_a_model_that_takes_any_size_fits(run, make_data, make_model):
    found, _ = run(make_data(), model=make_model(shape=(None, None, 2)))
    assert set(found.scores) == {"val", "test"}


def test_shards_of_another_pack_are_refused(run, make_data):
    root = make_data()
    (root / "test").rename(root / "other")
    with pytest.raises(ArtifactError, match="manifest and the shards must come from the same `pack`"):
        run(root)


def test_a_tracked_run_gets_everything_and_is_closed(run, make_data, mlflow_run, tmp_path):
    (tmp_path / "report").write_text("the report of ingest", encoding="utf-8")
    found, outputs = run(make_data(), mlflow_run, data_files={"ingest-report.html": tmp_path / "report"})
    client = tracking.client()
    recorded = client.get_run(mlflow_run)
    assert recorded.info.status == "FINISHED"
    assert recorded.data.metrics["test_accuracy"] == pytest.approx(found.headline.accuracy)
    assert recorded.data.metrics["best_val_accuracy"] == pytest.approx(found.scores["val"].accuracy)
    assert "val_accuracy" not in recorded.data.metrics
    assert recorded.data.metrics["test_f1/Forest"] == pytest.approx(found.headline.figures.f1[1])
    assert recorded.data.metrics["inference_tiles_per_second"] > 0
    logged = {file.path: file.file_size for file in client.list_artifacts(mlflow_run, "evaluation")}
    names = ("confusion.svg", "metrics.json", "predictions.parquet", "report.html")
    assert sorted(logged) == [f"evaluation/{name}" for name in names]
    assert logged["evaluation/report.html"] == outputs.report.stat().st_size
    assert [(file.path, file.file_size) for file in client.list_artifacts(mlflow_run, "data")] == [
        ("data/ingest-report.html", 20)
    ]
    assert logged["evaluation/predictions.parquet"] == outputs.predictions.stat().st_size


def log_empty_model(client, run_id, name):
    """Log a model without files, as far as MLflow's records go."""
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus

    run = client.get_run(run_id)
    model = client.create_logged_model(run.info.experiment_id, name=name, source_run_id=run_id)
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    return client.finalize_logged_model(model.model_id, LoggedModelStatus.READY).model_id


def test_figures_and_files_belong_to_the_model_that_training_logged(run, make_data, mlflow_run):
    client = tracking.client()
    log_empty_model(client, mlflow_run, "model")  # of a try that was killed later
    keras = log_empty_model(client, mlflow_run, "model")
    onnx = log_empty_model(client, mlflow_run, "onnx")
    found, outputs = run(make_data(), mlflow_run)
    figures = {metric.key: metric.value for metric in client.get_logged_model(keras).metrics}
    assert figures["test_accuracy"] == pytest.approx(found.headline.accuracy)
    assert figures == client.get_run(mlflow_run).data.metrics
    assert not client.get_logged_model(onnx).metrics
    files = {file.path: file.file_size for file in client.list_logged_model_artifacts(keras, "evaluation")}
    assert files["evaluation/predictions.parquet"] == outputs.predictions.stat().st_size
    assert {"evaluation/report.html", "evaluation/confusion.svg", "evaluation/metrics.json"} <= set(files)
    assert client.list_logged_model_artifacts(onnx) == []


def test_settings_of_the_training_are_in_the_report(run, make_data, mlflow_run):
    tracking.log_params(mlflow_run, {"loss": "focal", "epochs": 3})
    found, outputs = run(make_data(), mlflow_run)
    assert found.model.settings == {"epochs": "3", "loss": "focal"}
    assert "2 settings of the training" in outputs.report.read_text()


def test_a_failure_is_recorded_in_the_run_that_training_opened(run, make_data, make_model, mlflow_run):
    from tilepipe.components.shared.runtime.step import step

    with pytest.raises(SystemExit) as stopped, step("evaluate"):
        run(make_data(), mlflow_run, make_model(classes=4))
    assert stopped.value.code == 2
    recorded = tracking.client().get_run(mlflow_run)
    assert recorded.info.status == "FAILED"
    assert recorded.data.tags[tracking.FAILED_STEP_TAG] == "evaluate"
    assert "manifest's 3 classes" in recorded.data.tags[tracking.FAILURE_TAG]


@pytest.mark.parametrize("batch_size", [0, -1, 1.5, "many"])
def test_a_batch_size_must_be_a_whole_number(batch_size):
    with pytest.raises(ParameterError, match="`batch_size`"):
        EvaluateConfig.parse(batch_size=batch_size)

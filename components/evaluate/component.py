"""KFP component of `evaluate`."""

from kfp import dsl

from tilepipe.components.shared import images


@dsl.component(base_image=images.TRAIN, install_kfp_package=False)
def evaluate_model(
    val_shards: dsl.Input[list[dsl.Dataset]],
    test_shards: dsl.Input[list[dsl.Dataset]],
    manifest: dsl.Input[dsl.Artifact],
    model: dsl.Input[dsl.Model],
    history: dsl.Input[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    confusion: dsl.Output[dsl.ClassificationMetrics],
    summary: dsl.Output[dsl.Markdown],
    report: dsl.Output[dsl.HTML],
    predictions: dsl.Output[dsl.Dataset],
    samples: dsl.Output[dsl.Dataset],
    tiles: dsl.Input[dsl.Dataset] = None,
    ingest_report: dsl.Input[dsl.HTML] = None,
    label_map: dsl.Input[dsl.Artifact] = None,
    mlflow_run_id: str = "",
    batch_size: int = 256,
    options: dict = {},
) -> None:
    """Measure a trained model on the validation and test tiles, and write a report.

    Args:
        val_shards: Validation tiles, one folder per packed part.
        test_shards: Test tiles; without any, the validation figures are the headline.
        manifest: Contents of the shards (JSON).
        model: Trained classifier (.keras).
        history: Figures of each training epoch (JSON).
        metrics: Accuracy, loss and means over the classes, for each split.
        confusion: Confusion matrix and ROC curve of the headline split.
        summary: Main figures (Markdown).
        report: All figures, as a self-contained page (HTML).
        predictions: Predicted class and probabilities of each tile (Parquet).
        samples: A few validation tiles with their labels, for steps that need no more (NumPy archive).
        tiles: Tile table of ingest, for figures per group, the map of errors and links to tiles; may be left out.
        ingest_report: Report of ingest, for the MLflow run; may be left out.
        label_map: Classes in order, and the class of each of the source's labels, for the MLflow run; may be left out.
        mlflow_run_id: MLflow run that train opened; empty if none is tracked.
        batch_size: Tiles per batch; affects only speed and memory.
        options: Rarely changed settings of evaluate: {"test_time_augmentation": ["flip", "quarter_turn"]}, {"top_k":
            5}, {"mistakes": 50} and others.
    """
    from pathlib import Path

    from tilepipe.components.evaluate.config import EvaluateConfig
    from tilepipe.components.evaluate.evaluate import Inputs, Outputs, evaluate
    from tilepipe.components.shared.contracts.artifact_metadata import write_uris
    from tilepipe.components.shared.runtime.step import step

    with step("evaluate"):
        config = EvaluateConfig.from_arguments(locals())
        report.uri, predictions.uri = report.uri + ".html", predictions.uri + ".parquet"
        samples.uri += ".npz"
        val_folders, test_folders = (tuple(Path(a.path) for a in shards) for shards in (val_shards, test_shards))
        about_data = {"ingest-report.html": ingest_report, "label_map.json": label_map}
        read = Inputs(
            val_folders,
            test_folders,
            *(Path(a.path) for a in (manifest, model, history, tiles) if a),
            data_files={name: Path(a.path) for name, a in about_data.items() if a},
        )
        write = Outputs(*(Path(a.path) for a in (metrics, confusion, summary, report, predictions, samples)))
        found = evaluate(config, read, write)
        for name, value in found.shown_figures().items():
            metrics.log_metric(name, value)
        if found.matrix_is_shown:
            confusion.log_confusion_matrix(list(found.manifest.class_names), found.headline.confusion.tolist())
        predictions.metadata["test_shards"] = write_uris(shards.uri for shards in test_shards)
        confusion.log_roc_curve(found.roc.false_positive_rate, found.roc.true_positive_rate, found.roc.threshold)

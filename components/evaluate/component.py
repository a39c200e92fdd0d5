"""The KFP face of `evaluate`."""

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
    mlflow_run_id: str = "",
    batch_size: int = 256,
) -> None:
    """Measure a trained model on the validation and test tiles, and write a report.

    Args:
        val_shards: validation tiles, a folder a part that was packed.
        test_shards: test tiles; where there are none, the validation figures are the headline.
        manifest: what the shards hold.
        model: the trained classifier (.keras).
        history: figures of each epoch of the training.
        metrics: accuracy, loss and means over the classes, of each split.
        confusion: confusion matrix and ROC curve of the headline split.
        summary: the figures in short.
        report: the figures at length, as a page of its own.
        predictions: the model's answer for each tile (Parquet).
        mlflow_run_id: run that `train` opened; empty for an untracked one.
        batch_size: tiles a batch.
    """
    from pathlib import Path

    from tilepipe.components.evaluate.config import EvaluateConfig
    from tilepipe.components.evaluate.evaluate import Inputs, Outputs, evaluate
    from tilepipe.components.shared.runtime.step import step

    with step("evaluate"):
        config = EvaluateConfig.from_arguments(locals())
        report.uri, predictions.uri = report.uri + ".html", predictions.uri + ".parquet"
        val_folders, test_folders = (tuple(Path(a.path) for a in shards) for shards in (val_shards, test_shards))
        read = Inputs(val_folders, test_folders, *(Path(a.path) for a in (manifest, model, history)))
        write = Outputs(*(Path(a.path) for a in (metrics, confusion, summary, report, predictions)))
        found = evaluate(config, read, write)
        for name, value in found.scalars().items():
            metrics.log_metric(name, value)
        if found.matrix_is_shown:
            confusion.log_confusion_matrix(list(found.manifest.class_names), found.headline.confusion.tolist())
        confusion.log_roc_curve(found.roc.false_positive_rate, found.roc.true_positive_rate, found.roc.threshold)

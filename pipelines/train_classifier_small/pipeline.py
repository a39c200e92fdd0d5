"""The wiring of `train_classifier_small`: `train_classifier` with all but a handful of parameters at their defaults."""

from kfp import dsl

from tilepipe.pipelines.train_classifier.pipeline import train_classifier


@dsl.pipeline(name="train-classifier-small", display_name="Train a tile classifier (few parameters)")
def train_classifier_small(
    data_source: str,
    data_source_bands: list = [],
    tracking_experiment: str = "tilepipe",
    train_epochs: int = 5,
    train_gpu_count: str = "0",
) -> None:
    """Train, evaluate and track a classifier of labelled image tiles, with few parameters: the one for a first run.

    Args:
        data_source: Address of the tiles: a STAC API, the catalog.json of a static STAC catalog, an ItemCollection, a
            STAC-GeoParquet file, a folder, zip or tar of class folders, a table (CSV, TSV, Parquet) or a folder of
            tables, or TFRecords; a path, s3:// or https://.
        data_source_bands: Order of the bands in the files, if their metadata lack it or state it wrongly.
        tracking_experiment: MLflow experiment.
        train_epochs: Number of passes over the training tiles.
        train_gpu_count: Number of GPUs to train on; 0 trains on the CPU of any node.
    """
    train_classifier.pipeline_func(  # inline: as a nested pipeline its exit handler would not be one
        data_source=data_source,
        data_source_bands=data_source_bands,
        tracking_experiment=tracking_experiment,
        train_epochs=train_epochs,
        train_gpu_count=train_gpu_count,
    )

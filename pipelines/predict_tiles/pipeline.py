"""The wiring of `predict_tiles`."""

from kfp import dsl

from tilepipe.components.ingest.component import ingest_tiles
from tilepipe.components.plan.component import plan_predictions
from tilepipe.components.predict_tiles.component import collect_predictions, predict_part
from tilepipe.components.snapshot.component import snapshot_source
from tilepipe.pipelines import settings


@dsl.pipeline(name="predict-tiles", display_name="Predict tiles")
def predict_tiles(
    data_source: str,
    model_uri: str,
    data_columns: dict = {},
    data_href_rewrite: dict = {},
    data_options: dict = {},
    data_query: dict = {},
    data_secret_name: str = settings.CATALOG_SECRET,
    data_snapshot: str = "",
    data_source_bands: list = [],
    data_where: str = "",
    output_uri: str = "",
    predict_options: dict = {},
    predict_workers: int = 1,
    storage_secret_name: str = settings.STORAGE_SECRET,
    tracking_experiment: str = "tilepipe",
    tracking_secret_name: str = settings.TRACKING_SECRET,
) -> None:
    """Predict the class of each tile of a source with a trained model, and measure the drift from the training data.

    Args:
        data_source: Address of the tiles, which need no labels: a STAC API, the catalog.json of a static STAC catalog,
            an ItemCollection, a STAC-GeoParquet file, a folder of images, a table (CSV, TSV, Parquet) or a folder of
            tables, or TFRecords; a path, s3:// or https://.
        model_uri: Address of the model: a bundle of export (.tar.gz) or its STAC item, as a path, s3:// or https://; or
            models:/name@alias or models:/name/version in the model registry.
        data_columns: Columns of a table, or properties of STAC items, by role: {"label": ..., "image": ...,
            "datetime": ..., "id": ...}.
        data_href_rewrite: Replacements of address prefixes, such as {"https://example.org/": "s3://bucket/"}.
        data_options: Rarely changed settings of ingest: {"asset_key": "image"}, {"band_assets": {"B04": "red"}},
            {"record_shape": [64, 48]}, {"kind": "table"} and others.
        data_query: Search of a STAC API: {"collections": [...], "bbox": [west, south, east, north], "datetime": "...",
            "filter": "CQL2", "max_items": 0}.
        data_secret_name: Secret with TILEPIPE_STAC_TOKEN, or _USERNAME and _PASSWORD, for a STAC API, and
            TILEPIPE_WEB_TOKENS for files on the web; all optional.
        data_snapshot: ISO 8601 time as of which the source is read; set another to read a changed source again.
            Default: none, or in a recurring run the time at which it was triggered.
        data_source_bands: Order of the bands in the files, if their metadata lack it or state it wrongly.
        data_where: SQL condition that a tile must meet, such as label <> 'River' AND "eo:cloud_cover" < 20.
        output_uri: Folder or s3://bucket/prefix that keeps the predictions of all runs: only tiles that are in none of
            its files are predicted, and a file with them is added; empty predicts all tiles.
        predict_options: Rarely changed settings of the prediction: {"tile_size": [64, 64]}, {"max_drift": {"classes":
            0.25}}, {"max_quarantine_percent": 5} and others.
        predict_workers: Number of pods that share the prediction; fewer for few tiles.
        storage_secret_name: Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for tiles, model and predictions;
            may be absent.
        tracking_experiment: MLflow experiment; empty tracks nothing.
        tracking_secret_name: Secret with MLFLOW_TRACKING_USERNAME and _PASSWORD, or _TOKEN; may be absent.
    """
    snapshot = snapshot_source(snapshot=data_snapshot).set_caching_options(enable_caching=False)
    settings.configure(snapshot, cpu="1", memory="512Mi", timeout_seconds=300, retries=2)

    ingest = ingest_tiles(
        source=data_source,
        source_bands=data_source_bands,
        href_rewrite=data_href_rewrite,
        snapshot=snapshot.output,
        query=data_query,
        columns=data_columns,
        where=data_where,
        labels="optional",
        options=data_options,
    )
    settings.configure(ingest, cpu="2", memory="2Gi", timeout_seconds=4 * 3600, retries=1)
    settings.use_storage(ingest, storage_secret_name)
    settings.use_catalog(ingest, data_secret_name)

    # Not cached: an alias moves, and earlier runs add predictions.
    plan = plan_predictions(
        tiles=ingest.outputs["tiles"],
        model_uri=model_uri,
        output_uri=output_uri,
        workers=predict_workers,
        experiment=tracking_experiment,
        options=predict_options,
    ).set_caching_options(enable_caching=False)
    settings.configure(plan, cpu="2", memory="2Gi", timeout_seconds=3600, retries=1)
    settings.use_storage(plan, storage_secret_name)
    settings.use_tracking(plan, tracking_secret_name)

    with dsl.ParallelFor(plan.outputs["Output"], name="predict") as part:
        predict = predict_part(
            plan=plan.outputs["plan"],
            bundle=plan.outputs["bundle"],
            new_tiles=plan.outputs["new_tiles"],
            part=part,
        )
        settings.configure(predict, cpu="4", memory="2Gi", timeout_seconds=12 * 3600, retries=2)
        settings.use_storage(predict, storage_secret_name)
        settings.use_web(predict, data_secret_name)

    collect = collect_predictions(
        plan=plan.outputs["plan"],
        bundle=plan.outputs["bundle"],
        reference=plan.outputs["reference"],
        part_predictions=dsl.Collected(predict.outputs["predictions"]),
        part_quarantines=dsl.Collected(predict.outputs["quarantine"]),
        part_moments=dsl.Collected(predict.outputs["moments"]),
    ).set_caching_options(enable_caching=False)
    settings.configure(collect, cpu="2", memory="2Gi", timeout_seconds=3600, retries=1)
    settings.use_storage(collect, storage_secret_name)
    settings.use_tracking(collect, tracking_secret_name)

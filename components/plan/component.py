"""KFP component of `plan`."""

from kfp import dsl

from tilepipe.components.shared import images


@dsl.component(base_image=images.DATA, install_kfp_package=False)
def plan_predictions(
    tiles: dsl.Input[dsl.Dataset],
    bundle: dsl.Output[dsl.Model],
    reference: dsl.Output[dsl.Dataset],
    new_tiles: dsl.Output[dsl.Dataset],
    plan: dsl.Output[dsl.Artifact],
    model_uri: str,
    output_uri: str = "",
    workers: int = 1,
    experiment: str = "tilepipe",
    options: dict = {},
) -> list:  # as the one output, `Output`: kfp.local finds a loop's items under no other name
    """Fetch the model of a prediction, and leave out the tiles that have been predicted before.

    Args:
        tiles: Tile table of `ingest` (Parquet).
        bundle: The model, as `export` wrote it (.tar.gz).
        reference: Class and confidence of earlier predictions, for the drift; it may have no rows (Parquet).
        new_tiles: Tile table of the tiles to predict; it may have no rows (Parquet).
        plan: Model, number of tiles and settings for the workers (JSON).
        model_uri: Address of the model: a bundle of export (.tar.gz) or its STAC item, as a path, s3:// or https://; or
            models:/name@alias or models:/name/version in the model registry.
        output_uri: Folder or s3://bucket/prefix that keeps the predictions of all runs: only tiles that are in none of
            its files are predicted, and a file with them is added; empty predicts all tiles.
        workers: Number of pods that share the prediction; fewer for few tiles.
        experiment: MLflow experiment; empty tracks nothing.
        options: Rarely changed settings of the prediction: {"tile_size": [64, 64]}, {"max_drift": {"classes": 0.25}},
            {"max_quarantine_percent": 5} and others.

    Returns:
        The numbers of the parts to predict, of which there is at least one.
    """
    from pathlib import Path

    from tilepipe.components.plan.config import PlanConfig
    from tilepipe.components.plan.plan import PlanOutputs
    from tilepipe.components.plan.plan import plan as plan_tiles
    from tilepipe.components.shared.runtime.step import step

    with step("plan"):
        config = PlanConfig.from_arguments(locals())
        bundle.uri, plan.uri = bundle.uri + ".tar.gz", plan.uri + ".json"
        reference.uri, new_tiles.uri = reference.uri + ".parquet", new_tiles.uri + ".parquet"
        outputs = PlanOutputs(*(Path(artifact.path) for artifact in (bundle, reference, new_tiles, plan)))
        planned = plan_tiles(config, Path(tiles.path), outputs)
        plan.metadata.update(planned.model_dump(mode="json", exclude={"schema_version", "options", "class_names"}))
    return list(range(planned.parts))

"""The wiring of `predict_scenes`."""

from kfp import dsl

from tilepipe.components.predict_scenes.component import predict_scene
from tilepipe.pipelines import settings


@dsl.pipeline(name="predict-scenes", display_name="Classify scenes")
def predict_scenes(
    model_uri: str,
    scene_uris: list,
    output_uri: str = "",
    scene_bands: list = [],
    scene_options: dict = {},
    scene_stride_pixels: int = 0,
    storage_secret_name: str = settings.STORAGE_SECRET,
    tracking_experiment: str = "",
    tracking_secret_name: str = settings.TRACKING_SECRET,
) -> None:
    """Classify the windows of satellite scenes with a trained model, and write a class map per scene.

    Args:
        model_uri: Address of the model: a bundle of export (.tar.gz) or its STAC item, as a path, s3:// or https://; or
            models:/name@alias or models:/name/version in the model registry.
        scene_uris: Addresses of the scenes: GeoTIFFs or STAC items (.json) with one asset per band; paths, s3:// or
            https://. With [] the run does nothing.
        output_uri: Folder or s3://bucket/prefix to which the results of each scene are copied, in a folder of its own;
            empty copies nothing.
        scene_bands: Names of the bands of a GeoTIFF, in its order, if the file lacks them.
        scene_options: Rarely changed settings of the prediction: {"resolution": "pixel"}, {"allow_mismatch": true},
            {"fill_bands": ["B10"]} and others.
        scene_stride_pixels: Distance between windows in pixels of the scene; a smaller one than a tile lets windows
            overlap, and their probabilities are averaged; 0 is the size of a tile.
        storage_secret_name: Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for scenes, model and results; may
            be absent.
        tracking_experiment: MLflow experiment; empty tracks nothing.
        tracking_secret_name: Secret with MLFLOW_TRACKING_USERNAME and _PASSWORD, or _TOKEN, for a model in the
            registry; may be absent.
    """
    with dsl.ParallelFor(scene_uris, name="scenes", parallelism=4) as scene_uri:
        # Not cached: a model's alias moves, and a file may have changed behind its address.
        predict = predict_scene(
            scene_uri=scene_uri,
            model_uri=model_uri,
            output_uri=output_uri,
            scene_bands=scene_bands,
            stride_pixels=scene_stride_pixels,
            options=scene_options,
            experiment=tracking_experiment,
        ).set_caching_options(enable_caching=False)
        settings.configure(predict, cpu="4", memory="2Gi", timeout_seconds=6 * 3600, retries=1)
        settings.use_storage(predict, storage_secret_name)
        settings.use_tracking(predict, tracking_secret_name)

"""KFP component of `predict_scenes`."""

from kfp import dsl

from tilepipe.components.shared import images


@dsl.component(base_image=images.DATA, install_kfp_package=False)
def predict_scene(
    prediction: dsl.Output[dsl.Artifact],
    page: dsl.Output[dsl.HTML],
    scene_uri: str,
    model_uri: str,
    output_uri: str = "",
    scene_bands: list = [],
    stride_pixels: int = 0,
    experiment: str = "",
    options: dict = {},
) -> None:
    """Classify the windows of a scene with a trained model, and write a class map.

    Args:
        prediction: Class map and confidence (COGs), their STAC item and a picture.
        page: Picture of the class map with a legend (HTML).
        scene_uri: Address of the scene: a GeoTIFF or a STAC item (.json) with one asset per band; a path, s3:// or
            https://.
        model_uri: Address of the model: a bundle of export (.tar.gz) or its STAC item, as a path, s3:// or https://; or
            models:/name@alias or models:/name/version in the model registry.
        output_uri: Folder or s3://bucket/prefix to which the results of each scene are copied, in a folder of its own;
            empty copies nothing.
        scene_bands: Names of the bands of a GeoTIFF, in its order, if the file lacks them.
        stride_pixels: Distance between windows in pixels of the scene; a smaller one than a tile lets windows overlap,
            and their probabilities are averaged; 0 is the size of a tile.
        experiment: MLflow experiment; empty tracks nothing.
        options: Rarely changed settings of the prediction: {"resolution": "pixel"}, {"allow_mismatch": true},
            {"fill_bands": ["B10"]} and others.
    """
    from pathlib import Path

    from tilepipe.components.predict_scenes.config import PredictScenesConfig
    from tilepipe.components.predict_scenes.predict_scenes import Outputs, predict_scenes
    from tilepipe.components.shared.runtime.step import step

    with step("predict_scenes"):
        config = PredictScenesConfig.from_arguments(locals())
        page.uri += ".html"
        prediction.metadata.update(predict_scenes(config, Outputs(Path(prediction.path), Path(page.path))))

"""The wiring of `tune_classifier`."""

from dataclasses import dataclass

from kfp import dsl

from tilepipe.components.finish.component import finish_run
from tilepipe.components.propose.component import propose_candidates
from tilepipe.components.refit.component import refit_winner
from tilepipe.components.select.component import select_candidate
from tilepipe.components.shared import images
from tilepipe.components.tune.component import tune_candidates
from tilepipe.pipelines import settings
from tilepipe.pipelines.train_classifier.pipeline import PipelineArguments, evaluate_and_publish, pack_data

_TIMEOUT_SECONDS = 7 * 24 * 3600
"""Timeout of a task that trains, which may train many candidates."""


@dsl.pipeline(name="train-candidates")
def train_candidates(
    shares: list,
    train_shards: dsl.Input[list[dsl.Dataset]],
    val_shards: dsl.Input[list[dsl.Dataset]],
    manifest: dsl.Input[dsl.Artifact],
    checkpoint_uri: str,
    experiment: str,
    gpu_count: str,
    gpu_resource: str,
    image: str,
    memory: str,
    node_selector: dict,
    storage_secret_name: str,
    tolerations: list,
    tracking_secret_name: str,
) -> list[dsl.Model]:
    """Train the shares of all workers at the same time.

    A pipeline of its own since KFP 2.17 cannot compile a loop whose tasks take what another loop collects.
    """
    with dsl.ParallelFor(shares, name="tune") as share:
        tune = tune_candidates(
            train_shards=train_shards,
            val_shards=val_shards,
            manifest=manifest,
            share=share,
            checkpoint_uri=checkpoint_uri,
            experiment=experiment,
            gpu_count=gpu_count,
            gpu_resource=gpu_resource,
            memory=memory,
        )
        settings.configure_training(
            tune,
            gpu_count=gpu_count,
            gpu_resource=gpu_resource,
            image=image,
            memory=memory,
            node_selector=node_selector,
            storage_secret_name=storage_secret_name,
            tolerations=tolerations,
            tracking_secret_name=tracking_secret_name,
            timeout_seconds=_TIMEOUT_SECONDS,
        )
    collected: list[dsl.Model] = dsl.Collected(tune.outputs["outcomes"])
    return collected


@dataclass(frozen=True)
class SweepArguments(PipelineArguments):
    """Parameters of the pipeline: those of `train_classifier`, and those of the sweep."""

    tune_candidates: int
    tune_metric: str
    tune_options: dict
    tune_refit: bool
    tune_search: str
    tune_space: dict
    tune_workers: int


def wire(given: SweepArguments) -> None:
    """Create the tasks.

    Args:
        given: The pipeline's parameters.
    """
    finish = finish_run(experiment=given.tracking_experiment).set_caching_options(enable_caching=False)
    settings.configure(finish, cpu="1", memory="512Mi", timeout_seconds=600, retries=2)
    settings.use_tracking(finish, given.tracking_secret_name)

    with dsl.ExitHandler(finish, name="tune-classifier"):
        ingest, pack, merge = pack_data(given)

        # Not cached, since it opens the MLflow run; as the items are parameters, the loop's tasks still come from the
        # cache if nothing has changed.
        propose = propose_candidates(
            manifest=merge.outputs["manifest"],
            tune_space=given.tune_space,
            tune_search=given.tune_search,
            tune_candidates=given.tune_candidates,
            tune_workers=given.tune_workers,
            tune_metric=given.tune_metric,
            tune_options=given.tune_options,
            tune_refit=given.tune_refit,
            experiment=given.tracking_experiment,
            seed=given.seed,
            model_architecture=given.model_architecture,
            model_options=given.model_options,
            model_weights_uri=given.model_weights_uri,
            train_augmentation=given.train_augmentation,
            train_batch_size=given.train_batch_size,
            train_epochs=given.train_epochs,
            train_learning_rate=given.train_learning_rate,
            train_optimizer=given.train_optimizer,
            train_options=given.train_options,
        ).set_caching_options(enable_caching=False)
        settings.configure(propose, cpu="1", memory="1Gi", timeout_seconds=600, retries=1)
        settings.use_tracking(propose, given.tracking_secret_name)

        sweep = train_candidates(
            shares=propose.outputs["Output"],
            train_shards=dsl.Collected(pack.outputs["train_shards"]),
            val_shards=dsl.Collected(pack.outputs["val_shards"]),
            manifest=merge.outputs["manifest"],
            checkpoint_uri=given.train_checkpoint_uri,
            experiment=given.tracking_experiment,
            gpu_count=given.train_gpu_count,
            gpu_resource=given.train_gpu_resource,
            image=given.train_image,
            memory=given.train_memory_limit,
            node_selector=given.train_node_selector,
            storage_secret_name=given.storage_secret_name,
            tolerations=given.train_tolerations,
            tracking_secret_name=given.tracking_secret_name,
        )

        select = select_candidate(
            outcomes=sweep.output,
            manifest=merge.outputs["manifest"],
            experiment=given.tracking_experiment,
        )
        settings.configure(select, cpu="1", memory="1Gi", timeout_seconds=1800, retries=1)
        settings.use_tracking(select, given.tracking_secret_name)

        refit = refit_winner(
            winner=select.outputs["winner"],
            winner_model=select.outputs["model"],
            winner_history=select.outputs["history"],
            winner_manifest=merge.outputs["manifest"],
            train_shards=dsl.Collected(pack.outputs["train_shards"]),
            val_shards=dsl.Collected(pack.outputs["val_shards"]),
            enabled=given.tune_refit,
            checkpoint_uri=given.train_checkpoint_uri,
            experiment=given.tracking_experiment,
            gpu_count=given.train_gpu_count,
            gpu_resource=given.train_gpu_resource,
            memory=given.train_memory_limit,
        )
        settings.configure_training(
            refit,
            gpu_count=given.train_gpu_count,
            gpu_resource=given.train_gpu_resource,
            image=given.train_image,
            memory=given.train_memory_limit,
            node_selector=given.train_node_selector,
            storage_secret_name=given.storage_secret_name,
            tolerations=given.train_tolerations,
            tracking_secret_name=given.tracking_secret_name,
            timeout_seconds=_TIMEOUT_SECONDS,
        )

        evaluate_and_publish(given, ingest, pack, packed=refit, trained=refit)


@dsl.pipeline(name="tune-classifier", display_name="Tune a tile classifier")
def tune_classifier(
    data_source: str,
    tune_space: dict,
    data_bands: list = [],
    data_classes: list = [],
    data_columns: dict = {},
    data_href_rewrite: dict = {},
    data_max_per_class: int = 0,
    data_options: dict = {},
    data_query: dict = {},
    data_recode: dict = {},
    data_secret_name: str = settings.CATALOG_SECRET,
    data_snapshot: str = "",
    data_source_bands: list = [],
    data_where: str = "",
    evaluate_options: dict = {},
    export_bundle_uri: str = "",
    export_enabled: bool = True,
    export_name: str = "",
    export_options: dict = {},
    model_architecture: str = "cnn",
    model_options: dict = {},
    model_weights_uri: str = "",
    pack_options: dict = {},
    pack_workers: int = 1,
    register_enabled: bool = True,
    register_name: str = "",
    seed: int = 0,
    split_block_metres: float = 0.0,
    split_by: str = "class",
    split_files: dict = {},
    split_fractions: dict = {"train": 0.7, "val": 0.15, "test": 0.15},
    split_property: str = "",
    storage_secret_name: str = settings.STORAGE_SECRET,
    tracking_experiment: str = "tilepipe",
    tracking_secret_name: str = settings.TRACKING_SECRET,
    train_augmentation: list = ["flip", "quarter_turn"],
    train_batch_size: int = 64,
    train_checkpoint_uri: str = "",
    train_epochs: int = 10,
    train_gpu_count: str = "0",
    train_gpu_resource: str = "nvidia.com/gpu",
    train_image: str = images.TRAIN,
    train_learning_rate: float = 0.001,
    train_memory_limit: str = "4Gi",
    train_node_selector: dict = {},
    train_optimizer: str = "adam",
    train_options: dict = {},
    train_tolerations: list = [],
    tune_candidates: int = 20,
    tune_metric: str = "val_accuracy",
    tune_options: dict = {},
    tune_refit: bool = False,
    tune_search: str = "grid",
    tune_workers: int = 1,
) -> None:
    """Train candidates with different networks, bands or parameters, and evaluate the best one on test tiles.

    Args:
        data_source: Address of the tiles: a STAC API, the catalog.json of a static STAC catalog, an ItemCollection, a
            STAC-GeoParquet file, a folder, zip or tar of class folders, a table (CSV, TSV, Parquet) or a folder of
            tables, or TFRecords; a path, s3:// or https://.
        tune_space: Search space: {"train_learning_rate": [0.001, 0.01], "train_options.schedule": ["constant",
            "cosine"], "model_options.indices": [[], ["NDVI"]]}; for a random or TPE search also ranges, {"low": 0.0001,
            "high": 0.01, "log": true}.
        data_bands: Names of the bands to train on, in order; [] takes all.
        data_classes: Classes in the order of the model's outputs; [] takes all, sorted.
        data_columns: Columns of a table, or properties of STAC items, by role: {"label": ..., "group": ..., "image":
            ..., "datetime": ..., "id": ...}.
        data_href_rewrite: Replacements of address prefixes, such as {"https://example.org/": "s3://bucket/"}.
        data_max_per_class: Maximum number of tiles per class, sampled at random; 0 takes all.
        data_options: Rarely changed settings of ingest: {"asset_key": "image"}, {"band_assets": {"B04": "red"}},
            {"record_shape": [64, 48]}, {"kind": "table"} and others.
        data_query: Search of a STAC API: {"collections": [...], "bbox": [west, south, east, north], "datetime": "...",
            "filter": "CQL2", "max_items": 0}.
        data_recode: Class of each label to rename: {"Pasture": "Grass", "Unknown": ""}; "" drops the tiles.
        data_secret_name: Secret with TILEPIPE_STAC_TOKEN, or _USERNAME and _PASSWORD, for a STAC API, and
            TILEPIPE_WEB_TOKENS for files on the web; all optional.
        data_snapshot: ISO 8601 time as of which the source is read; set another to read a changed source again.
            Default: none, or in a recurring run the time at which it was triggered.
        data_source_bands: Order of the bands in the files, if their metadata lack it or state it wrongly.
        data_where: SQL condition that a tile must meet, such as label <> 'River' AND "eo:cloud_cover" < 20.
        evaluate_options: Rarely changed settings of evaluate: {"test_time_augmentation": ["flip", "quarter_turn"]},
            {"top_k": 5}, {"mistakes": 50} and others.
        export_bundle_uri: Folder or s3://bucket/prefix to which the bundle is copied, under name-YYYY-mm-dd-HH-MM-SS;
            empty copies nothing.
        export_enabled: Whether to export the model as ONNX, in a bundle with its description.
        export_name: Name of the model in its files; default: the name of the dataset and the network.
        export_options: Rarely changed settings of export: {"max_difference": 0.001}, {"parity_tiles": 100} and others.
        model_architecture: Network: cnn, compact, efficientnet_lite0, efficientnet_v2_b1, efficientnet_v2_s,
            inception_v3, mobilenet_v2, mobilenet_v3_large, mobilenet_v3_small, resnet50.
        model_options: Rarely changed settings of the network: {"dropout": 0.3}, {"input_size_pixels": 96}, {"indices":
            ["NDVI"]} and others.
        model_weights_uri: Pretrained weights: a path, s3:// or https:// address of .npz, .h5 or .keras; imagenet for
            those that Keras downloads; empty for random weights.
        pack_options: Rarely changed settings of pack: {"cache": "s3://bucket/cache"}, {"max_quarantine_percent": 5},
            {"tile_size": [64, 64]} and others.
        pack_workers: Number of pods that share the packing; the shards are the same for any number.
        register_enabled: Whether to register the exported model in MLflow, with the alias challenger; does nothing
            without tracking.
        register_name: Name of the model in MLflow's registry; default: the name that export gave it.
        seed: Seed of sampling, splits, tile order, initial weights and augmentation.
        split_block_metres: Side of the squares on the ground in metres, for split_by block.
        split_by: How tiles are split: class (at random, in the same proportions per class), group (all tiles of a
            data_columns.group stay together), block (so do all tiles of a square on the ground) or time (the newest
            tiles are for testing).
        split_files: Predefined splits: text files with one file name or tile id per line, {"train":
            "s3://bucket/train.txt", "val": "..."}.
        split_fractions: Fraction of the tiles in train, val and test.
        split_property: Predefined splits: the STAC property or column with the split of each tile, such as
            ml-aoi:split.
        storage_secret_name: Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for the tiles' bucket; may be
            absent.
        tracking_experiment: MLflow experiment.
        tracking_secret_name: Secret with MLFLOW_TRACKING_USERNAME and _PASSWORD, or _TOKEN; may be absent.
        train_augmentation: Random changes to training tiles: any of flip, quarter_turn, shift, zoom, contrast,
            brightness, cutout, mixup; [] for none.
        train_batch_size: Tiles per training step, shared by all GPUs.
        train_checkpoint_uri: Folder or s3://bucket/prefix for checkpoints, from which an interrupted training resumes;
            empty keeps none, but tilepipe run then keeps them beside its runs.
        train_epochs: Number of passes over the training tiles.
        train_gpu_count: Number of GPUs to train on; 0 trains on the CPU of any node.
        train_gpu_resource: Kubernetes resource name of the GPU.
        train_image: Container image of the training step.
        train_learning_rate: Learning rate of the optimizer.
        train_memory_limit: Memory of the training pod, such as 8Gi; up to a third of it holds tiles.
        train_node_selector: Labels that the training node must have, such as {"accelerator": "gpu"}; {} for any node.
        train_optimizer: Optimizer: adam, adamw, sgd (with momentum 0.9) or rmsprop.
        train_options: Rarely changed settings of training: {"schedule": "cosine"}, {"ema_momentum": 0.999},
            {"early_stopping_patience_epochs": 5} and others.
        train_tolerations: Tolerations of the training pod, as in Kubernetes; [] for none.
        tune_candidates: Number of random or TPE candidates, or size limit of the grid.
        tune_metric: Validation metric that ranks the candidates, and selects the best epoch of each: val_accuracy,
            val_loss, val_macro_f1, val_recall/Forest and others.
        tune_options: Rarely changed settings of the sweep: {"rungs": [2, 6]} stops unpromising candidates after 2 and 6
            epochs, {"study_uri": "s3://bucket/study"} continues an earlier sweep.
        tune_refit: Train the best candidate again, on training and validation tiles together, for as many epochs as its
            best one; else its model is used as it is.
        tune_search: grid takes all combinations of the values, random draws tune_candidates of them, tpe chooses as
            many by the results of earlier ones.
        tune_workers: Number of pods that train candidates at the same time; each trains its share one after another.
    """
    wire(SweepArguments(**locals(), split_merge_train_val=False))

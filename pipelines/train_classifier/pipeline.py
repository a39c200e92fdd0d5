"""The wiring of `train_classifier`."""

from dataclasses import dataclass

from kfp import dsl

from tilepipe.components.evaluate.component import evaluate_model
from tilepipe.components.export.component import export_model
from tilepipe.components.finish.component import finish_run
from tilepipe.components.ingest.component import ingest_tiles
from tilepipe.components.pack.component import merge_packed, pack_all_tiles, pack_tiles
from tilepipe.components.prepare.component import prepare_model
from tilepipe.components.register.component import register_model
from tilepipe.components.shared import images
from tilepipe.components.snapshot.component import snapshot_source
from tilepipe.components.train.component import train_model
from tilepipe.pipelines import settings
from tilepipe.pipelines.task_groups import condition, of_all_parts


@dataclass(frozen=True)
class PipelineArguments:
    """Parameters of the pipeline, in the order of its function's.

    While KFP compiles, each value is the channel of a parameter; the types are those of a run.
    """

    data_source: str
    data_bands: list
    data_classes: list
    data_columns: dict
    data_href_rewrite: dict
    data_max_per_class: int
    data_options: dict
    data_query: dict
    data_recode: dict
    data_secret_name: str
    data_snapshot: str
    data_source_bands: list
    data_where: str
    evaluate_options: dict
    export_bundle_uri: str
    export_enabled: bool
    export_name: str
    export_options: dict
    model_architecture: str
    model_options: dict
    model_weights_uri: str
    pack_options: dict
    pack_workers: int
    register_enabled: bool
    register_name: str
    seed: int
    split_block_metres: float
    split_by: str
    split_files: dict
    split_fractions: dict
    split_merge_train_val: bool
    split_property: str
    storage_secret_name: str
    tracking_experiment: str
    tracking_secret_name: str
    train_augmentation: list
    train_batch_size: int
    train_checkpoint_uri: str
    train_epochs: int
    train_gpu_count: str
    train_gpu_resource: str
    train_image: str
    train_learning_rate: float
    train_memory_limit: str
    train_node_selector: dict
    train_optimizer: str
    train_options: dict
    train_tolerations: list


def pack_data(given: PipelineArguments) -> tuple[dsl.PipelineTask, dsl.PipelineTask, dsl.PipelineTask]:
    """Create the tasks that read and pack the tiles, for every pipeline that trains on them.

    Returns:
        The task with the tile table, the one with the shards (in a loop over the parts, or alone), and the one with
        their manifest.
    """
    snapshot = snapshot_source(snapshot=given.data_snapshot).set_caching_options(enable_caching=False)
    settings.configure(snapshot, cpu="1", memory="512Mi", memory_request="256Mi", timeout_seconds=300, retries=2)

    ingest = ingest_tiles(
        source=given.data_source,
        source_bands=given.data_source_bands,
        href_rewrite=given.data_href_rewrite,
        snapshot=snapshot.output,
        query=given.data_query,
        columns=given.data_columns,
        where=given.data_where,
        classes=given.data_classes,
        recode=given.data_recode,
        max_per_class=given.data_max_per_class,
        split_by=given.split_by,
        split_block_metres=given.split_block_metres,
        split_merge_train_val=given.split_merge_train_val,
        split_fractions=given.split_fractions,
        split_files=given.split_files,
        split_property=given.split_property,
        seed=given.seed,
        workers=given.pack_workers,
        options=given.data_options,
    )
    settings.configure(ingest, cpu="2", memory="2Gi", memory_request="512Mi", timeout_seconds=4 * 3600, retries=1)
    settings.use_storage(ingest, given.storage_secret_name)
    settings.use_catalog(ingest, given.data_secret_name)

    return ingest, *_pack(given, ingest)


def _pack(given: PipelineArguments, ingest: dsl.PipelineTask) -> tuple[dsl.PipelineTask, dsl.PipelineTask]:
    """Create the tasks that pack; a pipeline that fixes one worker has one, without a loop and a merge."""
    if isinstance(given.pack_workers, int) and given.pack_workers == 1:  # a channel compared with 1 is a true condition
        pack = pack_all_tiles(
            tiles=ingest.outputs["tiles"], bands=given.data_bands, seed=given.seed, options=given.pack_options
        )
        settings.configure_packing(pack, given.storage_secret_name, given.data_secret_name)
        return pack, pack
    with dsl.ParallelFor(ingest.outputs["Output"], name="pack") as part:
        pack = pack_tiles(
            tiles=ingest.outputs["tiles"],
            bands=given.data_bands,
            seed=given.seed,
            part=part,
            parts=given.pack_workers,
            options=given.pack_options,
        )
        settings.configure_packing(pack, given.storage_secret_name, given.data_secret_name)
    merge = merge_packed(
        part_manifests=dsl.Collected(pack.outputs["part_manifest"]),
        contents=dsl.Collected(pack.outputs["contents"]),
        quarantines=dsl.Collected(pack.outputs["quarantine"]),
    )
    settings.configure(merge, cpu="2", memory="2Gi", memory_request="512Mi", timeout_seconds=3600, retries=1)
    return pack, merge


def wire(given: PipelineArguments, *, streams: bool = False) -> None:
    """Create the tasks.

    Args:
        given: The pipeline's parameters.
        streams: Let training read the shards from the artifact store while it needs them, instead of having KFP copy
            all of them to its pod first.
    """
    finish = finish_run(experiment=given.tracking_experiment).set_caching_options(enable_caching=False)
    settings.configure(finish, cpu="1", memory="512Mi", timeout_seconds=600, retries=2)
    settings.use_tracking(finish, given.tracking_secret_name)

    with dsl.ExitHandler(finish, name="train-classifier"):
        ingest, pack, merge = pack_data(given)

        prepare = prepare_model(
            manifest=merge.outputs["manifest"],
            architecture=given.model_architecture,
            weights_uri=given.model_weights_uri,
            seed=given.seed,
            options=given.model_options,
        )
        settings.configure(prepare, cpu="2", memory="2Gi", memory_request="1Gi", timeout_seconds=1800)
        settings.use_storage(prepare, given.storage_secret_name)
        settings.use_web(prepare, given.data_secret_name)

        if streams:
            shards = {
                "train_uris": dsl.Collected(pack.outputs["train_uri"]),
                "val_uris": dsl.Collected(pack.outputs["val_uri"]),
            }
        else:
            shards = {
                "train_shards": of_all_parts(pack, "train_shards"),
                "val_shards": of_all_parts(pack, "val_shards"),
            }
        train = train_model(
            **shards,
            manifest=merge.outputs["manifest"],
            base_model=prepare.outputs["base_model"],
            epochs=given.train_epochs,
            batch_size=given.train_batch_size,
            learning_rate=given.train_learning_rate,
            optimizer=given.train_optimizer,
            augmentation=given.train_augmentation,
            seed=given.seed,
            checkpoint_uri=given.train_checkpoint_uri,
            experiment=given.tracking_experiment,
            gpu_count=given.train_gpu_count,
            gpu_resource=given.train_gpu_resource,
            memory=given.train_memory_limit,  # KFP itself puts a setting `memory_limit` among a task's inputs
            options=given.train_options,
        )
        settings.configure_training(
            train,
            gpu_count=given.train_gpu_count,
            gpu_resource=given.train_gpu_resource,
            image=given.train_image,
            memory=given.train_memory_limit,
            node_selector=given.train_node_selector,
            storage_secret_name=given.storage_secret_name,
            timeout_seconds=48 * 3600,
            tolerations=given.train_tolerations,
            tracking_secret_name=given.tracking_secret_name,
        )

        evaluate_and_publish(given, ingest, pack, packed=merge, trained=train)


def evaluate_and_publish(
    given: PipelineArguments,
    ingest: dsl.PipelineTask,
    pack: dsl.PipelineTask,
    *,
    packed: dsl.PipelineTask,
    trained: dsl.PipelineTask,
) -> None:
    """Create the tasks that evaluate, export and register a model, for every pipeline that trains one.

    Args:
        given: The pipeline's parameters.
        ingest: The task with the tile table.
        pack: The task with the shards, in a loop over the parts or alone.
        packed: The task with the manifest of the tiles that the model was trained on.
        trained: The task with the model.
    """
    evaluate = evaluate_model(
        val_shards=of_all_parts(pack, "val_shards"),
        test_shards=of_all_parts(pack, "test_shards"),
        manifest=packed.outputs["manifest"],
        model=trained.outputs["model"],
        history=trained.outputs["history"],
        tiles=ingest.outputs["tiles"],
        ingest_report=ingest.outputs["report"],
        label_map=ingest.outputs["label_map"],
        mlflow_run_id=trained.outputs["mlflow_run_id"],
        options=given.evaluate_options,
    )
    settings.configure(evaluate, cpu="4", memory="2Gi", memory_request="1536Mi", timeout_seconds=4 * 3600, retries=1)
    settings.use_tracking(evaluate, given.tracking_secret_name)

    with condition(given.export_enabled, "export"):  # takes no `Collected`, which KFP 2.17 cannot compile here
        export = export_model(
            tiles=ingest.outputs["tiles"],
            samples=evaluate.outputs["samples"],
            manifest=packed.outputs["manifest"],
            model=trained.outputs["model"],
            history=trained.outputs["history"],
            metrics=evaluate.outputs["metrics"],
            confusion=evaluate.outputs["confusion"],
            name=given.export_name,
            bundle_uri=given.export_bundle_uri,
            options=given.export_options,
        )
        settings.configure(export, cpu="4", memory="4Gi", timeout_seconds=3600, retries=1)
        settings.use_storage(export, given.storage_secret_name)

        with condition(given.register_enabled, "register"):
            register = register_model(
                bundle=export.outputs["bundle"],
                manifest=packed.outputs["manifest"],
                predictions=evaluate.outputs["predictions"],
                image=given.train_image,
                mlflow_run_id=trained.outputs["mlflow_run_id"],
                name=given.register_name,
            ).set_caching_options(enable_caching=False)
            settings.configure(register, cpu="2", memory="2Gi", timeout_seconds=1800, retries=2)
            settings.use_tracking(register, given.tracking_secret_name)


@dsl.pipeline(name="train-classifier", display_name="Train a tile classifier")
def train_classifier(
    data_source: str,
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
    split_merge_train_val: bool = False,
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
) -> None:
    """Train, evaluate, export and register a classifier of labelled image tiles.

    Args:
        data_source: Address of the tiles: a STAC API, the catalog.json of a static STAC catalog, an ItemCollection, a
            STAC-GeoParquet file, a folder, zip or tar of class folders, a table (CSV, TSV, Parquet) or a folder of
            tables, or TFRecords; a path, s3:// or https://.
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
        split_merge_train_val: Merge val into train, for a final fit of which the last epoch is kept.
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
    """
    wire(PipelineArguments(**locals()))

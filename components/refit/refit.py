"""Train the winner of a sweep on training and validation tiles, or pass its model on."""

import logging
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tilepipe.components.prepare.prepare import prepare
from tilepipe.components.propose.candidate_configs import candidate_configs
from tilepipe.components.refit.config import RefitConfig
from tilepipe.components.shared.contracts.candidates import Outcome
from tilepipe.components.shared.contracts.history import read_history
from tilepipe.components.shared.contracts.json_model import read_json
from tilepipe.components.shared.contracts.manifest import Manifest, SplitSummary, read_manifest
from tilepipe.components.shared.storage.atomic import whole_file
from tilepipe.components.shared.tracking import nested_runs, tracking
from tilepipe.components.train import train as training
from tilepipe.components.train.optimization.schedules import fewest_epochs

logger = logging.getLogger("tilepipe.refit")

RUN_NAME = "refit"
"""Name of the nested MLflow run."""


@dataclass(frozen=True)
class Inputs:
    """Artifacts of the earlier steps."""

    winner: Path
    model: Path
    history: Path
    manifest: Path
    train_shards: tuple[Path, ...]
    """Folders, one per packed part."""
    val_shards: tuple[Path, ...]


@dataclass(frozen=True)
class Outputs:
    """Files to write."""

    model: Path
    history: Path
    manifest: Path
    """Manifest of the tiles that the model was trained on, for `evaluate`."""


def refit(config: RefitConfig, inputs: Inputs, outputs: Outputs) -> str:
    """Train the winner again, if that is enabled; else copy its model, history and manifest.

    Returns:
        The MLflow run of the sweep, still open for `evaluate`; empty if it is untracked.

    Raises:
        ArtifactError: an input is damaged.
        TilepipeError: the training fails, as `train` describes.
    """
    winner = read_json(Outcome, inputs.winner, "The outcome of a sweep", "select")
    run_id = tracking.open_run(config.experiment, "sweep", {})
    if not config.enabled:
        for source, target in (
            (inputs.model, outputs.model),
            (inputs.history, outputs.history),
            (inputs.manifest, outputs.manifest),
        ):
            with whole_file(target) as partial:
                shutil.copyfile(source, partial)
        logger.info("the model of %s is used as it is", winner.name)
        return run_id
    manifest = merged(read_manifest(inputs.manifest))
    manifest.write(outputs.manifest)
    epochs = _epochs(winner, read_history(inputs.history).best_epoch)
    # Without validation tiles, the last epoch is kept, and nothing can tell when to stop.
    chosen = {**winner.parameters, "train_epochs": epochs, "train_options.early_stopping_patience_epochs": 0}
    configs = candidate_configs(winner.base, chosen, **config.for_candidate(RUN_NAME))
    with nested_runs.nested(RUN_NAME, configs.of_network()), TemporaryDirectory() as scratch:
        base_model = Path(scratch) / "base.keras"
        prepare(configs.prepare, outputs.manifest, base_model, Path(scratch) / "summary.md")
        trained = training.train(
            configs.train,
            training.Inputs((*inputs.train_shards, *inputs.val_shards), (), outputs.manifest, base_model),
            training.Outputs(outputs.model, outputs.history, Path(scratch) / "curves.html"),
        )
    tracking.close_run(trained.mlflow_run_id, "FINISHED")
    tracking.adopt_run(run_id)
    tiles = manifest.splits["train"].tiles
    logger.info("%s trained again for %d epochs on %s tiles", winner.name, epochs, f"{tiles:,}")
    return run_id


def _epochs(winner: Outcome, best_epoch: int) -> int:
    """Return the epochs of the training: those up to the winner's best one, or the fewest that its phases need."""
    options = candidate_configs(winner.base, winner.parameters).train.options
    fewest = fewest_epochs(options)
    if best_epoch < fewest:
        logger.warning(
            "%s was best after %d epochs, but head_epochs=%d and warmup_epochs=%g need %d: it is trained for these",
            winner.name,
            best_epoch,
            options.head_epochs,
            options.warmup_epochs,
            fewest,
        )
    return max(best_epoch, fewest)


def merged(manifest: Manifest) -> Manifest:
    """Return a manifest whose validation shards are training shards.

    The statistics stay those of the original training tiles, so the model scales its input as the winner does.
    """
    train, val = manifest.splits["train"], manifest.splits["val"]
    counts = Counter(train.tiles_per_class) + Counter(val.tiles_per_class)
    together = SplitSummary(
        tiles=train.tiles + val.tiles,
        tiles_per_class={name: counts[name] for name in manifest.class_names},
        shards=(*train.shards, *val.shards),
    )
    empty = SplitSummary(tiles=0, tiles_per_class=dict.fromkeys(manifest.class_names, 0), shards=())
    return manifest.model_copy(update={"splits": {**manifest.splits, "train": together, "val": empty}})

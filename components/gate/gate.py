"""Judge a registered version: floors, and a comparison with the champion on the version's own test tiles."""

import contextlib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tilepipe.components.gate.config import GateConfig
from tilepipe.components.gate.judgement.floors import check_floors, parse_floors
from tilepipe.components.gate.judgement.paired_comparison import Comparison, compare
from tilepipe.components.gate.judgement.verdict import Rules, judge
from tilepipe.components.gate.paired_predictions import PairedPredictions, predict_both
from tilepipe.components.gate.record import Judgement, as_document
from tilepipe.components.gate.training_tiles import TrainingTiles
from tilepipe.components.gate.translation import Translation
from tilepipe.components.gate.verdict_page import render_page
from tilepipe.components.shared.contracts.bundle import as_json, read_bundle
from tilepipe.components.shared.contracts.manifest import Manifest, read_manifest
from tilepipe.components.shared.errors import ArtifactError, ParameterError, SourceError, StorageError
from tilepipe.components.shared.inference.bundle_model import BundleModel, load_model
from tilepipe.components.shared.inference.model_address import fetch_registered
from tilepipe.components.shared.registry.client import registry_client, set_despite_others
from tilepipe.components.shared.registry.promotions import ChampionState, promote_command, read_state
from tilepipe.components.shared.registry.registered_version import RegisteredVersion, find_version
from tilepipe.components.shared.registry.version_tags import (
    DATASET_DIGEST,
    GATE,
    GATE_CHAMPION,
    GATE_REASON,
    NO_CHAMPION,
    TEST_SHARDS,
    TRAINING_TILES,
)
from tilepipe.components.shared.storage.atomic import write_whole
from tilepipe.components.shared.tracking import tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger("tilepipe.gate")

ARTIFACT_FOLDER = "gate"
"""Folder of the verdict and the page in the MLflow run of the version."""
_MANIFEST = "manifest.json"
_LONGEST_REASON = 4000


@dataclass(frozen=True)
class Outputs:
    """Files to write."""

    verdict: Path
    page: Path


def gate(config: GateConfig, outputs: Outputs) -> Judgement:
    """Judge a version, and write the verdict to files, to its tags and to its MLflow run.

    Raises:
        ParameterError: the version is the champion, or a floor is of a class that it does not have.
        SourceError: there is no such version, it is not one of tilepipe's, or its test tiles no longer exist.
        ArtifactError: its bundle was changed or cannot be loaded, or its test tiles are damaged.
        StorageError: its test tiles cannot be read.
        TrackingError: the registry cannot be reached or denies access.
    """
    client = registry_client()
    version, state = find_version(client, config.address), read_state(client, config.name)
    if state.champion == version.version:
        raise ParameterError(
            f"The gate judges a version that is not champion. Received: {version.address}, the champion of "
            f"{version.name}. Name another version."
        )
    judgement = _judge(client, config, version, state)
    write_whole(outputs.verdict, as_json(as_document(judgement)))
    write_whole(outputs.page, render_page(judgement))
    _record(client, judgement, outputs)
    logger.info(
        "version %d of %s is %s: %s", version.version, version.name, judgement.outcome, judgement.verdict.reason
    )
    return judgement


@dataclass(frozen=True)
class _Opponent:
    """The champion, as far as a challenger can be compared with it."""

    translation: Translation | None = None
    """None if it cannot be used."""
    seen: TrainingTiles | None = None
    """Tiles that it was trained on; None if they are none of the test tiles, or not known."""
    obstacles: tuple[str, ...] = ()
    """Sentences that say why a comparison is impossible or may be unfair."""


def _judge(client: "MlflowClient", config: GateConfig, version: RegisteredVersion, state: ChampionState) -> Judgement:
    challenger, manifest = _open_challenger(client, version)
    opponent = _find_opponent(client, state, version, challenger)
    batch_tiles = config.options.batch_tiles
    with _decided_by_a_person(version):
        folders = _test_folders(version, manifest)
        predictions = predict_both(
            manifest, folders, challenger, opponent.translation, opponent.seen, batch_tiles=batch_tiles
        )
    classes, tiles = len(challenger.class_names), len(predictions.labels)
    floors = check_floors(parse_floors(config.floors), predictions.figures(classes), challenger.class_names)
    comparison = _compare(predictions, classes, config)
    obstacles = [*opponent.obstacles, *([] if tiles else ["The challenger has no test tiles."])]
    if rollback := state.rollback_of(version.version):
        obstacles.append(f"{rollback.who} went back from version {version.version} at {rollback.at}: {rollback.why}.")
    if tiles and opponent.translation is not None and comparison is None:
        obstacles.append(
            f"The champion (version {state.champion}) was trained on all {tiles:,} test tiles of the challenger: none "
            "are left for a fair comparison."
        )
    return Judgement(
        version=version,
        champion=NO_CHAMPION if state.champion is None else str(state.champion),
        at=datetime.now(UTC),
        verdict=judge(
            floors,
            comparison,
            obstacles=obstacles,
            has_champion=state.champion is not None or bool(state.remark),
            rules=Rules(config.options.min_tiles, config.options.max_loss, config.options.significance),
        ),
        class_names=challenger.class_names,
        predictions=predictions,
        floors=tuple(floors),
        comparison=comparison,
    )


@contextlib.contextmanager
def _decided_by_a_person(version: RegisteredVersion) -> Iterator[None]:
    """Add to errors of the test tiles how the version can be promoted without a verdict."""
    try:
        yield
    except (SourceError, ArtifactError, StorageError) as error:
        raise type(error)(
            f"{error} Without a verdict the pipeline `promote` ends here, with `promote_override` too, which overrides "
            f"verdicts only. A person can promote the version without one: "
            f"{promote_command(version.name, version.version)}."
        ) from error


def _find_opponent(
    client: "MlflowClient", state: ChampionState, version: RegisteredVersion, challenger: BundleModel
) -> _Opponent:
    if state.champion is None:
        return _Opponent(obstacles=(state.remark,) if state.remark else ())
    who = f"The champion (version {state.champion})"
    try:
        champion = find_version(client, f"{state.name}/{state.champion}")
        with TemporaryDirectory(prefix="tilepipe-") as folder:
            translation = Translation.between(load_model(fetch_registered(client, champion, Path(folder))), challenger)
        digest = version.tags.get(DATASET_DIGEST)
        if digest is not None and champion.tags.get(DATASET_DIGEST) == digest:
            return _Opponent(translation)  # of the same data, the splits do not overlap
        if TRAINING_TILES not in champion.tags:
            unknown = (
                f"{who} was trained on other data, and its training tiles are not recorded: they may be among the "
            )
            return _Opponent(translation, obstacles=(f"{unknown}test tiles.",))
        seen = TrainingTiles.read(champion.tags[TRAINING_TILES], same_pixels=translation.has_same_bands)
    except (ArtifactError, SourceError) as error:
        return _Opponent(obstacles=(f"{who} cannot be compared with the challenger: {error}",))
    return _Opponent(translation, seen)


def _open_challenger(client: "MlflowClient", version: RegisteredVersion) -> tuple[BundleModel, Manifest]:
    """Load the model of a version, and read the manifest of its data."""
    with TemporaryDirectory(prefix="tilepipe-") as folder:
        file = fetch_registered(client, version, Path(folder))
        model, path = load_model(file), Path(folder) / _MANIFEST
        content = read_bundle(file.path, names=(_MANIFEST,)).get(_MANIFEST)
        if content is None:
            raise ArtifactError(
                f"The bundle of a version must hold the manifest of its data. Received: {version.address}, without "
                f"{_MANIFEST}. Train and register the model again with this version of tilepipe."
            )
        path.write_bytes(content)
        return model, read_manifest(path)


def _test_folders(version: RegisteredVersion, manifest: Manifest) -> list[str]:
    """Return the addresses of the folders with the test shards."""
    value = version.tags.get(TEST_SHARDS, "[]")
    try:
        folders = json.loads(value)
        if not isinstance(folders, list) or not all(isinstance(folder, str) for folder in folders):
            raise TypeError("no list of addresses")
    except (ValueError, TypeError) as error:
        raise ArtifactError(
            f"The tag {TEST_SHARDS} must be a JSON list of addresses. Received: {value[:200]} of {version.address}: "
            f"{error}. Register the model again."
        ) from error
    tiles = manifest.splits["test"].tiles
    if tiles and not folders:
        raise ArtifactError(
            f"The tag {TEST_SHARDS} must hold the addresses of the test tiles. Received: {version.address}, which has "
            f"{tiles:,} test tiles and no address. Set the tag to the JSON list of their folders, or train again."
        )
    return folders


def _compare(predictions: PairedPredictions, classes: int, config: GateConfig) -> Comparison | None:
    common = predictions.is_common
    if not common.any():
        return None
    return compare(
        predictions.labels[common],
        predictions.champion[common],
        predictions.challenger[common],
        classes,
        resamples=config.options.resamples,
        seed=config.options.seed,
    )


def _record(client: "MlflowClient", judgement: Judgement, outputs: Outputs) -> None:
    """Write the verdict to the tags of the version, and the files to its MLflow run."""
    version = judgement.version
    tags = {
        GATE: "undecided",  # until the other tags are those of this verdict
        GATE_REASON: judgement.verdict.reason[:_LONGEST_REASON],
        GATE_CHAMPION: judgement.champion,
    }
    with tracking.reported(f"record the verdict on {version.address}"):
        for key, value in [*tags.items(), (GATE, judgement.outcome)]:
            set_despite_others(partial(client.set_model_version_tag, version.name, str(version.version), key, value))
        for path, name in ((outputs.verdict, "verdict.json"), (outputs.page, "verdict.html")):
            client.log_text(version.run_id, path.read_text(encoding="utf-8"), f"{ARTIFACT_FOLDER}/{name}")

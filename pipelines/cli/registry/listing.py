"""Read the models of a registry, their versions, aliases, verdicts and main figures."""

import contextlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tilepipe.components.shared.registry.client import all_pages, versions_of
from tilepipe.components.shared.registry.promotions import ChampionState, read_state
from tilepipe.components.shared.registry.registered_version import is_tilepipes
from tilepipe.components.shared.registry.version_tags import (
    BUNDLE_SHA256,
    CHALLENGER,
    FIGURE_PREFIX,
    GATE,
    GATE_CHAMPION,
    GATE_REASON,
    PIPELINE_RUN,
)
from tilepipe.components.shared.tracking import tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


@dataclass(frozen=True)
class VersionRow:
    """A version of a registered model."""

    version: int
    aliases: tuple[str, ...]
    created: str
    """Time in UTC, ISO 8601."""
    is_tilepipes: bool
    verdict: str
    """Verdict of the gate; empty if it has not judged the version."""
    verdict_reason: str
    verdict_champion: str
    """Version that was champion then, or `none`."""
    figures: dict[str, float]
    """Figures of the evaluation such as `test_accuracy`."""
    bundle_sha256: str
    mlflow_run_id: str
    run: str
    """Id of the Kubeflow or local run."""


@dataclass(frozen=True)
class ModelRow:
    """A registered model of tilepipe's."""

    name: str
    champion: int | None
    challenger: int | None
    versions: int
    remark: str
    """A sentence on the difference between registry and history; empty if they agree."""


def list_models(client: "MlflowClient") -> list[ModelRow]:
    """List the registered models that have a version of tilepipe's, by name.

    Raises:
        TrackingError: the registry cannot be reached or denies access.
    """
    rows = []
    with tracking.reported("list the registered models"):
        models = all_pages(client.search_registered_models)
    for model in models:
        versions = _versions(client, model.name)
        if any(is_tilepipes(version.tags) for version in versions):
            numbers = {int(version.version) for version in versions}
            state = ChampionState.of(model, numbers.__contains__)
            challenger = int(model.aliases.get(CHALLENGER, 0))
            rows.append(
                ModelRow(
                    name=model.name,
                    champion=state.champion,
                    challenger=challenger if challenger in numbers else None,
                    versions=len(versions),
                    remark=state.remark,
                )
            )
    return sorted(rows, key=lambda row: row.name)


def list_versions(client: "MlflowClient", name: str, limit: int) -> tuple[ChampionState, list[VersionRow]]:
    """Read the history of a model and its newest versions.

    Returns:
        The state of the champion, and the versions, newest first.

    Raises:
        SourceError: there is no such model.
        TrackingError: the registry cannot be reached or denies access.
    """
    state = read_state(client, name)
    newest = sorted(_versions(client, name), key=lambda version: -int(version.version))[:limit]
    by_version: dict[int, list[str]] = {}
    with tracking.reported(f"read the aliases of {name}"):
        for alias, version in client.get_registered_model(name).aliases.items():
            by_version.setdefault(int(version), []).append(str(alias))
    return state, [_row(version, tuple(sorted(by_version.get(int(version.version), [])))) for version in newest]


def as_document(state: ChampionState, rows: list[VersionRow]) -> dict[str, Any]:
    """Describe a model as JSON."""
    return {
        "name": state.name,
        "champion": state.champion,
        "remark": state.remark,
        "versions": [asdict(row) for row in rows],
        "promotions": [asdict(promotion) for promotion in state.promotions],
    }


def _row(version: "ModelVersion", aliases: tuple[str, ...]) -> VersionRow:
    tags = version.tags
    created = datetime.fromtimestamp(version.creation_timestamp / 1000, UTC)
    return VersionRow(
        version=int(version.version),
        aliases=aliases,
        created=created.isoformat(timespec="seconds"),
        is_tilepipes=is_tilepipes(tags),
        verdict=tags.get(GATE, ""),
        verdict_reason=tags.get(GATE_REASON, ""),
        verdict_champion=tags.get(GATE_CHAMPION, ""),
        figures=_figures(tags),
        bundle_sha256=tags.get(BUNDLE_SHA256, ""),
        mlflow_run_id=str(version.run_id or ""),
        run=tags.get(PIPELINE_RUN, ""),
    )


def _figures(tags: Mapping[str, str]) -> dict[str, float]:
    found = {tag.removeprefix(FIGURE_PREFIX): value for tag, value in tags.items() if tag.startswith(FIGURE_PREFIX)}
    figures = {}
    for name, value in sorted(found.items()):
        with contextlib.suppress(ValueError):  # not written by tilepipe
            figures[name] = float(value)
    return figures


def _versions(client: "MlflowClient", name: str) -> list["ModelVersion"]:
    with tracking.reported(f"list the versions of {name}"):
        return versions_of(client, name)

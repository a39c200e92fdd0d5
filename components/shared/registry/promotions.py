"""History of the champion of a registered model, kept in tags of the model, where it survives deleted versions."""

import json
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal, Self

from tilepipe.components.shared.errors import ArtifactError, ParameterError, SourceError
from tilepipe.components.shared.registry.registered_version import exists
from tilepipe.components.shared.registry.version_tags import CHAMPION
from tilepipe.components.shared.tracking import tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import RegisteredModel

HISTORY = "tilepipe.history."
"""Prefix of the tags of a registered model with its promotions, followed by six digits or more."""

Action = Literal["promote", "rollback"]


@dataclass(frozen=True)
class Promotion:
    """One move of the alias `champion`."""

    sequence: int
    """1 for the first one."""
    action: Action
    at: str
    """Time in UTC, ISO 8601."""
    who: str
    why: str
    from_version: int | None
    """Champion before; None if there was none."""
    to_version: int
    """Champion from then on."""
    verdict: str
    """Verdict of the gate: `accepted`, `refused`, `undecided`, or empty if it was not asked."""
    bundle_sha256: str
    """SHA-256 of the bundle of the new champion, in hexadecimal."""

    @property
    def tag(self) -> str:
        """Name of its tag."""
        return f"{HISTORY}{self.sequence:06d}"

    def as_json(self) -> str:
        """Return the value of its tag."""
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, tag: str, value: str) -> Self:
        """Read a tag.

        Raises:
            ArtifactError: the tag was not written by tilepipe.
        """
        try:
            return cls(**json.loads(value))
        except (ValueError, TypeError) as error:
            raise ArtifactError(
                f"The tags {HISTORY}* of a registered model must be written by tilepipe. Received: {tag}={value}. "
                "Delete this tag in MLflow."
            ) from error


@dataclass(frozen=True)
class ChampionState:
    """The champion of a registered model, as the registry has it and as the history has it."""

    name: str
    champion: int | None
    """Version with the alias `champion`; None if there is none."""
    promotions: tuple[Promotion, ...]
    """Oldest first."""
    tags: Mapping[str, str]
    """All tags of the registered model."""

    @classmethod
    def of(cls, model: "RegisteredModel", has_version: Callable[[int], bool]) -> Self:
        """Read MLflow's description of a registered model.

        Args:
            model: the registered model.
            has_version: returns whether a version exists: one that was deleted may keep its alias.

        Raises:
            ArtifactError: the history is damaged.
        """
        tags = {str(key): str(value) for key, value in model.tags.items()}
        champion = int(model.aliases[CHAMPION]) if CHAMPION in model.aliases else None
        promotions = [Promotion.of(tag, value) for tag, value in tags.items() if tag.startswith(HISTORY)]
        return cls(
            str(model.name),
            champion if champion is not None and has_version(champion) else None,
            tuple(sorted(promotions, key=lambda promotion: promotion.sequence)),
            tags,
        )

    @property
    def sequence(self) -> int:
        """Number of the last promotion; 0 before the first one."""
        return self.promotions[-1].sequence if self.promotions else 0

    @property
    def remark(self) -> str:
        """A sentence on the difference between registry and history; empty if they agree."""
        expected = self.promotions[-1].to_version if self.promotions else None
        if expected is None or expected == self.champion:
            return ""
        if self.champion is None:
            return (
                f"{self.name} has no champion, but its history says version {expected}: that version was deleted, "
                "which removes its aliases, or the alias was removed, or the promotion was interrupted."
            )
        return (
            f"The champion of {self.name} is version {self.champion}, but its history says version {expected}: the "
            "alias was moved without tilepipe, or the promotion was interrupted."
        )

    def rollback_of(self, version: int) -> Promotion | None:
        """Return the rollback that left a version, unless the version became champion again since."""
        for promotion in reversed(self.promotions):
            if promotion.to_version == version:
                return None
            if promotion.action == "rollback" and promotion.from_version == version:
                return promotion
        return None

    def earlier_champions(self) -> list[int]:
        """List the champions before the last one, latest first; those that a rollback left are not among them."""
        stack: list[int] = []
        for promotion in self.promotions:
            if promotion.action == "rollback":
                while stack and stack[-1] != promotion.to_version:
                    stack.pop()
            elif promotion.from_version is not None and stack[-1:] != [promotion.from_version]:
                stack.append(promotion.from_version)
            if stack[-1:] != [promotion.to_version]:
                stack.append(promotion.to_version)
        return stack[-2::-1]


def read_state(client: "MlflowClient", name: str) -> ChampionState:
    """Read the champion and the history of a registered model.

    Raises:
        ParameterError: the name has a version or an alias.
        SourceError: there is no such model.
        ArtifactError: the history is damaged.
        TrackingError: the registry cannot be reached or denies access.
    """
    return ChampionState.of(_registered_model(client, name), lambda number: exists(client, name, number))


def promote_command(name: str, version: int | str = "N", options: str = " --yes --reason ...") -> str:
    """Return the command that makes a version the champion, for messages; N stands for a number to choose."""
    return f"`tilepipe promote {shlex.quote(name)} --version {version}{options}`"


def _registered_model(client: "MlflowClient", name: str) -> "RegisteredModel":
    from mlflow.exceptions import MlflowException

    if found := re.match(r"(?:models:/)?([^/:@]+)[/:@]", name):
        raise ParameterError(
            f"All versions of a model are named by its name alone. Received: {name}. Give: {shlex.quote(found[1])}."
        )
    with tracking.reported(f"read the registered model {name}"):
        try:
            return client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise SourceError(
                f"A model must be in the registry to be used. Received: {name}, which does not exist "
                f"{tracking.in_mlflow()}. `tilepipe models` lists the models."
            ) from error

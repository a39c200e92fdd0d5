"""What one worker has packed: the small JSON that the merge makes the manifest from."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from tilepipe.components.shared.contracts.manifest import Dtype, Shard, Split
from tilepipe.components.shared.errors import ArtifactError
from tilepipe.components.shared.storage.atomic import whole_file

SCHEMA_VERSION: Literal[1] = 1


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PackedShard(_Frozen):
    """A shard, and what the figures of the whole are made from."""

    number: int
    """Among the shards that were planned for its split."""
    shard: Shard
    tiles_per_class: dict[str, int]
    """Only classes that it holds."""
    moments: dict[str, Any] | None = None
    """Of a training shard, `Moments.to_json`. Shard by shard, so that the merge adds up the same numbers in the same
    order whoever packed which."""


class Common(_Frozen):
    """What is the same for all workers, since it follows from the tile table and the parameters alone."""

    tilepipe_version: str
    name: str
    source: str
    snapshot: str
    bands: tuple[str, ...]
    dtype: Dtype
    height: int
    width: int
    nodata: float | None = None
    class_names: tuple[str, ...]
    seed: int
    parts: int
    """How many workers there are."""
    planned: dict[Split, int]
    """Tiles of each split in the tile table."""
    max_quarantine_percent: float
    allow_duplicates: bool

    @property
    def allowed(self) -> int:
        """How many tiles of all parts may be left out."""
        return int(sum(self.planned.values()) * self.max_quarantine_percent / 100)


class PartManifest(_Frozen):
    """What one worker has packed."""

    schema_version: Literal[1] = SCHEMA_VERSION
    common: Common
    part: int
    splits: dict[Split, tuple[PackedShard, ...]]
    unverified: int
    """Tiles whose checksums are of a kind that is not known."""

    @property
    def tiles(self) -> dict[Split, int]:
        """How many tiles of each split it has packed."""
        return {split: sum(one.shard.tiles for one in shards) for split, shards in self.splits.items()}

    def write(self, path: Path) -> None:
        """Write it as JSON, whole or not at all."""
        with whole_file(path) as partial:
            partial.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")


def read_part(path: Path) -> PartManifest:
    """Read what a worker has packed.

    Args:
        path: the artifact's file.

    Returns:
        The checked part.

    Raises:
        ArtifactError: the file is missing, damaged or of another schema version.
    """
    try:
        return PartManifest.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError, OSError) as error:
        raise ArtifactError(
            f"A part's manifest must be of schema version {SCHEMA_VERSION}. Received: {path}, which reads as: {error}. "
            "Run `pack` again with this version of tilepipe."
        ) from error

"""Manifest of one part: the JSON file that one worker writes and that `merge` combines into the final manifest."""

from typing import Any, ClassVar, Literal

from tilepipe.components.shared.contracts.json_model import FrozenModel, JsonModel, SparseModel
from tilepipe.components.shared.contracts.manifest import Dtype, Shard, Split
from tilepipe.components.shared.contracts.product import Product
from tilepipe.components.shared.tiles.quarantine import allowed_tiles

SCHEMA_VERSION: Literal[1] = 1


class PackedShard(FrozenModel):
    """A shard, with its share of the counts and statistics of the data set."""

    number: int
    """Number of the shard within its split, from 0."""
    shard: Shard
    tiles_per_class: dict[str, int]
    """Number of tiles per class; classes without a tile in the shard are absent."""
    moments: dict[str, Any] | None = None
    """Output of `Moments.to_json` for a training shard, else None. Kept per shard, so that `merge` adds up the same
    numbers in the same order for any number of workers."""


class SharedLayout(SparseModel):
    """The values that are the same in all parts, since they depend only on the tile table and the parameters.

    `merge` copies those that are fields of `Manifest` too, by their names.
    """

    omitted_if_default: ClassVar[frozenset[str]] = frozenset({"common_names", "platform", "product"})

    tilepipe_version: str
    name: str
    source: str
    snapshot: str
    bands: tuple[str, ...]
    common_names: tuple[str, ...] = ()
    platform: str = ""
    product: Product = Product()
    dtype: Dtype
    height: int
    width: int
    nodata: float | None = None
    class_names: tuple[str, ...]
    seed: int
    parts: int
    """Number of parts, one per worker."""
    planned: dict[Split, int]
    """Number of tiles per split in the tile table."""
    max_quarantine_percent: float
    allow_duplicates: bool

    @property
    def total(self) -> int:
        """Number of tiles of all parts."""
        return sum(self.planned.values())

    @property
    def allowed(self) -> int:
        """Number of tiles that may be left out, over all parts."""
        return allowed_tiles(self.max_quarantine_percent, self.total)


class PartManifest(JsonModel):
    """The shards that one worker has packed."""

    indent: ClassVar[int] = 1

    schema_version: Literal[1] = SCHEMA_VERSION
    common: SharedLayout
    part: int
    splits: dict[Split, tuple[PackedShard, ...]]
    unverified: int
    """Number of packed tiles whose checksum is of an unsupported kind."""

    @property
    def tiles(self) -> dict[Split, int]:
        """Number of packed tiles per split."""
        return {split: sum(one.shard.tiles for one in shards) for split, shards in self.splits.items()}

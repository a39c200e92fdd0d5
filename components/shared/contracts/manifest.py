"""The manifest: a small JSON file that describes the shards for all later steps."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, FiniteFloat, model_validator

from tilepipe.components.shared.contracts.json_model import FrozenModel, SparseModel, read_json
from tilepipe.components.shared.contracts.product import Product

SCHEMA_VERSION: Literal[1] = 1

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
Dtype = Literal["uint8", "uint16", "int16", "float32"]


class Shard(FrozenModel):
    """One TFRecord file of a split."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=255)
    """File name within the split's artifact: no path, which could lead out of it."""
    tiles: int = Field(ge=0)
    bytes: int = Field(ge=0)
    checksum: str
    """XXH3 of the file, 128 bits in hexadecimal: it guards against damage, not against forgery."""


class SplitSummary(FrozenModel):
    """Shards and counts of a split."""

    tiles: int = Field(ge=0)
    tiles_per_class: dict[str, Annotated[int, Field(ge=0)]]
    """Every class name of the manifest, in its order, with zero where the split has none."""
    shards: tuple[Shard, ...]


class BandStatistics(FrozenModel):
    """Digital numbers of one band over all pixels of the training split."""

    band: str
    mean: FiniteFloat
    std: FiniteFloat
    minimum: FiniteFloat
    maximum: FiniteFloat


class Manifest(SparseModel):
    """Description of the shards. Versioned: a step refuses a `schema_version` that it does not know."""

    omitted_if_default: ClassVar[frozenset[str]] = frozenset({"common_names", "platform", "product", "left_out"})

    schema_version: Literal[1] = SCHEMA_VERSION
    tilepipe_version: str
    name: str
    """Name of the data set, from its source."""
    source: str
    snapshot: str
    digest: str
    """SHA-256 over the shards' checksums, in order: the identity of the packed data."""
    bands: tuple[str, ...]
    """Names in the order of the last axis of a tile."""
    common_names: tuple[str, ...] = ()
    """STAC common name of each band, or an empty string; empty if the source states none beside the names."""
    platform: str = ""
    """Platform of the tiles if it does not number its bands as Sentinel-2 does, such as `landsat-5`; else empty."""
    product: Product = Product()
    """Statements of the source about the product of the tiles; nothing in manifests of earlier versions."""
    dtype: Dtype
    height: int = Field(ge=1)
    width: int = Field(ge=1)
    nodata: float | None = None
    """Value of nodata pixels, which are not in the statistics; None if no inspected file states one."""
    class_names: tuple[str, ...]
    """In the order of the integer labels."""
    left_out: dict[str, int] = Field(default_factory=dict)
    """Number of tiles that were unusable and left out, by reason."""
    splits: dict[Split, SplitSummary]
    statistics: tuple[BandStatistics, ...]
    """In band order, over the training split only."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if tuple(s.band for s in self.statistics) != self.bands:
            raise ValueError("statistics must be given for each band, in band order")
        if set(self.splits) != set(SPLITS):
            raise ValueError(f"splits must be {list(SPLITS)}")
        if self.common_names and len(self.common_names) != len(self.bands):
            raise ValueError("common_names must be given for each band, in band order")
        if len(set(self.bands)) != len(self.bands) or len(set(self.class_names)) != len(self.class_names):
            raise ValueError("bands and class names must be unique")
        names = [shard.name for split in self.splits.values() for shard in split.shards]
        if len(set(names)) != len(names):
            raise ValueError("every shard must be listed once")
        for name, split in self.splits.items():
            self._check_counts(name, split)
        return self

    def _check_counts(self, name: str, split: SplitSummary) -> None:
        if tuple(split.tiles_per_class) != self.class_names:
            raise ValueError(f"tiles_per_class of {name} must name every class, in the order of class_names")
        counts = {
            "tiles": split.tiles,
            "the sum of tiles_per_class": sum(split.tiles_per_class.values()),
            "the sum over the shards": sum(shard.tiles for shard in split.shards),
        }
        if len(set(counts.values())) > 1:
            stated = ", ".join(f"{what} is {count:,}" for what, count in counts.items())
            raise ValueError(f"the counts of {name} must agree, but {stated}")

    @property
    def tile_shape(self) -> tuple[int, int, int]:
        """`(height, width, bands)` of one tile."""
        return self.height, self.width, len(self.bands)


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        ArtifactError: the file is damaged or of another schema version.
    """
    return read_json(Manifest, path, "A manifest", "pack")

"""Parameters of the `ingest` step."""

import json
import math
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from tilepipe.components.ingest.parameter_names import argument
from tilepipe.components.ingest.sources.stac.query import check_bbox, check_datetime, check_filter
from tilepipe.components.shared.contracts.bands import ByBand, DistinctBands
from tilepipe.components.shared.contracts.manifest import SPLITS, Split
from tilepipe.components.shared.contracts.snapshots import Snapshot
from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.runtime.config import StepConfig
from tilepipe.components.shared.storage import storage

SourceKind = Literal["stac-api", "stac-catalog", "stac-geoparquet", "folder", "table", "tfrecord"]
RecordDtype = Literal["uint8", "uint16", "int16", "float32", "int32", "uint32", "float64"]
SplitBy = Literal["class", "group", "block", "time"]

_SPLIT_SPELLINGS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "validate": "val",
    "validation": "val",
    "valid": "val",
    "dev": "val",
    "eval": "val",
    "test": "test",
    "testing": "test",
}


def split_named(name: str) -> Split | None:
    """Return the split of a name in its usual spellings, such as `validation`; None for any other name."""
    return _SPLIT_SPELLINGS.get(name.strip().lower())


class Columns(StepConfig):
    """Columns of a table, or properties of STAC items, by role (`columns`); empty detects them."""

    id: str = Field(
        default="", description="Id of the tile; only for tables, by default the image's address, and TFRecords"
    )
    image: str = Field(default="", description="Address of the image; only for tables")
    label: str = Field(default="", description="Label")
    group: str = Field(default="", description="Group whose tiles stay in one split: a sample, a scene, a place")
    datetime: str = Field(default="", description="Acquisition time")


class Query(StepConfig):
    """Search of a STAC API (`query`)."""

    collections: tuple[str, ...] = Field(default=(), description="Ids of the collections; [] searches all")
    bbox: Annotated[tuple[float, ...], AfterValidator(check_bbox)] = Field(
        default=(), description="West, south, east, north in degrees"
    )
    datetime: Annotated[str, AfterValidator(check_datetime)] = Field(
        default="", description="Time or interval, as in STAC: 2020-01-01/2020-12-31"
    )
    filter: Annotated[str | dict[str, Any], AfterValidator(check_filter)] = Field(
        default="", description="CQL2, as text or as JSON"
    )
    max_items: int = Field(default=0, ge=0, description="Maximum number of items; 0 takes all")

    @field_validator("collections")
    @classmethod
    def _collections(cls, collections: tuple[str, ...]) -> tuple[str, ...]:
        if not all(name.strip() for name in collections) or len(set(collections)) < len(collections):
            raise ValueError(
                f"`query.collections` must be ids, each once. Received: query.collections={list(collections)}."
            )
        return collections


class IngestOptions(StepConfig):
    """Rarely changed settings of the source (`options`)."""

    kind: Literal["auto", SourceKind] = Field(
        default="auto", description="Kind of the source; auto detects it from name and content"
    )
    asset_key: str = Field(default="", description="STAC asset that holds the pixels; empty detects it")
    band_assets: ByBand = Field(
        default={},
        description="STAC asset, or column of a table, of each band, if each band is a file of its own; the bands are "
        "in alphabetical order",
    )
    allow_mixed_scaling: bool = Field(
        default=False,
        description="Whether STAC items may state different scales or offsets, which are not applied",
    )
    apply_scaling: bool = Field(
        default=False,
        description="Whether pack applies the scale and offset that each STAC item states, or else its GeoTIFF, and "
        "packs the results as float32; an offset that the item says is applied already is not",
    )
    record_shape: tuple[int, ...] = Field(default=(), description="Height and width of the images in TFRecords")
    record_dtype: RecordDtype | None = Field(
        default=None, description="Dtype of raw bytes in TFRecords; by default detected from the features and values"
    )
    name: str = Field(default="", description="Name of the dataset; default: the collection's id or the folder's name")
    max_class_ratio: float = Field(
        default=0, ge=0, description="Maximum size of a class as a multiple of the mean class size; 0 takes all"
    )
    min_per_class: int = Field(
        default=0,
        ge=0,
        description="Minimum number of tiles per class, counted after `where` and `recode`: smaller classes are merged "
        "into `rare_class`, or dropped; 0 keeps all",
    )
    rare_class: str = Field(
        default="",
        description="Class that replaces all classes with fewer than `min_per_class` tiles; empty drops their tiles",
    )
    allow_duplicates: bool = Field(default=False, description="Allow tiles with the same checksum in different splits")


class IngestConfig(StepConfig):
    """Source of the tiles, selection and splitting."""

    source: str = Field(
        min_length=1,
        description="Address of the tiles: a STAC API, the catalog.json of a static STAC catalog, an ItemCollection, "
        "a STAC-GeoParquet file, a folder, zip or tar of class folders, a table (CSV, TSV, Parquet) or a folder of "
        "tables, or TFRecords; a path, s3:// or https://",
    )
    source_bands: DistinctBands = Field(
        default=(), description="Order of the bands in the files, if their metadata lack it or state it wrongly"
    )
    href_rewrite: dict[str, str] = Field(
        default={}, description='Replacements of address prefixes, such as {"https://example.org/": "s3://bucket/"}'
    )
    snapshot: Snapshot = Field(default="", description="ISO 8601 time as of which the source is read; empty for none")
    query: Query = Field(
        default=Query(),
        description='Search of a STAC API: {"collections": [...], "bbox": [west, south, east, north], "datetime": '
        '"...", "filter": "CQL2", "max_items": 0}',
    )
    columns: Columns = Field(
        default=Columns(),
        description="Columns of a table, or properties of STAC items, by role: "
        '{"label": ..., "group": ..., "image": ..., "datetime": ..., "id": ...}',
    )
    where: str = Field(
        default="",
        description="""SQL condition that a tile must meet, such as label <> 'River' AND "eo:cloud_cover" < 20""",
    )
    classes: tuple[str, ...] = Field(
        default=(), description="Classes in the order of the model's outputs; [] takes all, sorted"
    )
    recode: dict[str, str | None] = Field(
        default={}, description='Class of each label to rename: {"Pasture": "Grass", "Unknown": ""}; "" drops the tiles'
    )
    max_per_class: int = Field(
        default=0, ge=0, description="Maximum number of tiles per class, sampled at random; 0 takes all"
    )
    split_by: SplitBy = Field(
        default="class",
        description="How tiles are split: class (at random, in the same proportions per class), group (all tiles of a "
        "`columns.group` stay together), block (so do all tiles of a square on the ground) or time (the newest tiles "
        "are for testing)",
    )
    split_block_metres: float = Field(
        default=0, ge=0, description="Side of the squares on the ground in metres, for `split_by` block"
    )
    split_fractions: dict[str, float] = Field(
        default={"train": 0.7, "val": 0.15, "test": 0.15}, description="Fraction of the tiles in train, val and test"
    )
    split_files: dict[str, str] = Field(
        default={},
        description="Predefined splits: text files with one file name or tile id per line, "
        '{"train": "s3://bucket/train.txt", "val": "..."}',
    )
    split_property: str = Field(
        default="",
        description="Predefined splits: the STAC property or column with the split of each tile, such as ml-aoi:split",
    )
    split_merge_train_val: bool = Field(
        default=False, description="Merge val into train, for a final fit of which the last epoch is kept"
    )
    labels: Literal["required", "optional"] = Field(
        default="required",
        description="Whether each tile must have a label; optional is for predictions: tiles may have none, there may "
        "be no tile at all, and all are in the split test",
    )
    workers: int = Field(default=1, ge=1, le=256, description="Number of pods that share the packing")
    seed: int = Field(default=0, description="Seed of sampling and splitting")
    options: IngestOptions = Field(
        default=IngestOptions(),
        description='Rarely changed settings of ingest: {"asset_key": "image"}, {"band_assets": {"B04": "red"}}, '
        '{"record_shape": [64, 48]}, {"kind": "table"} and others',
    )

    @property
    def needs_labels(self) -> bool:
        """True if each tile must have a label and a split."""
        return self.labels == "required"

    @field_validator("href_rewrite")
    @classmethod
    def _rewrite(cls, rewrite: dict[str, str]) -> dict[str, str]:
        for prefix, replacement in rewrite.items():
            try:
                allowed = bool(prefix and replacement and storage.normalize(replacement))
            except SourceError as error:
                raise ValueError(f"{error} It is in href_rewrite, for {prefix!r}.") from None
            if not allowed:
                raise ValueError(
                    "`href_rewrite` must map prefixes of addresses to a local folder, s3:// or https://. "
                    f"Received: href_rewrite={rewrite}, where {prefix!r} becomes {replacement!r}."
                )
        return rewrite

    @field_validator("split_fractions", "split_files")
    @classmethod
    def _split_names(cls, given: dict[str, Any]) -> dict[str, Any]:
        named = {name: split_named(name) for name in given}
        wrong = [name for name, split in named.items() if split is None]
        if wrong or len(set(named.values())) < len(given):
            raise ValueError(f"Splits must be named train, val and test, each once. Received: {json.dumps(given)}.")
        return {split: given[name] for split in SPLITS for name, meant in named.items() if meant == split}

    @field_validator("split_fractions")
    @classmethod
    def _fractions(cls, fractions: dict[str, float]) -> dict[str, float]:
        total = sum(fractions.values())
        negative = any(value < 0 for value in fractions.values())
        if negative or not math.isclose(total, 1, abs_tol=1e-6):
            raise ValueError(
                "`split_fractions` must be 0 or more and add up to 1. "
                f"Received: {argument('split_fractions', fractions)}, which add up to {total:.6g}."
            )
        if any(fractions.get(split, 0) <= 0 for split in ("train", "val")):
            raise ValueError(
                "`split_fractions` must give train and val more than 0: the best epoch is chosen on val. "
                f"Received: {argument('split_fractions', fractions)}."
            )
        return fractions

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.split_files and self.split_property:
            raise ValueError(
                "`split_files` and `split_property` exclude each other. "
                f"Received: {argument('split_files', self.split_files)} "
                f"{argument('split_property', self.split_property)}. Give one of them."
            )
        if self.split_files and not {"train", "val"} <= set(self.split_files):
            raise ValueError(
                "`split_files` must have a list for train and one for val. "
                f"Received: {argument('split_files', self.split_files)}. Give both, or use split_fractions."
            )
        if self.split_by != "class" and (self.split_files or self.split_property):
            raise ValueError(
                "`split_by` cannot be combined with predefined splits (split_files, split_property). "
                f"Received: split_by={self.split_by} and one of these. Use split_by=class, the default."
            )
        if (self.split_by == "block") != (self.split_block_metres > 0):
            raise ValueError(
                "`split_by` block requires `split_block_metres`, the side of a block, and the other way round. "
                f"Received: split_by={self.split_by} split_block_metres={self.split_block_metres:g}. "
                "Give both, such as split_by=block split_block_metres=5000, or neither."
            )
        if self.options.rare_class and not self.options.min_per_class:
            raise ValueError(
                "`options.rare_class` requires `options.min_per_class`. "
                f"Received: {argument('options', {'rare_class': self.options.rare_class})}. Give both, such as "
                f"{argument('options', {'min_per_class': 20, 'rare_class': self.options.rare_class})}."
            )
        if self.options.apply_scaling and self.options.allow_mixed_scaling:
            raise ValueError(
                "`options.apply_scaling` and `options.allow_mixed_scaling` exclude each other. "
                f"Received: {argument('options', self.options.model_dump(exclude_defaults=True))}. Give one of them."
            )
        if self.options.asset_key and self.options.band_assets:
            raise ValueError(
                "`options.asset_key` and `options.band_assets` exclude each other. "
                f"Received: {argument('options', self.options.model_dump(exclude_defaults=True))}. Give one of them."
            )
        if self.columns.image and self.options.band_assets:
            raise ValueError(
                "A table has one column of images, or one for each band. Received: "
                f"{argument('columns', {'image': self.columns.image})} "
                f"{argument('options', {'band_assets': self.options.band_assets})}. Give one of them."
            )
        if self.source_bands and self.options.band_assets:
            raise ValueError(
                "`source_bands` names the bands within the files, and `options.band_assets` the files of the bands. "
                f"Received: {argument('source_bands', self.source_bands)} "
                f"{argument('options', {'band_assets': self.options.band_assets})}. Give one of them."
            )
        splits = self.split_by != "class" or self.split_files or self.split_property
        if not self.needs_labels and splits:
            raise ValueError(
                "`labels` optional puts all tiles into one split. Received: split_by, split_files or "
                "split_property beside it. Leave them at their defaults."
            )
        if self.split_property and self.options.kind == "folder":
            raise ValueError(
                "`split_property` is for STAC sources, tables and TFRecords: a folder's files have no properties. "
                f"Received: {argument('split_property', self.split_property)} "
                f"{argument('options', {'kind': 'folder'})}. Use split_files."
            )
        return self

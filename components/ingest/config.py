"""Parameters of the `ingest` step."""

import math
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from tilepipe.components.shared.bands import distinct_bands
from tilepipe.components.shared.config import StepConfig
from tilepipe.components.shared.manifest import SPLITS, Split
from tilepipe.components.shared.snapshots import Snapshot

SourceKind = Literal["stac-catalog", "stac-geoparquet", "folder"]

_SPLIT_SPELLINGS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "validate": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


def split_named(name: str) -> Split | None:
    """The split that a name means, in the spellings that catalogues and people use; None for any other name."""
    return _SPLIT_SPELLINGS.get(name.strip().lower())


class IngestOptions(StepConfig):
    """Settings that few sources need."""

    kind: Literal["auto", "stac-catalog", "stac-geoparquet", "folder"] = Field(
        default="auto", description="What the source is; auto tells by its name and content"
    )
    label_property: str = Field(default="", description="STAC property that holds the class; empty finds it")
    asset_key: str = Field(default="", description="STAC asset that holds the pixels; empty finds it")
    name: str = Field(default="", description="The data set's name; empty takes the collection's id or the folder's")


class IngestConfig(StepConfig):
    """Where the tiles are, and how they are split."""

    source: str = Field(min_length=1, description="Catalogue, STAC-GeoParquet or folder of class folders")
    source_bands: tuple[str, ...] = Field(default=(), description="True order of the bands in the files")
    href_rewrite: dict[str, str] = Field(default={}, description="Prefixes of addresses, and what stands for them")
    snapshot: Snapshot = Field(default="", description="ISO 8601 time as of which the source is read")
    split_fractions: dict[str, float] = Field(
        default={"train": 0.7, "val": 0.15, "test": 0.15}, description="Share of the tiles in each split"
    )
    split_files: dict[str, str] = Field(default={}, description="A list of file names or tile ids for each split")
    split_property: str = Field(default="", description="STAC property that names the split")
    seed: int = Field(default=0, description="Seed of the split")
    options: IngestOptions = Field(default=IngestOptions(), description="Settings that few sources need")

    @field_validator("source_bands")
    @classmethod
    def _bands(cls, bands: tuple[str, ...]) -> tuple[str, ...]:
        return distinct_bands("source_bands", bands)

    @field_validator("href_rewrite")
    @classmethod
    def _rewrite(cls, rewrite: dict[str, str]) -> dict[str, str]:
        for prefix, replacement in rewrite.items():
            if not prefix or not replacement or replacement.lower().startswith(("http://", "https://")):
                raise ValueError(
                    "`href_rewrite` must map prefixes of addresses to a local folder or s3://. "
                    f"Received: href_rewrite={rewrite}, where {prefix!r} becomes {replacement!r}."
                )
        return rewrite

    @field_validator("split_fractions", "split_files")
    @classmethod
    def _split_names(cls, given: dict[str, Any]) -> dict[str, Any]:
        named = {name: split_named(name) for name in given}
        wrong = [name for name, split in named.items() if split is None]
        if wrong or len(set(named.values())) < len(given):
            raise ValueError(f"Splits must be named train, val and test, each once. Received: {given}.")
        return {split: given[name] for split in SPLITS for name, meant in named.items() if meant == split}

    @field_validator("split_fractions")
    @classmethod
    def _fractions(cls, fractions: dict[str, float]) -> dict[str, float]:
        total = sum(fractions.values())
        negative = any(value < 0 for value in fractions.values())
        if negative or not math.isclose(total, 1, abs_tol=1e-6):
            raise ValueError(
                "`split_fractions` must be 0 or more and add up to 1. "
                f"Received: split_fractions={fractions}, which add up to {total:.6g}."
            )
        if any(fractions.get(split, 0) <= 0 for split in ("train", "val")):
            raise ValueError(
                "`split_fractions` must give train and val more than 0: the best epoch is chosen on val. "
                f"Received: split_fractions={fractions}."
            )
        return fractions

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.split_files and self.split_property:
            raise ValueError(
                "`split_files` and `split_property` exclude each other. "
                f"Received: split_files={self.split_files}, split_property={self.split_property!r}. Give one of them."
            )
        if self.split_files and not {"train", "val"} <= set(self.split_files):
            raise ValueError(
                "`split_files` must have a list for train and one for val. "
                f"Received: split_files={self.split_files}. Give both, or use split_fractions."
            )
        if self.split_property and self.options.kind == "folder":
            raise ValueError(
                "`split_property` is for STAC sources: a folder's files have no properties. "
                f"Received: split_property={self.split_property!r}, options.kind='folder'. Use split_files."
            )
        return self

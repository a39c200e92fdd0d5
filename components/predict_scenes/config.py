"""Parameters of the `predict_scenes` step."""

import json
import re
from datetime import datetime
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from tilepipe.components.shared.contracts.bands import ByBand, DistinctBands
from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.inference.model_address import MODEL_ADDRESSES, ModelAddress
from tilepipe.components.shared.inference.prediction_plan import DriftLimit
from tilepipe.components.shared.runtime.config import StepConfig
from tilepipe.components.shared.storage import storage
from tilepipe.components.shared.storage.item_hrefs import is_item
from tilepipe.components.shared.storage.place import PlaceAddress

Resolution = Literal["window", "pixel"]
Resampling = Literal["nearest", "bilinear", "cubic"]
SceneDriftKind = Literal["classes", "bands"]


class ScenesOptions(StepConfig):
    """Rarely changed settings of the prediction (`options`)."""

    resolution: Resolution = Field(
        default="window",
        description="Pixels of the class map: window gives one pixel per stride, pixel one per pixel of the scene",
    )
    allow_mismatch: bool = Field(
        default=False,
        description="Whether a scene may be of another product level, unit or sensor than the training tiles, with a "
        "warning",
    )
    max_nodata_percent: float = Field(
        default=50.0, ge=0, lt=100, description="Largest percentage of nodata in a window that is classified"
    )
    nodata: float | Literal["nan"] | None = Field(
        default=None, description='Number that marks invalid pixels in files that state none; "nan" is NaN'
    )
    pixel_scale: float | None = Field(
        default=None,
        gt=0,
        description="Factor from the numbers of the scene to those of the training tiles, such as 10000 for "
        "reflectance from 0 to 1; null is 1",
    )
    pixel_offset: float | None = Field(
        default=None,
        description="Number added to those of the scene, after pixel_scale; null recognizes the offset of Sentinel-2 "
        "since baseline 04.00 in the scene and in the training tiles",
    )
    fill_bands: DistinctBands = Field(
        default=(), description="Bands that the scene may lack; they get the mean of the training tiles"
    )
    band_assets: ByBand = Field(
        default={}, description='Asset of each band in a STAC item, such as {"B04": "red"}; {} finds them by name'
    )
    href_rewrite: dict[str, str] = Field(
        default={}, description="Replacements of address prefixes in a STAC item, which may then lead there"
    )
    pixel_metres: float = Field(
        default=0.0,
        ge=0,
        description="Size of the scene's pixels in metres after resampling; 0 is that of the finest band used",
    )
    resampling: Resampling = Field(
        default="bilinear", description="Resampling of bands to the common pixel size; nearest copies pixels"
    )
    class_colors: dict[str, str] = Field(
        default={}, description='Colors of classes in the map, such as {"Forest": "#1b7837"}'
    )
    datetime: str = Field(
        default="", description="ISO 8601 time of the scene; empty takes that of its metadata, else of its name"
    )
    batch_windows: int = Field(default=64, ge=1, le=4096, description="Windows per call of the model")
    max_drift: dict[SceneDriftKind, DriftLimit] = Field(
        default={},
        description='Largest drift from the training data that is accepted, such as {"classes": 0.25, "bands": 1}; '
        "beyond it the step fails and keeps nothing",
    )

    @field_validator("datetime")
    @classmethod
    def _datetime(cls, text: str) -> str:
        try:
            datetime.fromisoformat(text or "2000-01-01")
        except ValueError:
            raise ValueError(
                f"`datetime` must be an ISO 8601 time. Received: datetime={text!r}. Write it as 2023-06-13T10:56:21Z."
            ) from None
        return text

    @field_validator("class_colors")
    @classmethod
    def _class_colors(cls, colors: dict[str, str]) -> dict[str, str]:
        wrong = {name: color for name, color in colors.items() if not re.fullmatch(r"#[0-9a-fA-F]{6}", color)}
        if wrong:
            raise ValueError(f"`class_colors` must be colors such as #1b7837. Received: class_colors={wrong}.")
        return colors

    def argument(self, **changed: object) -> str:
        """Format these options with other values, as the parameter of the step."""
        values = self.model_dump(mode="json", exclude_defaults=True) | changed
        plain = {name: int(v) if isinstance(v, float) and v.is_integer() else v for name, v in values.items()}
        return f"options={json.dumps(plain, ensure_ascii=False)}"


class PredictScenesConfig(StepConfig):
    """Scene, model, and how windows are placed."""

    scene_uri: str = Field(
        min_length=1,
        description="Address of the scene: a GeoTIFF or a STAC item (.json) with one asset per band; a path, s3:// or "
        "https://",
    )
    model_uri: ModelAddress = Field(min_length=1, description=f"Address of the model: {MODEL_ADDRESSES}")
    output_uri: PlaceAddress = Field(
        default="",
        description="Folder or s3://bucket/prefix to which the results of each scene are copied, in a folder of its "
        "own; empty copies nothing",
    )
    scene_bands: DistinctBands = Field(
        default=(), description="Names of the bands of a GeoTIFF, in its order, if the file lacks them"
    )
    stride_pixels: int = Field(
        default=0,
        ge=0,
        le=65536,
        description="Distance between windows in pixels of the scene; a smaller one than a tile lets windows overlap, "
        "and their probabilities are averaged; 0 is the size of a tile",
    )
    experiment: str = Field(default="", description="MLflow experiment; empty tracks nothing")
    options: ScenesOptions = Field(
        default=ScenesOptions(),
        description='Rarely changed settings of the prediction: {"resolution": "pixel"}, {"allow_mismatch": true}, '
        '{"fill_bands": ["B10"]} and others',
    )

    @field_validator("scene_uri")
    @classmethod
    def _scene_uri(cls, uri: str) -> str:
        try:
            return storage.normalize(uri)
        except SourceError as error:
            raise ValueError(
                f"`scene_uri` must be a path, s3:// or https:// address. Received: {storage.shown(uri)!r}. {error}"
            ) from None

    @model_validator(mode="after")
    def _bands_are_named_where_they_are(self) -> Self:
        assets, of_item = self.options.band_assets, is_item(self.scene_uri)
        if of_item and self.scene_bands:
            raise ValueError(
                "`scene_bands` names the bands of a GeoTIFF; the assets of a STAC item are given by "
                f"options.band_assets. Received: scene_bands={list(self.scene_bands)} with "
                f"scene_uri={storage.shown(self.scene_uri)!r}. Give options.band_assets="
                f"{dict.fromkeys(self.scene_bands, '...')}, or leave scene_bands out."
            )
        if assets and not of_item:
            raise ValueError(
                "`options.band_assets` names assets of a STAC item; the bands of a GeoTIFF are named by `scene_bands`. "
                f"Received: options.band_assets={assets} with scene_uri={storage.shown(self.scene_uri)!r}. "
                "Leave options.band_assets out."
            )
        return self

    @model_validator(mode="after")
    def _offset_needs_no_guess(self) -> Self:
        if self.options.pixel_scale is not None and self.options.pixel_offset is None:
            with_offset = self.options.argument(pixel_offset=0)
            raise ValueError(
                "`pixel_scale` needs `pixel_offset` too, since an offset is recognized only in the numbers of "
                f"Sentinel-2's products. Received: pixel_scale={self.options.pixel_scale:g}. Set "
                f"{with_offset} if there is none."
            )
        return self

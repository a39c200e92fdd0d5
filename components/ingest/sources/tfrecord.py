"""A file, a folder or a prefix of TFRecord files with one labelled tile per record.

The records are `tf.train.Example`s in which each band is a feature: its pixels row by row, as bytes. Ingest stores the
offset of each record, so that packing fetches only the selected records.
"""

import datetime as dt
import hashlib
import itertools
import logging
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tilepipe.components.ingest.arguments import argument
from tilepipe.components.ingest.config import IngestConfig, SourceKind
from tilepipe.components.ingest.sources.tile_row import TileRow
from tilepipe.components.shared.contracts.bands import canonical_band
from tilepipe.components.shared.contracts.tile_table import RecordFeature
from tilepipe.components.shared.errors import ParameterError, SourceError
from tilepipe.components.shared.records.example import Values, parse_example
from tilepipe.components.shared.records.frames import FRAMING_BYTES, frame, iter_frames
from tilepipe.components.shared.runtime.progress import Progress
from tilepipe.components.shared.storage import storage

logger = logging.getLogger("tilepipe.ingest")

# Names used by writers: x.tfrecord, x.tfrecords-00000-of-00010, and part-r-00012 of Spark and Beam.
_NAME = re.compile(r"(?:.*[._-])?tfrecords?(?:[._-].*)?|part-r-\d+", re.IGNORECASE)
_BAND = re.compile(r"B(\d+)(A?)", re.IGNORECASE)
_DTYPES = {1: "uint8", 2: "uint16", 4: "float32"}
_CHUNK_BYTES = 8 * 2**20
_LOOKED_AT = 100
_SHA256 = "1220"
"""Code and length of the multihash, which precede the digest."""

Features = Mapping[str, Values]


def is_record_file(name: str) -> bool:
    """Return True if the last part of a file's name or address is a usual name of TFRecord files."""
    return _NAME.fullmatch(name.rpartition("/")[2]) is not None


def holds_records(folder: str) -> bool:
    """Return True if a TFRecord file is among the first 100 files of a folder or prefix.

    Args:
        folder: normalized address.

    Returns:
        True if there is one.

    Raises:
        SourceError: if there is no such folder or bucket.
        StorageError: if the disk or the store cannot be reached, or denies access.
    """
    return any(is_record_file(file.name) for file in itertools.islice(storage.list_files(folder), _LOOKED_AT))


@dataclass
class TfrecordSource:
    """TFRecord files.

    Args:
        root: normalized address of the file, folder or prefix.
        config: parameters of the step.
        wanted: additional features that the rows must have as properties.
    """

    root: str
    config: IngestConfig
    wanted: frozenset[str] = frozenset()
    kind: SourceKind = "tfrecord"
    record_features: tuple[RecordFeature, ...] = ()
    """Features of the bands in the first record that has all of them; known after rows have been read."""

    @property
    def name(self) -> str:
        """Name of the file or folder."""
        return self.root.rstrip("/").rpartition("/")[2]

    def rows(self) -> Iterator[TileRow]:
        """Yield one row per record, file by file in the order of their names.

        Raises:
            SourceError: if there are no such files or no records, a file is damaged, or no feature holds a band.
            ParameterError: if `options.record_shape` is not a height and a width.
        """
        self._check_shape()
        progress = Progress(logger, "read", None, "records")
        labels, unlabelled_features, problem = 0, [""], ""
        for name, uri in self._files():
            for index, (offset, payload, features) in enumerate(self._records(uri)):
                if not self.record_features:
                    try:
                        self.record_features = self._describe(features)
                    except SourceError as error:
                        problem = problem or f"{error} The record is {name}#{index:06d}."
                row = self._row(name, uri, index, offset, payload, features)
                if row.label is None:
                    unlabelled_features = sorted(features)
                labels += row.label is not None
                progress.advance()
                yield row
        progress.finish()
        if not progress.done:
            raise SourceError(
                f"TFRecord files must contain records. Received: data_source={self.root}, whose files are empty."
            )
        if not self.record_features:
            raise SourceError(problem)
        if not labels:
            raise SourceError(
                f"Records must have a feature with the label. Received: data_source={self.root}, where no record has "
                f"{self._label_name!r}; one has {unlabelled_features}. Name the feature with "
                f"{argument('columns', {'label': '...'})}."
            )

    @property
    def _label_name(self) -> str:
        return self.config.columns.label or "label"

    def _check_shape(self) -> None:
        shape = self.config.options.record_shape
        if shape and (len(shape) != 2 or min(shape) < 1):
            raise ParameterError(
                f"`data_options.record_shape` must be a height and a width in pixels. Received: "
                f"data_options.record_shape={list(shape)}. Such as {argument('options', {'record_shape': [64, 64]})}."
            )

    def _files(self) -> list[tuple[str, str]]:
        if storage.is_file(self.root):
            return [(self.name, self.root)]
        files = sorted((file.name, file.uri) for file in storage.list_files(self.root) if is_record_file(file.name))
        if not files:
            raise SourceError(
                "A folder of TFRecords must contain files named *.tfrecord, *.tfrecord-00000-of-00010 or part-r-00000. "
                f"Received: data_source={self.root} without one. If the file has another name, "
                "give the address of the file itself."
            )
        return files

    def _records(self, uri: str) -> Iterator[tuple[int, bytes, Features]]:
        with storage.staged(uri) as local:
            frames = iter_frames(_chunks(local))
            while True:
                try:
                    found = next(frames, None)
                    if found is None:
                        return
                    offset, payload = found
                    features = _parsed(payload, offset)
                except ValueError as error:
                    raise SourceError(
                        f"A TFRecord file must contain complete, uncompressed records of tf.train.Example. Received: "
                        f"{uri}: {error}. {_remedy(local)}"
                    ) from None
                yield offset, payload, features

    def _describe(self, features: Features) -> tuple[RecordFeature, ...]:
        return tuple(self._feature(name, features) for name in self._band_names(features))

    def _band_names(self, features: Features) -> list[str]:
        """Return the names of the bands' features as spelled in the file: Landsat's B2 is not Sentinel-2's B02."""
        if self.config.source_bands:
            spelled = {canonical_band(name): name for name in sorted(features)}
            named = [band if band in features else spelled.get(band, "") for band in self.config.source_bands]
            if all(named):
                return named
            missing = [band for band, name in zip(self.config.source_bands, named, strict=True) if not name]
            raise SourceError(
                f"Each of data_source_bands must be a feature. Received: {missing}, and the features are "
                f"{sorted(features)}."
            )
        found = {name: match for name in features if (match := _BAND.fullmatch(name))}
        if not found:
            raise SourceError(
                "Records must hold each band as a feature of bytes named B1, B2 and so on. Received: the features "
                f"{sorted(features)}. Name the features of the bands, such as "
                f"{argument('source_bands', ['B2', 'B3', 'B4'])}."
            )
        return sorted(found, key=lambda name: (int(found[name][1]), found[name][2], name))

    def _feature(self, name: str, features: Features) -> RecordFeature:
        values = features[name]
        pixels = values[0] if len(values) == 1 else None
        if not isinstance(pixels, bytes):
            raise SourceError(
                f"The feature of a band must be a single value of bytes. Received: the feature {name} with "
                f"{len(values)} values{f' ({type(values[0]).__name__})' if values else ''}. Remove it from "
                "data_source_bands."
            )
        shape = self.config.options.record_shape
        count = len(pixels)
        if shape:
            height, width = shape
            dtype = _DTYPES.get(count // (height * width)) if count % (height * width) == 0 else None
        else:
            # One or two bytes per pixel: a square number is never twice another square number.
            size, dtype = next(
                ((size, _DTYPES[each]) for each in (1, 2) if (size := math.isqrt(count // each)) ** 2 * each == count),
                (0, None),
            )
            height = width = size
        if dtype is None or not count:
            raise SourceError(
                "The feature of a band must have 1 (uint8), 2 (uint16) or 4 (float32) bytes per pixel. "
                f"Received: the feature {name} with {count} bytes, and data_options.record_shape is "
                f"{list(shape) or 'not given, which requires square images of 1 or 2 bytes per pixel'}. "
                f"Set height and width, such as {argument('options', {'record_shape': [64, 64]})}."
            )
        return RecordFeature(name=name, dtype=dtype, height=height, width=width)

    def _row(self, name: str, uri: str, index: int, offset: int, payload: bytes, features: Features) -> TileRow:
        columns = self.config.columns
        tile_id = f"{name}#{index:06d}"
        if columns.id:
            stated = _text(features.get(columns.id))
            if stated is None:
                raise SourceError(
                    f"A tile must have an id. Received: no feature data_columns.id={columns.id!r} in record {tile_id}."
                )
            tile_id = stated
        elif original := _text(features.get("filename")):
            tile_id += f"/{original.rpartition('/')[2]}"
        return TileRow(
            tile_id=tile_id,
            uri=uri,
            offset=offset,
            bytes=len(payload) + FRAMING_BYTES,
            checksum=_SHA256 + hashlib.sha256(frame(payload)).hexdigest(),
            label=_text(features.get(self._label_name)),
            split=_text(features.get(self.config.split_property)) if self.config.split_property else None,
            group=_text(features.get(columns.group)) if columns.group else None,
            datetime=_time(features.get(columns.datetime), tile_id) if columns.datetime else None,
            bands=tuple(feature.name for feature in self.record_features),
            properties={key: scalar for key in self.wanted if (scalar := _scalar(features.get(key))) is not None},
        )


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def _parsed(payload: bytes, offset: int) -> Features:
    try:
        return parse_example(payload)
    except ValueError as error:
        raise ValueError(f"the record at offset {offset} is not a tf.train.Example: {error}") from None


def _remedy(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(2)
    return "Decompress it: it is a gzip file." if start == b"\x1f\x8b" else "Copy it or create it again."


def _scalar(values: Sequence[bytes] | Sequence[int] | Sequence[float] | None) -> str | int | float | None:
    """Return the only value of a feature; None if it has none, several, or bytes that are not UTF-8."""
    if not values or len(values) > 1:
        return None
    value = values[0]
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def _text(values: Sequence[bytes] | Sequence[int] | Sequence[float] | None) -> str | None:
    value = _scalar(values)
    return None if value is None or value == "" else str(value)


def _time(values: Values | None, tile_id: str) -> dt.datetime | None:
    stated = _text(values)
    if stated is None:
        return None
    try:
        time = dt.datetime.fromisoformat(stated)
    except ValueError:
        raise SourceError(f"A time must be ISO 8601. Received: {stated!r} in record {tile_id}.") from None
    return time if time.tzinfo else time.replace(tzinfo=dt.UTC)

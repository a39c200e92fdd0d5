"""A file, a folder or a prefix of TFRecord files with one labelled tile per record.

The records are `tf.train.Example`s in which each band is a feature, or one feature holds an image with all bands.
Ingest stores the offset of each record, so that packing fetches only the selected records.
"""

import datetime as dt
import gzip
import hashlib
import itertools
import logging
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tilepipe.components.ingest.config import IngestConfig, SourceKind
from tilepipe.components.ingest.parameter_names import argument, joined
from tilepipe.components.ingest.sources.numbered_files import warn_of_missing_files
from tilepipe.components.ingest.sources.tfrecords.dataset_files import class_names, splits_of
from tilepipe.components.ingest.sources.tfrecords.tfrecord_bands import Features, RecordLayout, find_layout
from tilepipe.components.ingest.sources.tile_row import TileRow
from tilepipe.components.shared.contracts.tile_table import RecordFeature
from tilepipe.components.shared.errors import ParameterError, SourceError
from tilepipe.components.shared.logs.progress import Progress
from tilepipe.components.shared.records.example import Values, parse_example
from tilepipe.components.shared.records.frames import FRAMING_BYTES, frame, iter_frames
from tilepipe.components.shared.storage import storage

logger = logging.getLogger("tilepipe.ingest")

# Names used by writers: x.tfrecord, x.tfrecords-00000-of-00010, Spark's and Beam's part-r-00012, and the Object
# Detection API's x.record-00000-of-00010.
_NAME = re.compile(
    r"(?:(?:.*[._-])?tfrecords?(?:[._-].*)?|part-r-\d+|.*\.records?(?:-\d+-of-\d+)?)(?:\.gz)?", re.IGNORECASE
)
_LABELS = ("label", "image/class/label")
_FILE_NAMES = ("filename", "image/filename")
_GZIP = b"\x1f\x8b"
_CHUNK_BYTES = 8 * 2**20
_LOOKED_AT = 100
_SHA256 = "1220"
"""Code and length of the multihash, which precede the digest."""


def is_record_file(name: str) -> bool:
    """Return True if the last part of a file's name or address is a usual name of TFRecord files."""
    return _NAME.fullmatch(name.rpartition("/")[2]) is not None


def holds_records(folder: str) -> bool:
    """Return True if a TFRecord file is among the first 100 files of a folder or prefix, a normalized address.

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
    """Features with pixels; known after rows have been read."""

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
        labels, unlabelled_features, several, problem = 0, [""], 0, ""
        layout: RecordLayout | None = None
        options = self.config.options
        files = self._files()
        for (name, uri), split in zip(files, splits_of([name for name, _ in files]), strict=True):
            for index, (offset, payload, features) in enumerate(self._records(uri)):
                if layout is None:
                    try:
                        stated = self.config.source_bands
                        layout = find_layout(features, stated, options.record_shape, options.record_dtype)
                    except SourceError as error:
                        problem = problem or f"{error} The record is {name}#{index:06d}."
                if layout is not None:
                    layout.observe(features)
                row = self._row(name, uri, index, offset, payload, features, layout.names if layout else (), split)
                if row.label is None:
                    unlabelled_features = sorted(features)
                    several = len(features.get(self._label_name, ()))
                labels += row.label is not None
                progress.advance()
                yield row
        progress.finish()
        if not progress.done:
            raise SourceError(
                f"TFRecord files must contain records. Received: data_source={self.root}, whose files are empty."
            )
        if layout is None:
            raise SourceError(problem)
        self.record_features = layout.features()
        if not labels and several > 1 and self.config.needs_labels:
            raise SourceError(
                f"A record must have one label. Received: data_source={self.root}, where {self._label_name} holds "
                f"{several} values in one record. Name a feature with one value with "
                f"{argument('columns', {'label': '...'})}."
            )
        if not labels and self.config.needs_labels:
            raise SourceError(
                f"Records must have a feature with the label. Received: data_source={self.root}, where no record has "
                f"{self._label_name!r}; one has {joined(unlabelled_features)}. Name the feature with "
                f"{argument('columns', {'label': '...'})}."
            )

    @property
    def _label_name(self) -> str:
        return self.config.columns.label or _LABELS[0]

    def _label(self, features: Features, folder: str) -> str | None:
        named = self.config.columns.label
        for name in (named,) if named else _LABELS:
            if text := _text(features.get(name)):
                names = class_names(folder, name)
                return names[int(text)] if text.isdecimal() and int(text) < len(names) else text
        return None

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
        warn_of_missing_files([name for name, _ in files])
        return files

    def _records(self, uri: str) -> Iterator[tuple[int, bytes, Features]]:
        with storage.staged(uri) as local:
            frames = iter_frames(_chunks(local, is_packed=storage.path_of(uri).lower().endswith(".gz")))
            while True:
                try:
                    found = next(frames, None)
                    if found is None:
                        return
                    offset, payload = found
                    features = _parsed(payload, offset)
                except (ValueError, EOFError, zlib.error, gzip.BadGzipFile) as error:
                    raise SourceError(
                        f"A TFRecord file must contain complete records of tf.train.Example. Received: {uri}: "
                        f"{error}. {_remedy(local)}"
                    ) from None
                yield offset, payload, features

    def _row(
        self,
        name: str,
        uri: str,
        index: int,
        offset: int,
        payload: bytes,
        features: Features,
        bands: tuple[str, ...],
        split: str | None,
    ) -> TileRow:
        columns = self.config.columns
        tile_id = f"{name}#{index:06d}"
        if columns.id:
            stated = _text(features.get(columns.id))
            if stated is None:
                raise SourceError(
                    f"A tile must have an id. Received: no feature data_columns.id={columns.id!r} in record {tile_id}."
                )
            tile_id = stated
        elif original := next((text for each in _FILE_NAMES if (text := _text(features.get(each)))), None):
            tile_id += f"/{original.rpartition('/')[2]}"
        return TileRow(
            tile_id=tile_id,
            uri=uri,
            offset=offset,
            bytes=len(payload) + FRAMING_BYTES,
            checksum=_SHA256 + hashlib.sha256(frame(payload)).hexdigest(),
            label=self._label(features, storage.parent(uri)),
            split=_text(features.get(self.config.split_property)) if self.config.split_property else split,
            group=_text(features.get(columns.group)) if columns.group else None,
            datetime=_time(features.get(columns.datetime), tile_id) if columns.datetime else None,
            bands=bands,
            properties={key: scalar for key in self.wanted if (scalar := _scalar(features.get(key))) is not None},
        )


def _chunks(path: Path, *, is_packed: bool) -> Iterator[bytes]:
    """Read a file in chunks; gzip is read by Python, which also reads what follows an empty member."""
    with path.open("rb") as start:
        is_packed = is_packed and start.read(2) == _GZIP
    with gzip.open(path) if is_packed else path.open("rb") as file:
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
    if start == _GZIP:
        return "Name the file *.gz, or decompress it: it is a gzip file."
    return "Copy it or create it again."


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
    if isinstance(value, float) and value.is_integer():  # Earth Engine writes all numbers as floats
        value = int(value)
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

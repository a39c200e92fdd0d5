"""Splits and class names of a TFRecord data set, from the names of its files and the files beside them.

Layout of TensorFlow Datasets: https://www.tensorflow.org/datasets/external_tfrecord. Others name files by the split
first, as in the tutorials of the Object Detection API.
"""

import functools
import re
from collections.abc import Sequence

from tilepipe.components.ingest.config import split_named
from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.storage import storage

_MAX_BYTES = 16 * 2**20


def splits_of(names: Sequence[str]) -> tuple[str | None, ...]:
    """Return the split in the name of each file, as in `eurosat-train.tfrecord-00000-of-00001` or `train.record`.

    Returns:
        One split per file; None for all of them unless each name has one, and there are several.
    """
    splits = []
    for name in names:
        words = re.split(r"[-_]", name.rpartition("/")[2].partition(".")[0])
        splits.append(split_named(words[-1]) or split_named(words[0]))
    return tuple(splits) if all(splits) and len(set(splits)) > 1 else (None,) * len(names)


@functools.lru_cache(maxsize=64)
def class_names(folder: str, feature: str) -> tuple[str, ...]:
    """Return the names of the classes in `<feature>.labels.txt`, one per line, by their number; empty without it."""
    uri = f"{folder}/{feature}.labels.txt"
    if "/" in feature or not storage.is_file(uri):
        return ()
    try:
        with storage.staged(uri, largest_bytes=_MAX_BYTES) as path:
            return tuple(line for line in path.read_text(encoding="utf-8").split("\n") if line)
    except UnicodeDecodeError as error:
        raise SourceError(
            f"The names of classes must be UTF-8. Received: {storage.shown(uri)}, which reads as: {error}."
        ) from None

"""Check the shards of a split against the manifest and read them in order."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import xxhash

from tilepipe.components.shared.contracts.manifest import Manifest, Shard, SplitSummary
from tilepipe.components.shared.errors import ArtifactError
from tilepipe.components.shared.runtime.datasets import BATCHES_AHEAD, PARALLEL_CALLS, without_autotune

if TYPE_CHECKING:
    import tensorflow as tf

MEBIBYTE = 2**20

ADVICE = "The manifest and the shards must come from the same `pack`: run it again, or give this step its outputs."


def open_shards(
    folders: Sequence[Path],
    split: SplitSummary,
    manifest: Manifest,
    *,
    batch_size: int,
    with_ids: bool = False,
    verify: bool = True,
) -> "tf.data.Dataset":
    """Open one split for reading in the shards' order.

    Records are parsed in batches, which is several times faster than one by one, and keep the manifest's dtype:
    the model takes raw digital numbers.

    Args:
        folders: the artifacts of the split, one per packed part.
        split: the manifest's summary of that split.
        manifest: what the shards hold.
        batch_size: tiles per batch; the last batch may be smaller.
        with_ids: whether the tiles' ids come too.
        verify: whether the shards' checksums are computed first; names and sizes are always checked.

    Returns:
        Batches of `images`, the manifest's dtype, `(batch, height, width, bands)`, and `labels`, int64, `(batch,)`;
        with ids also `tile_ids`, bytes, `(batch,)`.

    Raises:
        ArtifactError: a shard is missing, truncated or damaged.
    """
    import tensorflow as tf

    files = [str(path) for path in check_shards(folders, split, verify=verify)]
    features = {
        "image": tf.io.FixedLenFeature([], tf.string),
        "label": tf.io.FixedLenFeature([], tf.int64),
        "tile_id": tf.io.FixedLenFeature([], tf.string),
    }

    def parse(records: "tf.Tensor") -> tuple["tf.Tensor", ...]:
        batch = tf.io.parse_example(records, features)
        images = tf.io.decode_raw(batch["image"], tf.as_dtype(manifest.dtype))
        images = tf.reshape(images, (-1, *manifest.tile_shape))
        return (images, batch["label"], batch["tile_id"]) if with_ids else (images, batch["label"])

    data = tf.data.TFRecordDataset(files).batch(batch_size)
    data = data.map(parse, num_parallel_calls=PARALLEL_CALLS, deterministic=True).prefetch(BATCHES_AHEAD)
    return without_autotune(data.apply(tf.data.experimental.assert_cardinality(-(-split.tiles // batch_size))))


def check_shards(folders: Sequence[Path], split: SplitSummary, *, verify: bool = True) -> list[Path]:
    """Check the files of a split against the manifest.

    Args:
        folders: the artifacts of the split, one per packed part; a shard lies in one of them.
        split: the manifest's summary of that split.
        verify: whether to compute checksums too (as fast as the files can be read); names and sizes cost nothing.

    Returns:
        The shards' paths, in the manifest's order; none for an empty split.

    Raises:
        ArtifactError: a shard is missing or there twice, or of another size or checksum than when it was packed.
    """
    return [check_shard(_found(folders, shard), shard, verify=verify) for shard in split.shards]


def check_shard(path: Path, shard: Shard, *, verify: bool = True, shown: str = "") -> Path:
    """Check one file against the manifest.

    Args:
        path: the file.
        shard: what the manifest says of it.
        verify: whether to compute its checksum too.
        shown: what a message calls it, such as the address that it came from; its path, unless given.

    Returns:
        The path.

    Raises:
        ArtifactError: it is of another size or checksum than when it was packed.
    """
    size = path.stat().st_size
    if size != shard.bytes:
        raise ArtifactError(
            f"Shard {shown or path} must have {shard.bytes:,} bytes. Received: {size:,} bytes. {ADVICE}"
        )
    if verify:
        with path.open("rb") as file:
            checksum = hashlib.file_digest(file, xxhash.xxh3_128).hexdigest()
        if checksum != shard.checksum:
            raise ArtifactError(
                f"Shard {shown or path} must have the checksum {shard.checksum}. Received: {checksum}, so it was "
                f"changed or damaged after packing. {ADVICE}"
            )
    return path


def _found(folders: Sequence[Path], shard: Shard) -> Path:
    paths = [path for folder in folders if (path := folder / shard.name).is_file()]
    if len(paths) == 1:
        return paths[0]
    where = ", ".join(map(str, paths or folders))
    received = f"{len(paths)} files" if paths else "no file"
    raise ArtifactError(
        f"Every shard of the manifest must be there, once. Received: {received} {shard.name} in {where}. {ADVICE}"
    )

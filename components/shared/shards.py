"""Reading a split's shards as batches: what `train` and `evaluate` have in common."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import xxhash

from tilepipe.components.shared.errors import ArtifactError
from tilepipe.components.shared.manifest import Manifest, Shard, SplitSummary

if TYPE_CHECKING:
    import tensorflow as tf

MEBIBYTE = 2**20
SHUFFLE_MEBIBYTES = 256
"""How much of a split that does not fit the cache is mixed at a time."""

ADVICE = "The manifest and the shards must come from the same `pack`: run it again, or give this step its outputs."


def open_shards(
    folders: Sequence[Path],
    split: SplitSummary,
    manifest: Manifest,
    *,
    batch_size: int,
    shuffle_seed: int | None = None,
    cache_mebibytes: int = 0,
    drop_remainder: bool = False,
    with_ids: bool = False,
    verify: bool = True,
) -> "tf.data.Dataset":
    """Open one split for reading; each pass over the result is one epoch.

    The order is the shards' own, or, with a seed, another one in each epoch and the same ones in each process. Records
    are parsed a batch at a time, which is several times faster than one by one, and keep the manifest's dtype: the
    model takes raw digital numbers.

    Args:
        folders: the split's artifacts, one a part that was packed.
        split: the manifest's summary of that split.
        manifest: what the shards hold.
        batch_size: tiles a batch; the last one is smaller where the count demands it.
        shuffle_seed: mixes the tiles anew in each epoch; None keeps the shards' order.
        cache_mebibytes: a split up to this size is kept in memory after the first epoch, as packed; 0 reads the files
            again in each epoch.
        drop_remainder: leave out the last, smaller batch.
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
    split_bytes = sum(shard.bytes for shard in split.shards)
    cached = split_bytes <= cache_mebibytes * MEBIBYTE
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

    data = tf.data.TFRecordDataset(files)
    if cached:
        data = data.cache()
    if shuffle_seed is not None and split.tiles:
        data = data.shuffle(_shuffle_buffer(split, split_bytes, cached=cached), seed=shuffle_seed)
    data = data.batch(batch_size, drop_remainder=drop_remainder)
    data = data.map(parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    steps = split.tiles // batch_size if drop_remainder else -(-split.tiles // batch_size)
    return data.apply(tf.data.experimental.assert_cardinality(steps))


def check_shards(folders: Sequence[Path], split: SplitSummary, *, verify: bool = True) -> list[Path]:
    """Hold a split's files against the manifest, before hours of work are built on them.

    Args:
        folders: the split's artifacts, one a part that was packed; a shard lies in one of them.
        split: the manifest's summary of that split.
        verify: whether to compute checksums too (as fast as the files can be read); names and sizes cost nothing.

    Returns:
        The shards' paths, in the manifest's order; none for an empty split.

    Raises:
        ArtifactError: a shard is missing or there twice, or of another size or checksum than when it was packed.
    """
    return [check_shard(_found(folders, shard), shard, verify=verify) for shard in split.shards]


def check_shard(path: Path, shard: Shard, *, verify: bool = True, shown: str = "") -> Path:
    """Hold one file against the manifest.

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


def _shuffle_buffer(split: SplitSummary, split_bytes: int, *, cached: bool) -> int:
    """How many tiles are mixed at a time: all of them where they are in memory anyway."""
    if cached:
        return split.tiles
    bytes_per_tile = max(split_bytes // split.tiles, 1)
    return max(1, min(split.tiles, SHUFFLE_MEBIBYTES * MEBIBYTE // bytes_per_tile))

"""A tiny packed data set: shards written by TensorFlow itself, and their manifest."""

from pathlib import Path

import numpy as np
import xxhash

from tilepipe.components.shared.contracts.manifest import SPLITS, BandStatistics, Manifest, Shard, SplitSummary

CLASSES = ("Forest", "SeaLake", "Industrial")


def shard_of(name: str, content: bytes, tiles: int) -> Shard:
    """Describe a shard by its content."""
    return Shard(name=name, tiles=tiles, bytes=len(content), checksum=xxhash.xxh3_128_hexdigest(content))


def with_shards(split: str, summary: SplitSummary) -> SplitSummary:
    """Create a summary with all tiles in one shard, for tests that read no tiles."""
    if summary.shards or not summary.tiles:
        return summary
    shard = Shard(name=f"{split}.tfrecord", tiles=summary.tiles, bytes=1, checksum="0" * 32)
    return summary.model_copy(update={"shards": (shard,)})


def manifest_for(shape=(8, 8, 2), dtype="uint16", classes=CLASSES, splits=None, statistics=None) -> Manifest:
    """Create a manifest of tiles that need not exist."""
    bands = tuple(f"B{number:02d}" for number in range(1, shape[2] + 1))
    empty = SplitSummary(tiles=0, tiles_per_class=dict.fromkeys(classes, 0), shards=())
    statistics = statistics or [(1000.0, 300.0)] * len(bands)
    return Manifest(
        tilepipe_version="0.1.0",
        name="tiny (synthetic)",
        source="memory",
        snapshot="",
        digest="0123456789abcdef" * 4,
        bands=bands,
        dtype=dtype,
        height=shape[0],
        width=shape[1],
        class_names=tuple(classes),
        splits={split: with_shards(split, (splits or {}).get(split, empty)) for split in SPLITS},
        statistics=tuple(
            BandStatistics(band=band, mean=mean, std=std, minimum=0.0, maximum=9000.0)
            for band, (mean, std) in zip(bands, statistics, strict=True)
        ),
    )


def write_packed(
    folder: Path, *, tiles=(24, 12, 0), shape=(8, 8, 2), dtype="uint16", classes=CLASSES, shards=1, seed=0
) -> Manifest:
    """Write `train`, `val` and `test` and a `manifest.json` into a folder; classes differ in brightness.

    Returns the manifest; a tile's id ends with its label.
    """
    rng = np.random.default_rng(seed)
    splits = {}
    for split, count in zip(SPLITS, tiles, strict=True):
        made = []
        for number in rng.permutation(count):
            label = int(number) % len(classes)
            pixels = rng.normal(60 + 60 * label, 20, shape).clip(0, 255).astype(dtype)
            made.append((f"{split}/{number:03d}-{label}", label, pixels))
        splits[split] = write_split(folder / split, made, classes, shards)
    manifest = manifest_for(shape, dtype, classes, splits, [(120.0, 50.0)] * shape[2])
    manifest.write(folder / "manifest.json")
    return manifest


def write_split(folder: Path, tiles, classes, shards) -> SplitSummary:
    """Write the id, label and pixels of each tile; the shards have about as many tiles each."""
    import tensorflow as tf

    folder.mkdir(parents=True)
    written = []
    for number, part in enumerate(np.array_split(np.arange(len(tiles)), shards) if tiles else []):
        path = folder / f"{folder.name}-{number:05d}-of-{shards:05d}.tfrecord"
        with tf.io.TFRecordWriter(str(path)) as writer:
            for index in part:
                writer.write(_example(tf, *tiles[index]))
        written.append(shard_of(path.name, path.read_bytes(), len(part)))
    labels = [label for _, label, _ in tiles]
    per_class = {name: labels.count(index) for index, name in enumerate(classes)}
    return SplitSummary(tiles=len(tiles), tiles_per_class=per_class, shards=tuple(written))


def _example(tf, tile_id, label, pixels) -> bytes:
    feature = {
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[pixels.tobytes()])),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
        "tile_id": tf.train.Feature(bytes_list=tf.train.BytesList(value=[tile_id.encode()])),
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()

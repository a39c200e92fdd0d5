"""Shards read by TensorFlow itself, for comparison with this project's reader."""

from pathlib import Path


def open_shards(folder: Path, split: str, manifest, *, batch_size: int, with_ids: bool = False):
    """Return batches of `(images, labels)`, or with ids `(images, labels, tile_ids)`, as a `tf.data.Dataset`."""
    import tensorflow as tf

    features = {
        "image": tf.io.FixedLenFeature([], tf.string),
        "label": tf.io.FixedLenFeature([], tf.int64),
        "tile_id": tf.io.FixedLenFeature([], tf.string),
    }

    def parse(records):
        batch = tf.io.parse_example(records, features)
        images = tf.io.decode_raw(batch["image"], tf.as_dtype(manifest.dtype))
        images = tf.reshape(images, (-1, *manifest.tile_shape))
        return (images, batch["label"], batch["tile_id"]) if with_ids else (images, batch["label"])

    summary = manifest.splits[split]
    data = tf.data.TFRecordDataset([str(folder / split / shard.name) for shard in summary.shards])
    options = tf.data.Options()
    options.autotune.enabled = False
    data = data.batch(batch_size).map(parse).with_options(options)
    return data.apply(tf.data.experimental.assert_cardinality(-(-summary.tiles // batch_size)))

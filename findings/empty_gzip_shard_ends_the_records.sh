#!/usr/bin/env bash
# Joining gzip-compressed TFRecord shards works until one of them is empty: TensorFlow ends there, as if at the end.
#
# Expected: the joined file holds the records of all shards. Members of a gzip file may be joined and may be
# empty, `gzip.decompress` returns all of them, and TensorFlow reads two joined shards that both have records.
# Observed (TensorFlow 2.21.0): after three records, an empty shard and four records, TFRecordDataset yields three;
# with the empty shard first it yields none. There is no error, and no warning.
# Why it matters: a class or a split without tiles in one part makes an empty shard, and joining the parts
# cuts the training set. Give TensorFlow the list of shards, and compare counts with the manifest.
# Source: RFC 1952, section 2.2; TensorFlow's documentation of TFRecordDataset, compression_type.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tensorflow-cpu==2.21.0 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import gzip
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf


def shard(name, records):
    with tf.io.TFRecordWriter(name, tf.io.TFRecordOptions(compression_type="GZIP")) as writer:
        for number in range(records):
            writer.write(b"%d" % number)
    with open(name, "rb") as file:
        return file.read()


def count(*names):
    return sum(1 for _ in tf.data.TFRecordDataset(list(names), compression_type="GZIP"))


three, none, four = shard("three", 3), shard("none", 0), shard("four", 4)
FRAME = len(gzip.decompress(three)) // 3
seen = {}
for name, parts in {"3+4": (three, four), "3+0+4": (three, none, four), "0+4": (none, four)}.items():
    with open(name, "wb") as file:
        file.write(b"".join(parts))
    seen[name] = (len(gzip.decompress(b"".join(parts))) // FRAME, count(name))
listed = count("three", "none", "four")
print("tensorflow", tf.__version__)
print("shards joined: records by Python's gzip, records by TensorFlow")
for name, (whole, read) in seen.items():
    print(f"  {name}: {whole} {read}")
print("  3, 0 and 4 as a list of files: TensorFlow reads", listed)
sys.exit(0 if seen == {"3+4": (7, 7), "3+0+4": (7, 3), "0+4": (4, 0)} and listed == 7 else 1)
PYTHON

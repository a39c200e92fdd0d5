#!/usr/bin/env bash
# TensorFlow decodes a JPEG half a gray level darker than Pillow and GDAL do, unless it is told to be accurate.
#
# Expected: decoders of JPEG may round single pixels differently, by one level up or down, and agree on average.
# Observed (TensorFlow 2.21.0, Pillow 13.0.0, rasterio 1.4.4 with GDAL 3.10.3, x86-64): tf.io.decode_jpeg and decode_image
# take the fast inverse transform of libjpeg-turbo by default, which cuts where the accurate one rounds: in smooth images
# about half of the pixels are one level lower and none is higher, at every quality and brightness. With
# dct_method="INTEGER_ACCURATE" all pixels are those of Pillow and GDAL. On EuroSAT's own JPEGs, color conversion
# included, the default is 0.8 levels darker on average. In noise at quality 100 single pixels differ by 9 levels and more.
# Why it matters: a classifier that is trained by tf.data or image_dataset_from_directory and answers to a service that
# decodes with Pillow, or the other way round, sees all its tiles shifted in one direction. Satellite tiles in 8 bits have
# standard deviations of 10 levels and less, so the shift is a measurable part of what the classes differ by.
# Source: TensorFlow's documentation of tf.io.decode_jpeg (argument `dct_method`) and tf.io.decode_image, which has none.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tensorflow-cpu==2.21.0 pillow==13.0.0 rasterio==1.4.4 || exit 2
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import io
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
import rasterio
import tensorflow as tf
from PIL import Image

rng = np.random.default_rng(0)
y, x = np.mgrid[:256, :256]
smooth = 6 * np.sin(x / 9) + 4 * np.cos(y / 7)
changed = False
for level in (40, 120, 200):
    for quality in (75, 95):
        encoded = io.BytesIO()
        Image.fromarray((level + smooth).astype("uint8")).save(encoded, "JPEG", quality=quality)
        data = encoded.getvalue()
        pillow = np.asarray(Image.open(encoded)).astype(int)
        with rasterio.MemoryFile(data) as file, file.open() as image:
            gdal = image.read(1).astype(int)
        default = tf.io.decode_jpeg(data).numpy()[..., 0].astype(int)
        any_format = tf.io.decode_image(data).numpy()[..., 0].astype(int)
        accurate = tf.io.decode_jpeg(data, dct_method="INTEGER_ACCURATE").numpy()[..., 0].astype(int)
        bias, lower, higher = (default - pillow).mean(), (default < pillow).mean(), (default > pillow).mean()
        print(f"level {level}, quality {quality}: {bias:+.2f} on average; {lower:.0%} lower, {higher:.0%} higher")
        changed |= not (-0.6 < bias < -0.4 and higher == 0)
        changed |= not ((accurate == pillow).all() and (gdal == pillow).all() and (any_format == default).all())
encoded = io.BytesIO()
Image.fromarray(rng.integers(80, 160, (256, 256), dtype=np.uint8)).save(encoded, "JPEG", quality=100)
pillow = np.asarray(Image.open(encoded)).astype(int)
most = np.abs(tf.io.decode_jpeg(encoded.getvalue()).numpy()[..., 0] - pillow).max()
print(f"noise, quality 100: up to {most} levels apart")
if changed or most < 5:
    print("changed")
    sys.exit(1)
print("as recorded")
PYTHON

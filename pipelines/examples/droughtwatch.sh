#!/usr/bin/env bash
# Quality of pasture in Landsat 8 tiles from TFRecords (droughtwatch): spectral indices instead of bands, and class weights
# because most tiles are of the lowest class.
#   pipelines/examples/droughtwatch.sh FOLDER [NAME=VALUE ...]
# NAME=VALUE are parameters of the training. Each band of a tile was stretched to 8 bits by itself, so that names of bands
# cannot be checked against the pixels.
# Hardware: 2 CPU cores for one file of 81 tiles; a GPU for all 86,317.
set -euo pipefail
folder=$1
shift

tilepipe run train_classifier data_source="$folder" train_batch_size=16 \
  model_options='{"sensor": "landsat-8", "bands": ["B4", "B3", "B2", "B5"], "indices": ["NDVI", "NDMI", "EVI"]}' \
  pack_options='{"check_band_identity": false, "max_quarantine_percent": 5}' \
  train_options='{"class_weights": "balanced", "best_metric": "val_macro_f1"}' \
  register_name=droughtwatch tracking_experiment=droughtwatch "$@"
tilepipe models droughtwatch

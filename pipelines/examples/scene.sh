#!/usr/bin/env bash
# From a STAC search to a classified scene: trains on the labelled tiles of a search, promotes the model and classifies
# a scene, given as a GeoTIFF or a STAC item.
#   pipelines/examples/scene.sh STAC_API COLLECTION SCENE [NAME=VALUE ...]
# NAME=VALUE are parameters of the training, such as data_href_rewrite. FLOOR is the lowest accuracy that is promoted.
# The scene must be of the sensor, level and unit of the tiles; the map is in maps/.
set -euo pipefail
api=$1 collection=$2 scene=$3
shift 3

tilepipe run train_classifier data_source="$api" data_query="{\"collections\": [\"$collection\"], \"filter\": \"gsd <= 10\"}" \
  split_by=block split_block_metres=5000 register_name=landcover tracking_experiment=landcover "$@"
tilepipe run promote model_name=landcover gate_floors="{\"accuracy\": ${FLOOR:-0.75}}"
tilepipe run predict_scenes model_uri=models:/landcover@champion scene_uris="[\"$scene\"]" output_uri=maps/

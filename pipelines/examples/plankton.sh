#!/usr/bin/env bash
# Plankton images of an unzipped EcoTaxa export: whole samples stay in one split, images of any size are padded, and a
# focal loss gives the rare taxa their weight. Then a sweep over losses on the same images as class folders.
#   pipelines/examples/plankton.sh EXPORT_FOLDER CLASS_FOLDERS [NAME=VALUE ...]
# EXPORT_FOLDER holds the TSVs and their images, CLASS_FOLDERS one folder per taxon. NAME=VALUE are parameters of both.
# Hardware: 2 CPU cores for a few thousand images, else a GPU. The sweep of a study: plankton-uvp6.yaml in
# pipelines/tune_classifier/configs.
set -euo pipefail
export_folder=$1 class_folders=$2
shift 2

pad='{"tile_size": [64, 64], "fit": "pad"}'
tilepipe run train_classifier data_source="$export_folder" \
  data_columns='{"group": "sample_id"}' split_by=group data_where="object_annotation_status = 'validated'" \
  pack_options="$pad" train_options='{"loss": "focal", "focal_gamma": 2, "best_metric": "val_macro_f1"}' \
  train_augmentation=flip,quarter_turn,shift,zoom register_name=plankton tracking_experiment=plankton "$@"
tilepipe run tune_classifier data_source="$class_folders" pack_options="$pad" tune_metric=val_macro_f1 \
  tune_space='{"together": [{"train_options.class_weights": "balanced"}, {"train_options.loss": "focal"}]}' \
  register_name=plankton tracking_experiment=plankton "$@"
tilepipe models plankton

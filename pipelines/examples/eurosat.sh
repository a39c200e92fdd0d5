#!/usr/bin/env bash
# EuroSAT RGB (Helber et al. 2019) from the archive to predictions: trains, promotes, predicts.
#   pipelines/examples/eurosat.sh eurosat-rgb-train-val.tar [NAME=VALUE ...]
# NAME=VALUE are parameters of the training, such as train_epochs=1. FLOOR is the lowest accuracy that is promoted.
# Hardware: 2 CPU cores. Minutes: 5. Expected metric: test_accuracy 0.84.
set -euo pipefail
archive=$1
shift
[[ " $*" == *" train_epochs="* ]] || set -- train_epochs=3 "$@" # a parameter can be given only once

mkdir -p eurosat
tar -xf "$archive" -C eurosat/
tilepipe run train_classifier data_source=eurosat/ register_name=eurosat tracking_experiment=eurosat "$@"
tilepipe run promote model_name=eurosat gate_floors="{\"accuracy\": ${FLOOR:-0.75}}"
tilepipe models eurosat
tilepipe run predict_tiles data_source=eurosat/ model_uri=models:/eurosat@champion output_uri=predictions/

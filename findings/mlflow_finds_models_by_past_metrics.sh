#!/usr/bin/env bash
# MLflow finds a logged model by a metric that it once had, and a run only by the one that it has now.
#
# Expected: `metrics.accuracy > 0.9` means one thing, the value that MLflow shows for the run or the model.
# Observed (MLflow 3.17.2): search_runs compares the value of the highest step; search_logged_models accepts any value of
# the history. A model whose accuracy fell from 0.95 to 0.60 is found by `> 0.9` and by `< 0.7`, and with
# both conditions, while its run is found by the last only.
# Why it matters: a gate that picks candidates by a threshold promotes models that overfitted after a good epoch.
# Log the figure to be searched once and under a name of its own.
# Source: MLflow's documentation of search syntax for runs and of search_logged_models.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check mlflow-skinny==3.17.2 sqlalchemy==2.1.9 alembic==1.20.1 pandas==3.1.1 numpy==2.3.5 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import logging
import sys

import mlflow

logging.disable(logging.WARNING)
mlflow.set_tracking_uri("sqlite:///tracking.db")
client = mlflow.MlflowClient()
experiment = client.create_experiment("tiles", artifact_location="artifacts")
run = client.create_run(experiment)
model = mlflow.create_external_model(name="classifier", experiment_id=experiment)
for step, value in enumerate((0.95, 0.60)):
    mlflow.log_metric("accuracy", value, step=step, run_id=run.info.run_id, model_id=model.model_id)


def found(condition):
    runs = client.search_runs([experiment], condition)
    return len(runs), len(mlflow.search_logged_models([experiment], condition, output_format="list"))


CONDITIONS = ("metrics.accuracy > 0.9", "metrics.accuracy < 0.7", "metrics.accuracy > 0.9 AND metrics.accuracy < 0.7")
seen = {condition: found(condition) for condition in CONDITIONS}
print("mlflow", mlflow.__version__, "| the run shows", client.get_run(run.info.run_id).data.metrics)
print("condition: runs found, logged models found")
for condition, what in seen.items():
    print(f"  {condition}:", *what)
sys.exit(0 if list(seen.values()) == [(0, 1), (1, 1), (0, 1)] else 1)
PYTHON

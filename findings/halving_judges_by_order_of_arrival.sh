#!/usr/bin/env bash
# Optuna's successive halving keeps every trial when the candidates happen to arrive from worst to best.
#
# Expected: of nine trials with a reduction factor of 3 about a third reaches the second rung.
# Observed: each trial is compared with those that came before it, so nine candidates in ascending order
# all survive; in descending order only the first does.
# Why it matters: a sweep over sorted values (learning rates, widths) saves nothing, or everything, by the
# order of the grid. Shuffle the candidates, or judge a rung when all of it is there.
# Source: the asynchronous algorithm (Li et al. 2018) that SuccessiveHalvingPruner's reference names.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check optuna==5.0.0 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)


def completed(values):
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)
    study = optuna.create_study(direction="maximize", pruner=pruner)
    for value in values:
        trial = study.ask()
        for step in range(1, 10):
            trial.report(value, step)
            if trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, value)
    return sum(trial.state is optuna.trial.TrialState.COMPLETE for trial in study.trials)


ascending, descending = completed(range(9)), completed(range(8, -1, -1))
print("optuna", optuna.__version__)
print("trials that run to their end, of 9: in ascending order", ascending, "| in descending order", descending)
sys.exit(0 if ascending == 9 and descending <= 2 else 1)
PYTHON

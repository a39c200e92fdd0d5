#!/usr/bin/env bash
# `dsl.If(task.output > 0)` on a float output runs neither branch in kfp.local, and the run succeeds.
#
# Expected: 0 and 0.0 are the same threshold.
# Observed: the compiled condition compares `double(0)`; the local runner cannot evaluate it, logs a warning,
# skips If and Else alike, and reports success. With `> 0.0` the branch runs.
# Why it matters: a gate on an accuracy or drift figure passes every local test without ever running.
# Source: KFP's documentation of control flow, dsl.If.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check kfp==2.17.0 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import subprocess
import sys

CODE = """
import sys
from kfp import dsl, local


@dsl.component(install_kfp_package=False)
def figure() -> float:
    return 0.5


@dsl.component(install_kfp_package=False)
def accepted() -> str:
    print('BRANCH', 'if')
    return 'if'


@dsl.component(install_kfp_package=False)
def refused() -> str:
    print('BRANCH', 'else')
    return 'else'


@dsl.pipeline
def gate():
    value = figure()
    with dsl.If(value.output > LITERAL):
        accepted()
    with dsl.Else():
        refused()


local.init(runner=local.SubprocessRunner(use_venv=False), raise_on_error=True)
gate()
print('RUN', 'succeeded')
"""
seen = {}
for literal in ("0", "0.0"):
    with open("gate.py", "w") as file:
        file.write(CODE.replace("LITERAL", literal))
    done = subprocess.run([sys.executable, "gate.py"], capture_output=True, text=True, check=False)
    seen[literal] = (["if"] if "BRANCH if" in done.stdout + done.stderr else []) + (
        ["else"] if "BRANCH else" in done.stdout + done.stderr else []) + (
        ["run succeeded"] if "RUN succeeded" in done.stdout else ["run failed"])
print("kfp 2.17.0, a figure of 0.5:")
for literal, what in seen.items():
    print(f"  > {literal}:", *what)
sys.exit(0 if seen == {"0": ["run succeeded"], "0.0": ["if", "run succeeded"]} else 1)
PYTHON

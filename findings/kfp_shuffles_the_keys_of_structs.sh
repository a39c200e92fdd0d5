#!/usr/bin/env bash
# kfp.local gives a component the keys of a `dict` parameter in another order in each process.
#
# Expected: the order in which the dict was written, which Python and JSON text keep; or at least one order in all runs.
# Observed (kfp 2.17.0, protobuf 6.33.6): the compiler sorts the keys of a default. A value travels as a protobuf Struct,
# a map without an order, whose hash differs from process to process: in eight runs with the same dict of five keys, a
# component saw eight orders.
# Why it matters: a component that takes bands, channels or classes in the order of such a dict trains on another order
# of bands in each run, with any seed; a seeded random search over a dict of ranges draws other candidates. Sort the keys
# in the component, or pass a list of pairs.
# Source: KFP's documentation of parameter types; protobuf's language guide on maps, whose order is undefined.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check kfp==2.17.0 protobuf==6.33.6 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import re
import subprocess
import sys

CODE = """
from kfp import compiler, dsl, local

CHANNELS = {'DNA': 'w1', 'ER': 'w2', 'RNA': 'w3', 'AGP': 'w4', 'Mito': 'w5'}


@dsl.component(install_kfp_package=False)
def show(channels: dict):
    print('SEEN', *channels)


@dsl.pipeline
def plate(channels: dict = CHANNELS):
    show(channels=channels)


compiler.Compiler().compile(plate, 'plate.yaml')
local.init(runner=local.SubprocessRunner(use_venv=False), raise_on_error=True)
plate(channels=CHANNELS)
"""
WRITTEN = "DNA ER RNA AGP Mito"
RUNS = 8

with open("plate.py", "w") as file:
    file.write(CODE)
orders = []
for _ in range(RUNS):
    done = subprocess.run([sys.executable, "plate.py"], capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr[-2000:])
        sys.exit(1)
    orders.append(re.search(r"SEEN (.*)", done.stdout + done.stderr)[1].strip())
with open("plate.yaml") as file:
    compiled = " ".join(re.findall(r"^ +(\w+): w\d$", file.read(), re.MULTILINE))
print("kfp 2.17.0, a dict written as", WRITTEN)
print("  default in the compiled pipeline:", compiled)
print(f"  orders that the component saw in {RUNS} runs:")
for order in sorted(set(orders)):
    print(f"    {orders.count(order)} times {order}")
same_keys = all(sorted(order.split()) == sorted(WRITTEN.split()) for order in orders)
is_sorted = compiled.split() == sorted(WRITTEN.split())
sys.exit(0 if is_sorted and same_keys and len(set(orders)) > 1 else 1)
PYTHON

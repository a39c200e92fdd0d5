#!/usr/bin/env bash
# An integer parameter of a Kubeflow pipeline is rounded above 2^53, by the compiler and by kfp.local.
#
# Expected: `int` parameters are integers; a value that does not fit is refused.
# Observed (kfp 2.17.0): parameters travel as protobuf Values, whose numbers are doubles. The compiler writes the
# default 9007199254740993 as 9007199254740992.0, and a component annotated `int` returns one number and the next
# receives another; nothing is logged. A list of integers arrives as floats of any size.
# Why it matters: 64-bit ids of tiles and scenes (hashes, S2 cells) name another tile after one step, and a list of
# image sizes or band numbers can neither index nor shape an array. Pass ids as text.
# Source: KFP's documentation of parameter types; protobuf's google.protobuf.Value, number_value.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check kfp==2.17.0 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import re
import subprocess
import sys

CODE = """
from kfp import compiler, dsl, local

TILE = 2**53 + 1


@dsl.component(install_kfp_package=False)
def first() -> int:
    return 2**53 + 1


@dsl.component(install_kfp_package=False)
def bands() -> list:
    return [4, 3, 2]


@dsl.component(install_kfp_package=False)
def show(tile: int, bands: list):
    print('SEEN', tile, type(tile).__name__, *bands)


@dsl.pipeline
def tiles(tile: int = TILE):
    show(tile=first().output, bands=bands().output)


compiler.Compiler().compile(tiles, 'tiles.yaml')
local.init(runner=local.SubprocessRunner(use_venv=False), raise_on_error=True)
tiles()
"""
with open("tiles.py", "w") as file:
    file.write(CODE)
done = subprocess.run([sys.executable, "tiles.py"], capture_output=True, text=True, check=False)
if done.returncode:
    print(done.stderr[-2000:])
    sys.exit(1)
with open("tiles.yaml") as file:
    default = re.search(r"defaultValue: (\S+)", file.read())[1]
received = re.search(r"SEEN (.*)", done.stdout + done.stderr)[1].split()
print("kfp 2.17.0, an id of", 2**53 + 1, "and the bands [4, 3, 2]:")
print("  default in the compiled pipeline:", default)
print("  received by the next component:", *received)
sys.exit(0 if default == "9007199254740992.0" and received == ["9007199254740992", "int", "4.0", "3.0", "2.0"] else 1)
PYTHON

#!/usr/bin/env bash
# `dsl.Collected` artifacts of a loop cannot be passed to a task inside `dsl.If`: compiling ends in a TypeError.
#
# Expected: a task inside a condition takes the same inputs as one outside, or the compiler names the limitation.
# Observed: outside the condition the pipeline compiles; inside, `TypeError: 'NoneType' object cannot be interpreted as
# an integer`, without the name of the task or the input. A single artifact, not collected, compiles inside it.
# Why it matters: an optional step over the parts of a data set (export, a check, a report) cannot be switched by a
# parameter of the pipeline.
# Source: KFP's documentation of control flow, dsl.Collected and dsl.If.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check kfp==2.17.0 || exit 2
cat >pipeline.py <<'PYTHON'
import contextlib
import sys

from kfp import compiler, dsl


@dsl.component(install_kfp_package=False)
def pack(part: str, shards: dsl.Output[dsl.Dataset]):
    pass


@dsl.component(install_kfp_package=False)
def export(shards: dsl.Input[list[dsl.Dataset]]):
    pass


@dsl.component(install_kfp_package=False)
def export_one(shards: dsl.Input[dsl.Dataset]):
    pass


def compiled(*, collected: bool, inside: bool) -> str:
    @dsl.pipeline
    def train(wanted: bool = True):
        if collected:
            with dsl.ParallelFor(["0", "1"]) as part:
                packed = pack(part=part)
            shards = dsl.Collected(packed.outputs["shards"])
        else:
            shards = pack(part="0").outputs["shards"]
        with dsl.If(wanted == True) if inside else contextlib.nullcontext():  # noqa: E712
            (export if collected else export_one)(shards=shards)

    compiler.Compiler().compile(train, "train.yaml")
    return "compiles"


seen = {}
for collected in (True, False):
    for inside in (False, True):
        try:
            seen[collected, inside] = compiled(collected=collected, inside=inside)
        except TypeError as error:
            seen[collected, inside] = f"TypeError: {error}"
print("kfp 2.17.0")
for (collected, inside), result in seen.items():
    print(f"  {'collected' if collected else 'single'} artifacts, {'inside' if inside else 'outside'} dsl.If: {result}")
refused = "TypeError: 'NoneType' object cannot be interpreted as an integer"
expected = {
    (True, False): "compiles",
    (True, True): refused,
    (False, False): "compiles",
    (False, True): "compiles",
}
sys.exit(0 if seen == expected else 1)
PYTHON
"$folder/venv/bin/python" pipeline.py

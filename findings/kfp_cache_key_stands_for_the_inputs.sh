#!/usr/bin/env bash
# A task with a custom cache key returns the results of other inputs from KFP's cache.
#
# Expected: a cache key adds to what identifies a result, so that the task runs again for other inputs, and a key such
# as a version of the data runs it again for the same inputs.
# Observed (kfp 2.17.0, kfp.local with caching): the key replaces the inputs, the image and the command. A task whose
# parameter has changed is `cached` and gives the result of the first parameter, and the run succeeds. A server built
# from KFP's sources of August 2026 does the same; that of 2.17, by its sources, ignores the key.
# Why it matters: a tile size, a band list or a seed that was changed trains on the former tiles without a word.
# Source: docstring of PipelineTask.set_caching_options, kubeflow/pipelines #13762.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check kfp==2.17.0 || exit 2
cat >pipeline.py <<'PYTHON' || exit 2
import sys

from kfp import dsl, local


@dsl.component(install_kfp_package=False)
def count_pixels(tile_size: int) -> int:
    return tile_size * tile_size


@dsl.pipeline
def pixels(tile_size: int) -> int:
    task = count_pixels(tile_size=tile_size)
    task.set_caching_options(True, **({"cache_key": sys.argv[2]} if sys.argv[2] else {}))
    return task.output


local.init(runner=local.SubprocessRunner(use_venv=False), enable_caching=True)
print(pixels(tile_size=int(sys.argv[1])).output)
PYTHON
pixels() { "$folder/venv/bin/python" -W ignore pipeline.py "$1" "$2" 2>error.txt | tail -n 1; }
plain="$(pixels 64 "") $(pixels 32 "")"
keyed="$(pixels 64 data-1) $(pixels 32 data-1)"
renewed=$(pixels 32 data-2)
echo "kfp 2.17.0: pixels of a tile of 64 and then of 32"
echo "without a cache key: $plain"
echo "cache key data-1:    $keyed"
echo "cache key data-2, 32: $renewed"
[[ $plain == "4096 1024" && $renewed == 1024 ]] || { cat error.txt; exit 2; }
[[ $keyed == "4096 4096" ]]

#!/usr/bin/env bash
# pycurl cannot be imported after TensorFlow; the other way round both work.
#
# Expected: both wheels bring a libcurl of their own, so that the order of two imports does not matter.
# Observed: TensorFlow 2.21 exports the symbols of its libcurl 8.11 to every library that is loaded later. pycurl's
# extension then finds those instead of its own 8.23 and raises an ImportError about a link-time version.
# Why it matters: a data loader that fetches tiles with libcurl works in its own process and in tests of its own, and
# fails in the training process, or in a notebook, depending on which import comes first.
# Source: the wheels of tensorflow-cpu and pycurl on PyPI.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tensorflow-cpu==2.21.0 pycurl==7.49.0 || exit 2
export TF_CPP_MIN_LOG_LEVEL=3 PYTHONWARNINGS=ignore
first=$("$folder/venv/bin/python" -c 'import pycurl, tensorflow; print("libcurl", pycurl.version_info()[1])' 2>/dev/null)
second=$("$folder/venv/bin/python" -c '
import tensorflow
try:
    import pycurl
    print("libcurl", pycurl.version_info()[1])
except ImportError as error:
    print("ImportError:", error)' 2>/dev/null)
echo "tensorflow-cpu 2.21.0, pycurl 7.49.0"
echo "  pycurl first:     $first"
echo "  TensorFlow first: $second"
[ "$first" = "libcurl 8.23.0" ] || exit 1
[ "$second" = "ImportError: pycurl: libcurl link-time version (8.11.0) is older than compile-time version (8.23.0)" ] || exit 1

#!/usr/bin/env bash
# A model converted to half precision divides by 10,000 where it divided by 50,000.
#
# Expected: float16 holds numbers up to 65,504, so a constant of 50,000 stays.
# Observed (onnxconverter-common 1.16.0, onnxruntime 1.32.0): `convert_float_to_float16` of onnxconverter-common cuts all
# constants and weights to 10,000 by default (`max_finite_val`) and warns; that of onnxruntime.transformers, of the same
# name, keeps them. A pixel of 30,000 is 0.6 before and 3.0 after.
# Why it matters: models of raw satellite numbers hold such constants: the divisor of uint16 pixels, means and variances of
# bands. The scores of the small model are wrong, not rounded.
# Source: ONNX Runtime's documentation of float16 models, which shows the call without arguments.
#
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check onnx==1.23.2 onnxconverter-common==1.16.0 onnxruntime==1.32.0 numpy==2.3.5 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxconverter_common.float16 import convert_float_to_float16 as by_converter_common
from onnxruntime.transformers.float16 import convert_float_to_float16 as by_onnxruntime

onnxruntime.set_default_logger_severity(3)


def model():
    divisor = numpy_helper.from_array(np.array([50_000], "float32"), "divisor")
    pixels, scaled = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in ("pixels", "scaled"))
    graph = helper.make_graph([helper.make_node("Div", ["pixels", "divisor"], ["scaled"])], "scale", [pixels], [scaled],
                              [divisor])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def scaled(converted):
    session = onnxruntime.InferenceSession(converted.SerializeToString(), providers=["CPUExecutionProvider"])
    return round(float(session.run(None, {"pixels": np.array([30_000], "float32")})[0][0]), 2)


with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    seen = {"float32": scaled(model()), "onnxruntime.transformers": scaled(by_onnxruntime(model(), keep_io_types=True)),
            "onnxconverter-common": scaled(by_converter_common(model(), keep_io_types=True))}
print("onnx", onnx.__version__, "onnxruntime", onnxruntime.__version__)
for name, value in seen.items():
    print(f"  30,000 / 50,000 by {name}: {value}")
print("  warnings:", *(str(each.message) for each in said))
sys.exit(0 if seen == {"float32": 0.6, "onnxruntime.transformers": 0.6, "onnxconverter-common": 3.0} else 1)
PYTHON

#!/usr/bin/env bash
# Text parameters such as "08" or "1e3" are numbers in a pipeline that was uploaded, and text in one that is run directly.
#
# Expected: a default or constant of type str arrives as it was written, whether a compiled pipeline is uploaded or run.
# Observed (kfp 2.17.0, PyYAML 6.0.3, gopkg.in/yaml.v3 3.0.1): the compiler writes YAML 1.1, in which 08, 09, 1e3 and 0o17
# are text and need no quotes, while 01 to 07 are octal and get some. The API server reads an uploaded file with yaml.v3,
# where the former are 8, 9, 1000 and 15, and turns a number for a text parameter into the text "8". Inside lists and
# dictionaries it stays a number. `create_run_from_pipeline_package` reads the same file with PyYAML and sends JSON: there
# "08" stays "08". Of 7-digit Git revisions, one in a hundred changes, such as 1234e56 or 0189234.
# Why it matters: the months 08 and 09 of twelve, a class or UTM zone "08", an id or revision that is passed to a
# step are right when the pipeline is tried from Python, and wrong in the uploaded version that schedules use. A prefix of
# a bucket then matches other tiles, or none. Upload files that another writer has quoted, or JSON, which is YAML as well.
# Source: kubeflow/pipelines, backend/src/apiserver/template/v2_template.go (yaml.v3) and
# backend/src/v2/driver/resolver/parameters.go (text of numbers); YAML 1.1's int and float, YAML 1.2's core schema.
#
# Needs Go. The server is represented by the two calls with which it reads the file.
# Exit status: 0 as recorded, 1 changed, 2 the set-up failed.
set -u
folder=$(mktemp -d) || exit 2
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
cd "$folder" || exit 2
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check kfp==2.17.0 pyyaml==6.0.3 || exit 2
cat >main.go <<'GO'
package main

import (
	"encoding/json"
	"os"

	"gopkg.in/yaml.v3"
)

func main() {
	var value map[string]interface{}
	if err := yaml.NewDecoder(os.Stdin).Decode(&value); err != nil {
		panic(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(value); err != nil {
		panic(err)
	}
}
GO
{ go mod init reader && go get gopkg.in/yaml.v3@v3.0.1 && go build -o reader .; } 2>/dev/null || exit 2
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import importlib.metadata
import json
import random
import subprocess
import sys

import yaml
from kfp import compiler, dsl


@dsl.container_component
def ingest(month: str, grid: str, classes: list):
    return dsl.ContainerSpec(image="python:3.12", command=["echo", month, grid, classes])


@dsl.pipeline
def monthly(month: str = "08", revision: str = "1234e56"):
    ingest(month="09", grid="1e3", classes=["07", "08", "0o17"])
    ingest(month=month, grid=revision, classes=[])


def by_server(text):
    done = subprocess.run(["./reader"], input=text, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def values(document):
    defaults = [one["defaultValue"] for one in document["root"]["inputDefinitions"]["parameters"].values()]
    inputs = document["root"]["dag"]["tasks"]["ingest"]["inputs"]["parameters"]
    constants = {name: one["runtimeValue"]["constant"] for name, one in inputs.items()}
    return [*defaults, constants["month"], constants["grid"], *constants["classes"]]


compiler.Compiler().compile(monthly, "monthly.yaml")
text = open("monthly.yaml").read()
sent, uploaded = values(yaml.safe_load(text)), values(by_server(text))
months = {"months": [f"{month:02}" for month in range(1, 13)]}
changed = [then for then, now in zip(months["months"], by_server(yaml.dump(months))["months"]) if then != now]
digits = random.Random(0)
revisions = {"revisions": [f"{digits.getrandbits(28):07x}" for _ in range(20_000)]}
pairs = zip(revisions["revisions"], by_server(yaml.dump(revisions))["revisions"])
share = sum(then != now for then, now in pairs) / 20_000
print("kfp", importlib.metadata.version("kfp"), "PyYAML", yaml.__version__)
print("  read with PyYAML, sent as JSON:", sent)
print("  uploaded, read with yaml.v3:   ", uploaded)
print("  months that change:", changed, f"  Git revisions that change: {share:.2%}")
as_recorded = (
    sent == ["08", "1234e56", "09", "1e3", "07", "08", "0o17"]
    and uploaded == [8, 1234e56, 9, 1000, "07", 8, 15]
    and changed == ["08", "09"]
    and 0.005 < share < 0.02
)
sys.exit(0 if as_recorded else 1)
PYTHON

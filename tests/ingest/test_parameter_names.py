import json
import re
import shlex
from pathlib import Path

import pytest

from tilepipe.components.ingest.config import IngestConfig
from tilepipe.components.ingest.parameter_names import PIPELINE_NAMES, argument
from tilepipe.pipelines.cli.compilation.compiled_pipeline import load

INGEST = Path(__file__).parents[2] / "components" / "ingest"
PIPELINE = load("train_classifier")


def test_names_are_those_of_the_pipeline():
    (task,) = (task for task in PIPELINE.tasks if task.step == "ingest")
    wired = {key: name for key, name in task.from_parameters.items() if key in IngestConfig.model_fields}
    assert {key: name for key, name in wired.items() if name == f"data_{key}"} == PIPELINE_NAMES


def test_messages_name_parameters_that_exist():
    written = {name for path in INGEST.rglob("*.py") for name in re.findall(r"\bdata_[a-z_]+", path.read_text())}
    assert written - {"data_"} <= set(PIPELINE.parameters)


@pytest.mark.parametrize("value", [{"kind": "folder", "it's": 'a "b"'}, ["Forest", "Größe"], 3])
def test_a_shell_and_json_give_the_value_back(value):
    (word,) = shlex.split(argument("options", value))
    name, _, text = word.partition("=")
    assert (name, json.loads(text)) == ("data_options", value)


def test_texts_and_other_names_stay():
    assert argument("where", "label <> 'a'") == "data_where='label <> '\"'\"'a'\"'\"''"
    assert argument("split_by", "class") == "split_by=class"

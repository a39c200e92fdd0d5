"""The commands of README.md, as they stand there, on data with the names that they use.

Pipelines that train run up to the network that is trained (`prepare`, or the candidates of a sweep): their YAML without
the later tasks. `make run`, of CI, trains. What needs a cluster or the web is checked as far as it can be without.
"""

import os
import re
import shlex
import subprocess
import warnings
from pathlib import Path

import pytest
import typer.main
import yaml

from tests.conftest import ROOT
from tests.support.documented_commands import README, lines, register_models, write_data, write_weights
from tilepipe.components.promote.config import PromoteConfig
from tilepipe.components.shared.tracking import tracking
from tilepipe.pipelines.cli import arguments
from tilepipe.pipelines.cli.app import app
from tilepipe.pipelines.cli.compilation import compiled_pipeline
from tilepipe.pipelines.cli.local.warm_steps import PRELOADED, WarmSteps
from tilepipe.pipelines.cli.local.worker import without_retries

UNTIL_TRAINING = {
    "snapshot-source",
    "ingest-tiles",
    "for-loop-2",
    "merge-packed",
    "prepare-model",
    "propose-candidates",
}
NEEDS_A_CLUSTER_OR_THE_WEB = {"doctor", "upload", "submit", "schedule", "push", "compile", "weights"}
MEMBERS = {"export", "source"}


def without_training(text: str) -> str:
    """Return the YAML of a pipeline without the tasks that train, and all after them."""
    documents = [without_retries(document) for document in yaml.safe_load_all(text)]
    pipeline = documents[0]
    steps = pipeline["components"]["comp-exit-handler-1"]["dag"]
    steps["tasks"] = {name: task for name, task in steps["tasks"].items() if name in UNTIL_TRAINING}
    del pipeline["root"]["dag"]["tasks"]["finish-run"]
    used = {task["componentRef"]["name"] for task in steps["tasks"].values()} | {
        "comp-exit-handler-1",
        "comp-pack-tiles",
    }
    pipeline["components"] = {name: part for name, part in pipeline["components"].items() if name in used}
    return yaml.safe_dump_all(documents, sort_keys=False)


class Shell:
    """Runs the lines of README.md in a folder."""

    def __init__(self, home: Path, steps: WarmSteps) -> None:
        self.home, self.steps = home, steps
        self.ran: list[str] = []
        self.checked: list[str] = []

    def error_of(self, line: str) -> str:
        """Run a line and return its error, to report those of all lines."""
        try:
            self.run(line)
        except Exception as error:
            note = self.home / "termination-log"
            return f"{type(error).__name__}: {error} {note.read_text() if note.exists() else ''}"
        return ""

    def run(self, line: str) -> None:
        words = shlex.split(line, comments=True)
        match words:
            case ["tilepipe", "run", *_, "--help"]:
                typer.main.get_command(app).main(words[1:], standalone_mode=False)
                self.ran.append(line)
            case ["tilepipe", "run", *_]:
                self.pipeline(line, words[2:])
            case ["tilepipe", command, *rest] if command in NEEDS_A_CLUSTER_OR_THE_WEB:
                with typer.main.get_command(app).commands[command].make_context(command, rest):
                    self.checked.append(line)
            case ["tilepipe", *rest]:
                assert not typer.main.get_command(app).main(rest, standalone_mode=False)
                self.ran.append(line)
            case ["make", target]:
                assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
                self.checked.append(line)
            case ["kubectl", "apply", *_, "-k", folder]:
                assert (ROOT / folder / "kustomization.yaml").is_file()
                self.checked.append(line)
            case ["kfp", *rest]:
                self.kfp(rest)
                self.checked.append(line)
            case [word, *_] if word in MEMBERS:
                self.checked.append(line)
            case _:
                pytest.fail(f"no way to run or check this line of README.md: {line}")

    def pipeline(self, line: str, words: list[str]) -> None:
        from kfp import components, local
        from kfp.local import subprocess_task_handler

        name, *given = words
        pipeline = compiled_pipeline.load(name)
        values = arguments.collect(pipeline, None, given)
        source = str(values.get("data_source", ""))
        if "example.org" in source or (source == "droughtwatch/" and not Path(source).exists()):
            self.checked.append(line)
            return
        text = Path(pipeline.path).read_text(encoding="utf-8")
        trains = name.startswith(("train_", "tune_"))
        text = without_training(text) if trains else yaml.safe_dump_all(map(without_retries, yaml.safe_load_all(text)))
        root = self.home / "runs" / str(len(self.ran))
        subprocess_task_handler.run_local_subprocess = self.steps.run
        local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(root), raise_on_error=True)
        with warnings.catch_warnings(action="ignore"):  # kfp's, about limits that count on a cluster only
            components.load_component_from_text(text)(**values)
        if trains:
            last = "base_model*" if name.startswith("train_") else "executor_output.json"
            assert list(root.glob(f"*/{'prepare-model' if name.startswith('train_') else 'propose-candidates'}/{last}"))
        self.ran.append(line)

    def kfp(self, words: list[str]) -> None:
        from kfp.cli.cli import cli

        group, command, *rest = (str(ROOT / word) if word.endswith(".yaml") else word for word in words)
        assert cli.commands[group].commands[command].make_context(command, rest).params
        files = [word for word in words if word.endswith(".yaml")]
        assert files
        assert all((ROOT / file).is_file() for file in files)
        values = [word for word in words if "=" in word]
        assert not values or arguments.collect(compiled_pipeline.load(Path(files[0]).parent.name), None, values)


@pytest.fixture
def shell(tmp_path, mlflow_store, monkeypatch):
    from tilepipe.components.promote.promote import promote

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    monkeypatch.setenv("TILEPIPE_TERMINATION_LOG", str(tmp_path / "termination-log"))
    write_data(tmp_path)
    write_weights(tmp_path / "weights" / "efficientnet_lite0.npz")
    register_models(tmp_path, tracking.client())
    promote(PromoteConfig.parse(name="forests", version="1", override=True, reason="the first"))
    with WarmSteps(PRELOADED) as steps:
        yield Shell(tmp_path, steps)


@pytest.mark.timeout(2400)  # a minute of CPU
def test_the_commands_of_the_readme_run(shell):
    failed = {line: error for line in lines(README) if (error := shell.error_of(line))}
    assert failed == {}
    assert len(shell.ran) >= 12
    assert any(shell.home.glob("predictions/*.parquet"))
    assert any(shell.home.glob("maps/*/classes.tif"))
    client = tracking.client()
    assert int(client.get_model_version_by_alias("forests", "champion").version) == 1, "promoted, and rolled back"


def test_a_wrong_line_would_be_noticed(tmp_path):
    shell = Shell(tmp_path, None)
    with pytest.raises(arguments.ParameterError, match="Did you mean train_epochs"):
        shell.run("tilepipe run train_classifier data_source=https://stac.example.org/ train_epoch=3")
    with pytest.raises(pytest.fail.Exception, match="no way to run or check"):
        shell.run("curl https://example.org")


def test_the_measurements_name_commands_that_exist():
    found = re.findall(r"`make (bench|accuracy) (PARTS|RECIPE)=(\w+)`", (ROOT / "README.md").read_text())
    assert len(found) >= 7
    code = {target: (ROOT / "tests" / target / "__main__.py").read_text() for target in ("bench", "accuracy")}
    assert [value for target, _, value in found if not re.search(rf"\b{value}\b", code[target])] == []


def test_make_setup_and_make_run_are_what_ci_runs():
    workflow = (ROOT / ".github" / "workflows" / "test.yml").read_text()
    assert "run: make run" in workflow
    printed = subprocess.run(
        ["make", "-n", "run"], cwd=ROOT, capture_output=True, text=True, check=True, env=os.environ
    ).stdout
    assert "tilepipe run train_classifier" in printed

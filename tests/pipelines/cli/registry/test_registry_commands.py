"""The commands of the model registry, against a real MLflow store."""

import json
import os
import shutil
import sys

import pytest
import yaml
from typer.testing import CliRunner

from tests.support.registry import NAME, register_version
from tilepipe.components.shared.errors import ParameterError, PromotionError, SourceError
from tilepipe.components.shared.registry.version_tags import GATE, GATE_CHAMPION, GATE_REASON
from tilepipe.components.shared.tracking import tracking
from tilepipe.pipelines.cli import app as command_line
from tilepipe.pipelines.cli.registry.local_registry import require

ACCEPTED = {GATE: "accepted", GATE_REASON: "All is well.", GATE_CHAMPION: "none"}


@pytest.fixture
def client(mlflow_store):
    return tracking.client()


def run(*words):
    """Run a command; returns its output, or raises its error."""
    result = CliRunner(env={"COLUMNS": "200"}).invoke(command_line.app, list(words))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_versions_are_listed_with_aliases_verdicts_and_figures(client, tmp_path):
    register_version(client, tmp_path, tags=ACCEPTED, figures={"val_accuracy": 0.7})
    run("promote", NAME)
    register_version(client, tmp_path, tags={GATE: "refused"})
    client.create_model_version(NAME, "somewhere", tags={"owner": "[red]others"})
    lines = run("models", NAME).splitlines()
    assert lines[0].split() == ["version", "aliases", "verdict", "against", "accuracy", "macro", "f1", "created"]
    assert "not of tilepipe" in lines[1]
    assert lines[2].split()[:5] == ["2", "challenger", "refused", "0.9000", "0.8000"]
    assert lines[3].split()[:6] == ["1", "champion", "accepted", "none", "0.7000", "(val)"]
    assert "promote: version 1 after none, by " in lines[4]
    assert "warning" not in lines[-1]
    document = json.loads(run("models", NAME, "--output", "json", "--limit", "2"))
    assert (document["champion"], document["remark"]) == (1, "")
    assert [(row["version"], row["aliases"], row["verdict"]) for row in document["versions"]] == [
        (3, [], ""),
        (2, ["challenger"], "refused"),
    ]
    assert document["versions"][1]["figures"] == {"test_accuracy": 0.9, "test_macro_f1": 0.8}
    assert [entry["to_version"] for entry in document["promotions"]] == [1]


def test_models_are_listed_without_those_of_others(client, tmp_path):
    assert "no models" in run("models")
    register_version(client, tmp_path, tags=ACCEPTED)
    register_version(client, tmp_path, name="it's a lake")
    client.create_registered_model("of others")
    run("promote", NAME)
    client.delete_model_version(NAME, "1")
    output = run("models")
    assert [line.split()[0] for line in output.splitlines()[:2]] == ["model", "it's"]
    register_version(client, tmp_path)
    output = run("models", "--output", "table")
    assert "warning: forests has no champion, but its history says version 1" in output
    listed = json.loads(run("models", "--output", "json"))
    assert [(row["name"], row["champion"], row["challenger"], row["versions"]) for row in listed] == [
        ("forests", None, 2, 1),
        ("it's a lake", None, 1, 1),
    ]


def test_a_version_is_promoted_and_rolled_back(client, tmp_path):
    register_version(client, tmp_path, tags=ACCEPTED)
    assert "promote: version 1 after none, by " in run("promote", NAME)
    assert run("promote", NAME) == "forests@challenger is already the champion\n"
    register_version(client, tmp_path)
    with pytest.raises(PromotionError, match="version 2, which it has not judged"):
        run("promote", NAME, "--version", "2")
    with pytest.raises(ParameterError, match="--yes needs a reason"):
        run("promote", NAME, "--version", "2", "--yes")
    assert "version 2 after version 1, by " in run("promote", NAME, "--yes", "--reason", "it is [bold]late")
    assert "it is [bold]late" in run("models", NAME)
    assert "rollback: version 1 after version 2" in run("rollback", NAME, "--reason", "it was too early")


def test_errors_end_with_exit_code_2(client, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["tilepipe", "rollback", "lakes"])
    with pytest.raises(SystemExit) as stopped:
        command_line.main()
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("error: A model must be in the registry to be used. Received: lakes")


@pytest.mark.parametrize("name", ["forests/1", "forests@champion", "models:/forests/1"])
@pytest.mark.parametrize("command", ["models", "rollback"])
def test_a_version_in_place_of_a_model_is_named(client, tmp_path, command, name):
    register_version(client, tmp_path)
    with pytest.raises(ParameterError, match=f"by its name alone. Received: {name}. Give: forests."):
        run(command, name)


def test_the_store_of_local_runs_is_used_without_an_address(client, tmp_path, monkeypatch):
    register_version(client, tmp_path)
    (tmp_path / "runs").mkdir()
    shutil.copy(tmp_path / "mlflow.db", tmp_path / "runs")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with pytest.raises(ParameterError, match=r"no MLFLOW_TRACKING_URI and no .*/nowhere/mlflow.db"):
        run("models", "--folder", str(tmp_path / "nowhere"))
    assert json.loads(run("models", "--folder", str(tmp_path / "runs"), "--output", "json"))[0]["name"] == NAME
    assert os.environ["MLFLOW_TRACKING_URI"].endswith("runs/mlflow.db")


@pytest.mark.parametrize(
    ("command", "advice"),
    [
        (("models", "lakes"), "`tilepipe models --folder {}` lists the models."),
        (("promote", NAME), "`tilepipe promote forests --version 1 --yes --reason ... --folder {}`"),
        (("rollback", NAME), "`tilepipe promote forests --version N --folder {}`"),
        (("models", "serve-manifest", NAME), "`tilepipe models --folder {}` lists the models."),
    ],
)
def test_commands_in_errors_use_the_same_folder(client, tmp_path, monkeypatch, command, advice):
    register_version(client, tmp_path, tags={**ACCEPTED, GATE: "refused"})
    folder = tmp_path / "runs of May"
    folder.mkdir()
    shutil.copy(tmp_path / "mlflow.db", folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with pytest.raises((PromotionError, SourceError)) as refused:
        run(*command, "--folder", str(folder))
    assert advice.format(f"'{folder}'") in str(refused.value)


def test_missing_packages_are_named():
    require("json")
    with pytest.raises(ParameterError, match=r"needs json and no_such_package. Received: .* without no_such_package"):
        require("json", "no_such_package")


def test_a_manifest_is_rendered(client, tmp_path):
    register_version(client, tmp_path, tags=ACCEPTED)
    with pytest.raises(SourceError, match="forests@champion"):
        run("models", "serve-manifest", NAME)
    with pytest.raises(ParameterError, match=r"KServe reads models from s3://.* Received: models:/forests/1 at"):
        run("models", "serve-manifest", "forests/1")
    manifest = yaml.safe_load(
        run(
            "models",
            "serve-manifest",
            "forests@challenger",
            "--storage-uri",
            "s3://models/forests",
            "--namespace",
            "eo",
        )
    )
    assert manifest["metadata"]["name"] == "forests"
    assert manifest["metadata"]["namespace"] == "eo"
    assert manifest["spec"]["predictor"]["model"]["storageUri"] == "s3://models/forests"


@pytest.mark.parametrize("text", ["08", "1e3", "0o17", "y", "N", "1_0e2"])
def test_text_of_a_manifest_that_kubernetes_reads_as_another_type_is_quoted(client, tmp_path, text):
    register_version(client, tmp_path, name=text)
    printed = run("models", "serve-manifest", f"{text}/1", "--storage-uri", "s3://models/forests", "--namespace", text)
    assert {f"namespace: '{text}'", f"tilepipe/model: '{text}'"} <= {line.strip() for line in printed.splitlines()}
    assert yaml.safe_load(printed)["metadata"]["namespace"] == text

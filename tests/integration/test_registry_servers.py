"""The way of a model through a registry as on Kubernetes: MLflow with PostgreSQL, and artifacts in a bucket.

The same server is then started with workspaces, as an administrator would switch them on for one that is in use.
"""

import json

import mlflow
import numpy as np
import pytest
from typer.testing import CliRunner

from tests.support.bundles import brightness_model, write_model_bundle
from tests.support.judged import biased, write_test_tiles
from tests.support.mlflow_server import running_mlflow
from tilepipe.components.gate.config import GateConfig
from tilepipe.components.gate.gate import Outputs, gate
from tilepipe.components.promote.config import PromoteConfig
from tilepipe.components.promote.promote import promote
from tilepipe.components.register.config import RegisterConfig
from tilepipe.components.register.register import Lineage, register
from tilepipe.components.shared.contracts.manifest import read_manifest
from tilepipe.components.shared.errors import PromotionError, SourceError, TrackingError
from tilepipe.components.shared.inference.bundle_model import open_model
from tilepipe.components.shared.registry.registered_version import find_version
from tilepipe.components.shared.tracking import tracking
from tilepipe.pipelines.cli import app as command_line

NAME = "forests"
GOOD, WORSE = 0.0, 40.0  # shifts of the bias of a class


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """Folder of a packed data set with test tiles."""
    return write_test_tiles(tmp_path_factory.mktemp("packed") / "data")


@pytest.fixture
def train(packed, tmp_path, monkeypatch):
    """Function that registers a model as a run of `train_classifier` does; returns name and version."""

    def train(run: str, wrong: float) -> str:
        monkeypatch.setenv("KFP_RUN_ID", run)
        run_id = tracking.open_run("trainings", run, {})
        tracking.close_run(run_id, "FINISHED")
        tracking.adopt_run(tracking.UNTRACKED)
        manifest = read_manifest(packed / "manifest.json")
        bundle = tmp_path / f"{run}.tar.gz"
        content = {
            "manifest_json": manifest.model_dump_json().encode(),
            "model_onnx": biased(brightness_model(manifest), wrong),
        }
        digest = write_model_bundle(bundle, manifest, **content)
        config = RegisterConfig(mlflow_run_id=run_id, name=NAME)
        lineage = Lineage(test_shards=(str(packed / "test"),))
        registered = [register(config, bundle, digest, lineage) for _ in range(2)]  # the second as a retry
        assert len(set(registered)) == 1
        return registered[0]

    return train


@pytest.fixture
def judge(tmp_path):
    """Function that runs the gate on the challenger; returns its outcome."""

    def judge() -> str:
        outputs = Outputs(tmp_path / "verdict.json", tmp_path / "verdict.html")
        return gate(GateConfig(name=NAME, floors={"accuracy": 0.5}, options={"resamples": 100}), outputs).outcome

    return judge


def run(*words):
    """Run a command; returns its output."""
    result = CliRunner(env={"COLUMNS": "200"}).invoke(command_line.app, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def listed():
    """List the versions of the model: number, aliases and verdict."""
    document = json.loads(run("models", NAME, "--output", "json"))
    return [(row["version"], row["aliases"], row["verdict"]) for row in document["versions"]]


def check_the_whole_way(train, judge):
    """Register, judge, promote, refuse, override, roll back, list and load."""
    assert train("first", WORSE) == f"{NAME}/1"
    assert judge() == "accepted"
    assert promote(PromoteConfig(name=NAME)).to_version == 1
    assert train("second", GOOD) == f"{NAME}/2"
    assert judge() == "accepted"
    assert "promote: version 2 after version 1, by " in run("promote", NAME)
    assert train("third", WORSE + 1) == f"{NAME}/3"
    assert judge() == "refused"
    with pytest.raises(PromotionError, match="Received: version 3, refused: The challenger is worse"):
        promote(PromoteConfig(name=NAME))
    assert "version 3 after version 2" in run("promote", NAME, "--yes", "--reason", "for a demonstration")
    assert "rollback: version 2 after version 3" in run("rollback", NAME)
    assert listed() == [
        (3, ["challenger"], "refused"),
        (2, ["champion"], "accepted"),
        (1, [], "accepted"),
    ]
    assert "for a demonstration" in run("models", NAME)
    assert [row["champion"] for row in json.loads(run("models", "--output", "json"))] == [2]
    # What others load is what was registered: through tilepipe and through MLflow alone.
    tiles = np.random.default_rng(0).integers(0, 200, (4, 8, 8, 2)).astype(np.uint16)
    expected = open_model(f"models:/{NAME}@champion").predict(tiles)
    served = mlflow.pyfunc.load_model(f"models:/{NAME}@champion").predict(tiles)["probabilities"]
    np.testing.assert_array_equal(served, expected)


def check_a_promotion_and_a_rollback(train, judge):
    """Register two versions, promote both and return to the first."""
    assert train("first", GOOD) == f"{NAME}/1"
    assert judge() == "accepted"
    assert "promote: version 1 after none, by " in run("promote", NAME)
    assert train("second", WORSE) == f"{NAME}/2"
    run("promote", NAME, "--yes", "--reason", "for a demonstration")
    assert "rollback: version 1 after version 2" in run("rollback", NAME)
    assert listed() == [(2, ["challenger"], ""), (1, ["champion"], "accepted")]
    assert open_model(f"models:/{NAME}@champion").version == "1"


def keys_of(s3, bucket):
    """List the keys of a bucket."""
    import boto3

    credentials = {"aws_access_key_id": s3.access_key, "aws_secret_access_key": s3.secret_key}
    client = boto3.client("s3", endpoint_url=s3.endpoint, region_name="us-east-1", **credentials)
    return [entry["Key"] for entry in client.list_objects_v2(Bucket=bucket)["Contents"]]


@pytest.mark.xdist_group("launcher")
def test_models_on_postgres_without_and_with_workspaces(
    postgres_server,
    minio_server,
    tmp_path,
    train,
    judge,
    monkeypatch,
):
    database = postgres_server.create("mlflow")
    with running_mlflow(tmp_path, database, minio_server) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
        check_the_whole_way(train, judge)
        kept = [key.rsplit("/", 1)[-1] for key in keys_of(minio_server, server.bucket)]
        assert [kept.count(name) for name in ("model.tar.gz.bin", "model.onnx", "verdict.html")] == [3, 3, 3]

    with running_mlflow(tmp_path, database, minio_server, "--enable-workspaces", bucket=server.bucket) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
        before = listed()
        assert before[1] == (2, ["champion"], "accepted")  # in the workspace `default`
        client = tracking.client()
        for workspace in ("team-a", "team-b"):
            client.create_workspace(workspace)
        monkeypatch.setenv("MLFLOW_WORKSPACE", "team-a")
        assert client.search_experiments() == []  # not even the default experiment
        assert "no models" in run("models")
        check_a_promotion_and_a_rollback(train, judge)
        assert any(key.startswith("workspaces/team-a/") for key in keys_of(minio_server, server.bucket))
        address = f"{NAME}@champion"
        run_in_a = find_version(client, address).run_id

        monkeypatch.setenv("MLFLOW_WORKSPACE", "team-b")
        with pytest.raises(SourceError, match=r"'forests' does not exist .* in MLflow at http.*, workspace 'team-b'"):
            find_version(client, address)
        bundle = tmp_path / "first.tar.gz"
        config = RegisterConfig(mlflow_run_id=run_in_a, name=NAME)
        with pytest.raises(SourceError, match=r"must exist in MLflow at http.*, workspace 'team-b'"):
            register(config, bundle, "", Lineage())
        monkeypatch.setenv("MLFLOW_WORKSPACE", "nowhere")
        with pytest.raises(TrackingError, match="Workspace 'nowhere' not found"):
            tracking.open_run("trainings", "a run", {})
        with pytest.raises(SourceError, match=r"in MLflow at http.*, workspace 'nowhere'"):
            find_version(client, address)
        monkeypatch.delenv("MLFLOW_WORKSPACE")
        assert listed() == before

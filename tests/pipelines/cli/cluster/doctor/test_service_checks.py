"""The probe of object stores and MLflow, with real servers and with the HTTP answers that MLflow may give."""

import json
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

import tilepipe.components.shared.storage as storage_package
from tests.pipelines.cli.cluster.test_endpoint import serving
from tests.support.s3_stores import minio_server, s3_server, s3_servers
from tilepipe.components.shared.storage import s3_session
from tilepipe.pipelines.cli.cluster.doctor import services_probe
from tilepipe.pipelines.cli.cluster.doctor.service_checks import artifact_store, resolves, tile_store

__all__ = ["minio_server", "s3_server", "s3_servers"]

MLFLOW = {
    "/health": (200, "OK"),
    "/version": (200, "3.17.2"),
    "/api/2.0/mlflow/experiments/search?max_results=1": (200, {"experiments": []}),
}


@pytest.fixture
def bucket(s3_server, monkeypatch):
    s3_server.use(monkeypatch)
    return s3_server.make_bucket(f"doctor-{uuid.uuid4().hex[:8]}")


def test_a_bucket_that_works(bucket):
    found = services_probe.probe_bucket(bucket.name)
    assert found == {"level": "ok", "subject": f"bucket {bucket.name}", "detail": "readable and writable", "advice": ""}
    assert list(bucket.objects.all()) == []


def test_buckets_that_do_not(bucket, monkeypatch):
    missing = services_probe.probe_bucket("not-there-at-all")
    assert missing["level"] == "problem"
    assert "does not exist" in missing["detail"]
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    refused = services_probe.probe_bucket(bucket.name)
    assert refused["level"] == "problem"
    assert "may not be listed" in refused["detail"]
    assert "wrong" not in json.dumps(refused)
    assert "AWS_SECRET_ACCESS_KEY" in refused["advice"]


def test_a_store_that_is_away(monkeypatch):
    for name, value in (("ENDPOINT_URL", "http://127.0.0.1:9"), ("ACCESS_KEY_ID", "a"), ("SECRET_ACCESS_KEY", "b")):
        monkeypatch.setenv(f"AWS_{name}", value)
    found = services_probe.probe_bucket("any")
    assert (found["level"], found["subject"]) == ("problem", "bucket any")
    assert "http://127.0.0.1:9 does not answer" in found["detail"]


def test_no_credentials(bucket, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    found = services_probe.probe_bucket(bucket.name)
    assert found["detail"] == "no credentials"


def test_an_endpoint_that_is_none(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "nonsense")
    found = services_probe.probe_bucket("any")
    assert (found["level"], "AWS_ENDPOINT_URL must be" in found["detail"]) == ("problem", True)


def test_a_pod_whose_image_is_older(monkeypatch):
    monkeypatch.setitem(sys.modules, "tilepipe.components.shared.storage.s3_session", None)
    monkeypatch.delattr(storage_package, "s3_session")
    found = services_probe.probe_bucket("any")
    assert (found["level"], "not checked" in found["detail"]) == ("warning", True)


@pytest.mark.parametrize(
    ("done", "level", "detail"),
    [
        ([], "problem", "may not be listed"),
        (["list"], "warning", "readable, not writable"),
        (["list", "write"], "problem", "not readable"),
        (["list", "write", "read"], "ok", "deleting is not allowed"),
    ],
)
def test_a_bucket_with_some_rights(done, level, detail):
    error = ClientError({"Error": {"Code": "AccessDenied"}}, "any")
    found = services_probe._judge(s3_session.diagnose(error), done)
    assert found[0] == level
    assert detail in found[1]


def test_mlflow_that_works():
    with serving(MLFLOW) as (url, _):
        found = services_probe.probe_tracking(f"{url}/")
    assert (found["level"], found["detail"]) == ("ok", f"3.17.2 at {url}/")


@pytest.mark.parametrize(
    ("answers", "advice"),
    [
        ({**MLFLOW, "/api/2.0/mlflow/experiments/search?max_results=1": (401, "")}, "MLFLOW_TRACKING_USERNAME"),
        ({**MLFLOW, "/health": (403, "Invalid Host header")}, "--allowed-hosts"),
        ({}, "another server"),
    ],
)
def test_mlflow_that_does_not(answers, advice):
    with serving(answers) as (url, _):
        found = services_probe.probe_tracking(url)
    assert found["level"] == "problem"
    assert advice in found["advice"]
    away = services_probe.probe_tracking("http://127.0.0.1:9")
    assert "does not answer" in away["detail"]


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"TOKEN": "t"}, "Bearer t"),
        ({"USERNAME": "u", "PASSWORD": "p"}, "Basic dTpw"),
        ({}, None),
    ],
)
def test_who_we_are_to_mlflow(monkeypatch, given, sent):
    for name in ("TOKEN", "USERNAME", "PASSWORD"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    for name, value in given.items():
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", value)
    with serving(MLFLOW) as (url, seen):
        services_probe.probe_tracking(url)
    assert {authorization for _, _, authorization, _ in seen} == {sent}


def test_the_probe_runs_as_text_without_tilepipe(tmp_path):
    """The probe runs as in a pod of any image."""
    text = Path(services_probe.__file__).read_text()
    with serving(MLFLOW) as (url, _):
        done = subprocess.run(
            [sys.executable, "-I", "-c", text],
            env={"MLFLOW_TRACKING_URI": url},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    assert json.loads(done.stdout)["level"] == "ok"


def test_where_tiles_are():
    config = {"AWS_ENDPOINT_URL": "http://minio:9000", "AWS_REGION": "eu-central-1"}
    store = tile_store("mine", config, ["tiles"])
    assert (store.url, store.buckets) == ("http://minio:9000", ["tiles"])
    assert store.environment["AWS_ACCESS_KEY_ID"] == ("mine", "AWS_ACCESS_KEY_ID")
    assert tile_store("mine", config, ["tiles"], "http://127.0.0.1:9000").url == "http://127.0.0.1:9000"
    assert tile_store("mine", {}, []).url == ""  # AWS


def test_where_artifacts_are():
    kfp = artifact_store({}, "team-a")
    assert (kfp.url, kfp.buckets) == ("http://minio-service.team-a:9000", ["mlpipeline"])
    assert kfp.environment["AWS_ACCESS_KEY_ID"] == ("mlpipeline-minio-artifact", "accesskey")
    providers = """
    s3:
      default:
        endpoint: tilepipe-minio:9000
        region: us-east-1
        disableSSL: true
        credentials:
          fromEnv: false
          secretRef: {secretName: tilepipe-s3, accessKeyKey: A, secretKeyKey: B}
    """
    ours = artifact_store({"defaultPipelineRoot": "s3://runs/artifacts", "providers": providers}, "kubeflow")
    assert (ours.url, ours.buckets) == ("http://tilepipe-minio:9000", ["runs"])
    assert ours.environment["AWS_SECRET_ACCESS_KEY"] == ("tilepipe-s3", "B")
    assert artifact_store({"defaultPipelineRoot": "gs://runs"}, "kubeflow") is None
    # Credentials of the pod's own role, which cannot be tested from elsewhere.
    assert artifact_store({"defaultPipelineRoot": "s3://runs"}, "kubeflow") is None


def test_names_of_the_cluster_are_not_known_here():
    assert resolves("")
    assert resolves("http://127.0.0.1:9000")
    assert not resolves("http://tilepipe-minio.kubeflow.invalid:9000")
    assert not resolves("http://")

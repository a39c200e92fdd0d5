"""The job that creates buckets and users, with a real MinIO."""

import importlib.util
import io
import json
from pathlib import Path

import pytest
import urllib3
import yaml

from tests.manifests.kustomize import MANIFESTS
from tests.support.minio_server import minio_server  # noqa: F401 - a fixture

pytest.importorskip("minio")

SETUP = MANIFESTS / "base" / "minio" / "setup"
KEYS = {
    "tilepipe-s3": ("steps-of-the-test", "steps-secret-of-the-test"),
    "tilepipe-mlflow-s3": ("mlflow-of-the-test", "mlflow-secret-of-the-test"),
}


@pytest.fixture(scope="module")
def setup():
    specification = importlib.util.spec_from_file_location("minio_setup", SETUP / "setup.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def credentials(tmp_path):
    for user, keys in KEYS.items():
        write_keys(tmp_path, user, *keys)
    return tmp_path


@pytest.fixture
def client_of(store):
    """Function that returns a client with the keys of a user."""
    from minio import Minio

    with urllib3.PoolManager() as pool:
        yield lambda access_key, secret_key: Minio(
            endpoint=store,
            access_key=access_key,
            secret_key=secret_key,
            region="us-east-1",
            secure=False,
            http_client=pool,
        )


@pytest.fixture
def store(minio_server, monkeypatch):  # noqa: F811
    monkeypatch.setenv("AWS_ENDPOINT_URL", minio_server.endpoint)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("MINIO_ROOT_USER", minio_server.access_key)
    monkeypatch.setenv("MINIO_ROOT_PASSWORD", minio_server.secret_key)
    return minio_server.endpoint.removeprefix("http://")


def write_keys(folder: Path, user: str, access_key: str, secret_key: str) -> None:
    (folder / user).mkdir(exist_ok=True)
    (folder / user / "AWS_ACCESS_KEY_ID").write_text(access_key)
    (folder / user / "AWS_SECRET_ACCESS_KEY").write_text(secret_key)


def put(client, bucket, text=b"text"):
    client.put_object(bucket_name=bucket, object_name="a/b", data=io.BytesIO(text), length=len(text))


def refused(action):
    from minio.error import S3Error

    with pytest.raises(S3Error) as error:
        action()
    return error.value.code in {"AccessDenied", "InvalidAccessKeyId"}


def test_users_reach_their_buckets_and_no_others(setup, credentials, client_of):
    setup.main(SETUP / "storage.yaml", credentials)
    setup.main(SETUP / "storage.yaml", credentials)  # a second time changes nothing
    steps, mlflow = (client_of(*keys) for keys in KEYS.values())
    put(steps, "tilepipe-runs")
    put(steps, "tilepipe-tiles")
    put(mlflow, "tilepipe-mlflow")
    steps.remove_object(bucket_name="tilepipe-runs", object_name="a/b")
    assert [entry.object_name for entry in steps.list_objects(bucket_name="tilepipe-tiles", recursive=True)] == ["a/b"]
    assert refused(lambda: steps.remove_object(bucket_name="tilepipe-tiles", object_name="a/b"))
    assert refused(lambda: put(steps, "tilepipe-mlflow"))
    assert refused(lambda: put(mlflow, "tilepipe-runs"))
    assert refused(lambda: list(mlflow.list_objects(bucket_name="tilepipe-tiles")))
    assert refused(lambda: steps.make_bucket(bucket_name="another"))
    assert refused(lambda: steps.delete_bucket_lifecycle(bucket_name="tilepipe-runs"))


def test_old_versions_are_kept_for_a_time(setup, credentials, client_of, minio_server):  # noqa: F811
    setup.main(SETUP / "storage.yaml", credentials)
    root = client_of(minio_server.access_key, minio_server.secret_key)
    for bucket, settings in yaml.safe_load((SETUP / "storage.yaml").read_text())["buckets"].items():
        assert root.get_bucket_versioning(bucket_name=bucket).status == "Enabled"
        (rule,) = root.get_bucket_lifecycle(bucket_name=bucket).rules
        assert rule.noncurrent_version_expiration.noncurrent_days == settings["old_versions_kept_days"]
    steps = client_of(*KEYS["tilepipe-s3"])
    put(steps, "tilepipe-runs", b"first")
    put(steps, "tilepipe-runs", b"second")
    versions = root.list_objects(bucket_name="tilepipe-runs", prefix="a/b", include_version=True)
    assert len(list(versions)) >= 2


def test_keys_that_were_replaced_open_nothing(setup, credentials, client_of):
    setup.main(SETUP / "storage.yaml", credentials)
    write_keys(credentials, "tilepipe-s3", "newer-steps-of-the-test", "newer-secret-of-the-test")
    setup.main(SETUP / "storage.yaml", credentials)
    put(client_of("newer-steps-of-the-test", "newer-secret-of-the-test"), "tilepipe-runs")
    assert refused(lambda: put(client_of(*KEYS["tilepipe-s3"]), "tilepipe-runs"))
    put(client_of(*KEYS["tilepipe-mlflow-s3"]), "tilepipe-mlflow")


def test_a_server_that_never_answers_is_named(setup):
    with pytest.raises(TimeoutError, match=r"Received: http://127\.0\.0\.1:9, which answers: .*refused"):
        setup.wait_for_server("http://127.0.0.1:9", wait_seconds=0)


def test_a_policy_is_in_the_language_of_s3(setup):
    statement = {"buckets": ["one"], "objects": ["two"], "actions": ["s3:GetObject"]}
    assert json.loads(json.dumps(setup.policy_document([statement])))["Statement"] == [
        {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::one", "arn:aws:s3:::two/*"]}
    ]

"""Tests of finding versions and fetching bundles, in a real MLflow store."""

import hashlib
from pathlib import Path

import pytest

from tilepipe.components.shared.errors import ArtifactError, ParameterError, SourceError, TrackingError
from tilepipe.components.shared.registry.registered_version import fetch_bundle, find_version
from tilepipe.components.shared.registry.version_tags import (
    BUNDLE_FILE,
    BUNDLE_FOLDER,
    BUNDLE_SHA256,
    BUNDLE_URI,
    CHALLENGER,
)
from tilepipe.components.shared.tracking import tracking

CONTENT = b"a bundle"


@pytest.fixture
def client(mlflow_store):
    return tracking.client()


@pytest.fixture
def run_id(client, tmp_path):
    """An MLflow run with a bundle among its artifacts."""
    experiment = client.create_experiment("tests", artifact_location=(tmp_path / "artifacts").as_uri())
    run_id = client.create_run(experiment).info.run_id
    bundle = tmp_path / BUNDLE_FILE
    bundle.write_bytes(CONTENT)
    client.log_artifact(run_id, str(bundle), BUNDLE_FOLDER)
    client.create_registered_model("forests")
    return run_id


def register(client, run_id: str, **tags: str) -> None:
    client.create_model_version("forests", f"runs:/{run_id}/model", run_id=run_id, tags=tags)


def tags_of(run_id: str, uri: str = "") -> dict[str, str]:
    digest = hashlib.sha256(CONTENT).hexdigest()
    return {BUNDLE_SHA256: digest, BUNDLE_URI: uri or f"runs:/{run_id}/{BUNDLE_FOLDER}/{BUNDLE_FILE}"}


def artifact(client, run_id: str) -> Path:
    return Path(client.get_run(run_id).info.artifact_uri.removeprefix("file://")) / BUNDLE_FOLDER / BUNDLE_FILE


@pytest.mark.parametrize("address", ["forests@challenger", "forests/2", "models:/forests@challenger"])
def test_a_version_is_found_by_alias_and_number(client, run_id, address):
    register(client, run_id, **tags_of(run_id))
    register(client, run_id, **tags_of(run_id), note="second")
    client.set_registered_model_alias("forests", CHALLENGER, "2")
    found = find_version(client, address)
    assert (found.name, found.version, found.run_id, found.aliases) == ("forests", 2, run_id, ("challenger",))
    assert found.tags["note"] == "second"
    assert found.address == "models:/forests/2"


def test_the_bundle_arrives_in_the_folder(client, run_id, tmp_path):
    register(client, run_id, **tags_of(run_id))
    (tmp_path / "here").mkdir()
    path = fetch_bundle(client, find_version(client, "forests/1"), tmp_path / "here")
    assert path == tmp_path / "here" / "model.tar.gz"
    assert path.read_bytes() == CONTENT
    assert list((tmp_path / "here").iterdir()) == [path]


def test_a_bundle_outside_mlflow_is_fetched(client, run_id, tmp_path):
    register(client, run_id, **tags_of(run_id, uri=str(tmp_path / BUNDLE_FILE)))
    (tmp_path / "here").mkdir()
    assert fetch_bundle(client, find_version(client, "forests/1"), tmp_path / "here").read_bytes() == CONTENT


def test_a_changed_bundle_is_refused(client, run_id, tmp_path):
    register(client, run_id, **tags_of(run_id))
    artifact(client, run_id).write_bytes(b"something else")
    (tmp_path / "here").mkdir()
    with pytest.raises(ArtifactError, match=r"models:/forests/1 must be the one that was registered"):
        fetch_bundle(client, find_version(client, "forests/1"), tmp_path / "here")
    assert list((tmp_path / "here").iterdir()) == []


def test_a_deleted_bundle_is_named(client, run_id, tmp_path):
    register(client, run_id, **tags_of(run_id))
    artifact(client, run_id).unlink()
    with pytest.raises(SourceError, match=rf"must exist. Received: runs:/{run_id}/bundle/model.tar.gz"):
        fetch_bundle(client, find_version(client, "forests/1"), tmp_path)


@pytest.mark.parametrize("address", ["forests@champion", "forests/7", "lakes@champion", "lakes/1"])
def test_absent_versions_are_named(client, run_id, address):
    with pytest.raises(SourceError, match=rf"must be in the registry to be used. Received: {address}, but"):
        find_version(client, address)


def test_a_version_of_others_is_refused(client, run_id):
    register(client, run_id, owner="another team")
    with pytest.raises(SourceError, match=r"models:/forests/1, which has no tag tilepipe.bundle_sha256"):
        find_version(client, "forests/1")


@pytest.mark.parametrize("address", ["forests", "forests@", "forests/latest", "a/b@champion", "s3://a/b"])
def test_other_addresses_are_refused(client, address):
    with pytest.raises(ParameterError, match="is addressed as name@alias or name/version"):
        find_version(client, address)


def test_an_unreachable_registry_is_named(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(TrackingError, match=r"must be reachable at MLFLOW_TRACKING_URI to find forests@champion"):
        find_version(tracking.client(), "forests@champion")

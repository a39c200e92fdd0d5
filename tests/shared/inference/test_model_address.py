"""Tests of finding a bundle by its address, on real servers."""

import functools
import hashlib
import json
import uuid

import pytest

from tests.support.bundles import write_model_bundle
from tests.support.loopback_server import LoopbackServer, QuietFileHandler
from tilepipe.components.shared.errors import ArtifactError, SourceError
from tilepipe.components.shared.inference import model_address
from tilepipe.components.shared.inference.bundle_model import open_model
from tilepipe.components.shared.inference.model_address import check_address
from tilepipe.components.shared.registry.version_tags import BUNDLE_SHA256, BUNDLE_URI, CHAMPION
from tilepipe.components.shared.storage import s3
from tilepipe.components.shared.tracking import tracking


@pytest.fixture
def bundle(tmp_path):
    path = tmp_path / "site" / "model.tar.gz"
    path.parent.mkdir()
    write_model_bundle(path)
    return path


@pytest.fixture
def site(bundle):
    """Address of a web server with the folder of the bundle."""
    with LoopbackServer(functools.partial(QuietFileHandler, directory=str(bundle.parent))) as server:
        yield server.url


def write_item(bundle, href="model.tar.gz", name="item.json", **asset):
    item = {"type": "Feature", "assets": {"bundle": {"href": href, **asset}, "model": {"href": "model.onnx"}}}
    (bundle.parent / name).write_text(json.dumps(item))
    return bundle.parent / name


def test_a_bundle_and_its_item_are_found_on_disk_and_on_the_web(bundle, site):
    checksum = "1220" + hashlib.sha256(bundle.read_bytes()).hexdigest()
    item = write_item(bundle, **{"file:checksum": checksum})
    digests = {
        open_model(address).digest
        for address in (str(bundle), f"file://{item}", f"{site}/model.tar.gz", f"{site}/item.json")
    }
    assert digests == {checksum[4:]}
    assert set(bundle.parent.iterdir()) == {bundle, item}


def test_a_bundle_and_its_item_are_found_in_a_bucket(bundle, minio_server, monkeypatch):
    minio_server.use(monkeypatch)
    bucket = f"models-{uuid.uuid4().hex[:8]}"
    minio_server.make_bucket(bucket)
    item = write_item(bundle)
    for path in (bundle, item):
        s3.write_bytes(f"s3://{bucket}/models/{path.name}", path.read_bytes())
    for name in (bundle.name, item.name):
        assert open_model(f"s3://{bucket}/models/{name}").name == "bright"
    with pytest.raises(SourceError, match="must exist"):
        open_model(f"s3://{bucket}/models/other.tar.gz")


def test_a_bundle_that_was_changed_since_its_item_is_refused(bundle):
    item = write_item(bundle, **{"file:checksum": "1220" + "0" * 64})
    with pytest.raises(ArtifactError, match=r"must have the SHA-256 0+\. Received: [0-9a-f]{64}, so it was changed"):
        open_model(str(item))


@pytest.mark.parametrize("href", ["file:///etc/secret.tar.gz", "../other.tar.gz", "/etc/other.tar.gz"])
def test_a_local_item_leads_to_no_other_folder(bundle, href):
    with pytest.raises(SourceError, match=r"The bundle of an item must be .* Give the address of the bundle itself"):
        open_model(str(write_item(bundle, href)))


def test_a_local_item_in_the_working_directory_leads_to_no_host(bundle, site, monkeypatch):
    monkeypatch.chdir(bundle.parent)
    with pytest.raises(SourceError, match=r"The bundle of an item must be .* Give the address of the bundle itself"):
        open_model(str(write_item(bundle, f"{site}/model.tar.gz")))


@pytest.mark.parametrize("href", ["file:///etc/x.tar.gz", "s3://bucket/x.tar.gz", "http://127.0.0.1:9/x.tar.gz"])
def test_an_item_on_the_web_leads_to_no_other_host(bundle, site, href):
    write_item(bundle, href)
    with pytest.raises(SourceError, match="must be on the item's own host"):
        open_model(f"{site}/item.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"assets": {"model": {"href": "model.onnx"}}}', "with 0 of them; its assets are: model"),
        ('{"assets": {}}', "its assets are: no asset"),
        ('{"assets": {"a": {"href": "a.tar.gz"}, "b": {"href": "b.tar.gz"}}}', "with 2 of them"),
        ("[]", "must be a STAC item with assets"),
        ('{"assets": {"model": {}}}', "must be a STAC item with assets"),
        ("{", "must be a STAC item with assets"),
    ],
)
def test_an_item_without_one_bundle_is_refused(tmp_path, text, message):
    (tmp_path / "item.json").write_text(text)
    with pytest.raises(ArtifactError, match=message):
        open_model(str(tmp_path / "item.json"))


def test_a_bundle_larger_than_the_limit_is_not_fetched(bundle, site, monkeypatch):
    monkeypatch.setattr(model_address, "LARGEST_BUNDLE_BYTES", 100)
    for address in (str(bundle), f"{site}/model.tar.gz"):
        with pytest.raises(SourceError, match="must have at most 100 bytes here"):
            open_model(address)


def test_a_signature_in_an_address_is_not_repeated(bundle, site):
    assert open_model(f"{site}/model.tar.gz?sig=secret").address == f"{site}/model.tar.gz?..."
    assert check_address("model", "models:/forests@champion") == "models:/forests@champion"


def test_a_registered_version_is_opened_by_alias_and_number(bundle, mlflow_store, tmp_path):
    client = tracking.client()
    run = client.create_run(client.create_experiment("tests", artifact_location=(tmp_path / "kept").as_uri()))
    client.log_artifact(run.info.run_id, str(bundle), "bundle")
    uri = f"runs:/{run.info.run_id}/bundle/model.tar.gz"
    tags = {BUNDLE_SHA256: hashlib.sha256(bundle.read_bytes()).hexdigest(), BUNDLE_URI: uri}
    client.create_registered_model("forests")
    client.create_model_version("forests", f"runs:/{run.info.run_id}/model", run_id=run.info.run_id, tags=tags)
    client.set_registered_model_alias("forests", CHAMPION, "1")
    for address in ("models:/forests@champion", "models:/forests/1"):
        model = open_model(address)
        assert (model.name, model.version, model.digest) == ("forests", "1", tags[BUNDLE_SHA256])
    with pytest.raises(SourceError, match=r"must be in the registry .* lacks the alias 'challenger'"):
        open_model("models:/forests@challenger")
    (tmp_path / "kept" / run.info.run_id / "artifacts" / "bundle" / "model.tar.gz").write_bytes(b"changed")
    with pytest.raises(ArtifactError, match="must be the one that was registered"):
        open_model("models:/forests@champion")

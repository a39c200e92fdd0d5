"""The compiled commands of all tasks, run in order as by KFP's launcher, with a real MinIO and MLflow."""

import gzip
import io
import json
import shutil
import uuid
import zipfile
from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from tests.integration.launcher import MOUNT, Launcher, can_mount
from tests.support.canaries import CANARY, planted
from tilepipe.components.shared.registry.registered_version import fetch_bundle, find_version
from tilepipe.components.shared.registry.version_tags import GATE, TEST_SHARDS
from tilepipe.components.shared.tracking import tracking
from tilepipe.pipelines.cli.compilation import compiled_pipeline
from tilepipe.pipelines.cli.sample.sample import write_sample

pytestmark = [
    pytest.mark.skipif(not can_mount(), reason="KFP keeps artifacts under /s3, which only root can make"),
    pytest.mark.xdist_group("launcher"),
]

ARGUMENTS = {
    "train_epochs": 1,
    "train_batch_size": 16,
    "tracking_experiment": "launcher",
    "model_options": {"filters": [8, 8, 8, 8], "dense_units": 16},
}


@pytest.fixture(scope="module")
def bucket(minio_server):
    import boto3

    endpoint, user, password = minio_server.endpoint, minio_server.access_key, minio_server.secret_key
    s3 = boto3.resource(
        "s3", endpoint_url=endpoint, aws_access_key_id=user, aws_secret_access_key=password, region_name="us-east-1"
    )
    bucket = s3.Bucket(f"pipelines-{uuid.uuid4().hex[:8]}")
    bucket.create()
    yield bucket
    shutil.rmtree(MOUNT / bucket.name, ignore_errors=True)


@pytest.fixture(scope="module")
def tiles(bucket, tmp_path_factory):
    """Address of the catalog of the synthetic sample in a bucket."""
    folder = tmp_path_factory.mktemp("sample") / "sample"
    write_sample(folder, tiles_per_class=12)
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        bucket.upload_file(str(path), f"sample/{path.relative_to(folder)}")
    return f"s3://{bucket.name}/sample/catalog.json"


@pytest.fixture
def launcher(bucket, minio_server, mlflow_server, image_environments, tmp_path):
    return Launcher(
        pipeline=compiled_pipeline.load("train_classifier"),
        bucket=bucket,
        environments=image_environments,
        environment={
            **planted("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "MLFLOW_TRACKING_TOKEN"),
            "AWS_ACCESS_KEY_ID": minio_server.access_key,
            "AWS_SECRET_ACCESS_KEY": minio_server.secret_key,
            "AWS_ENDPOINT_URL": minio_server.endpoint,
            "AWS_REGION": "us-east-1",
            "TILEPIPE_MLFLOW_TRACKING_URI": mlflow_server.replace("//", f"//user:{CANARY}@"),
            "KFP_RUN_ID": str(uuid.uuid4()),
        },
        scratch=tmp_path,
        root=f"v2/artifacts/{uuid.uuid4().hex[:8]}",
    )


@pytest.fixture
def mlflow(mlflow_server, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    return tracking.client()


def test_from_the_bucket_to_the_report(launcher, tiles, mlflow, bucket, tmp_path):
    failed = launcher.run(
        {**ARGUMENTS, "data_source": tiles, "pack_workers": 2, "pack_options": {"shard_mebibytes": 1}}
    )
    assert failed is None, failed.log[-4000:]
    parts = [result.artifacts["train_shards"]["metadata"]["tiles"] for result in launcher.iterations["pack-tiles"]]
    assert len(parts) == 2
    assert all(parts), "both workers had something to pack"

    evaluated = launcher.results["evaluate-model"].artifacts
    metrics = evaluated["metrics"]["metadata"]
    predictions = _predictions(bucket, evaluated["predictions"]["uri"], launcher.scratch)
    assert metrics["test_tiles"] == len(predictions) == 20
    right = [row["label"] == row["predicted"] for row in predictions]
    assert metrics["test_accuracy"] == pytest.approx(sum(right) / len(right))
    exported = launcher.results["export-model"].artifacts
    assert exported["onnx_model"]["metadata"]["parity_tiles"] == 20
    assert exported["bundle"]["metadata"]["sha256"] == exported["onnx_model"]["metadata"]["bundle_sha256"]
    registered = launcher.results["register-model"].parameters["Output"]
    version = find_version(mlflow, registered)
    assert version.aliases == ("challenger",)
    assert json.loads(version.tags[TEST_SHARDS])[0].startswith(f"s3://{bucket.name}/{launcher.root}/")
    assert fetch_bundle(mlflow, version, tmp_path).stat().st_size > 0
    launcher.run_task("register-model", launcher.values)
    assert launcher.results["register-model"].parameters["Output"] == registered, "a retried step registers once"
    stored = {item.key for item in bucket.objects.filter(Prefix=launcher.root)}
    for suffix in (
        "tiles.parquet", "manifest.json", "base_model.keras", "model.keras", "report.html", "predictions.parquet",
        "onnx_model.onnx", "bundle.tar.gz", "item.json",
    ):  # fmt: skip
        assert any(key.endswith(suffix) for key in stored), f"no {suffix} in {sorted(stored)}"
    assert any("train_shards/" in key and key.endswith(".tfrecord") for key in stored)

    run = mlflow.get_run(tracking.find_run(mlflow, launcher.environment["KFP_RUN_ID"]))
    assert run.info.status == "FINISHED"
    assert run.data.metrics["test_accuracy"] == pytest.approx(metrics["test_accuracy"])
    secret = launcher.environment["AWS_SECRET_ACCESS_KEY"]
    check_without_credentials(launcher, mlflow, run, registered, secret)

    # The gate reads the test tiles from the bucket, at the addresses that the registry has.
    promotion = replace(launcher, pipeline=compiled_pipeline.load("promote"), results={}, iterations={})
    values = {parameter.name: parameter.default for parameter in promotion.pipeline.parameters.values()}
    values |= {"model_name": version.name, "gate_floors": {"accuracy": 0}}
    for task in ("gate-model", "promote-model"):
        result = promotion.run_task(task, values)
        assert result.exit_code == 0, result.log[-4000:]
        assert secret not in result.log
        assert CANARY not in result.log
    promoted = find_version(mlflow, f"{version.name}@champion")
    assert (promoted.version, promoted.tags[GATE]) == (version.version, "accepted")


def check_without_credentials(launcher, mlflow, run, registered, secret):
    """Look for planted credentials in logs, executor outputs, artifacts, compiled YAML and MLflow."""
    places = {f"log of {name}": result.log.encode() for name, result in launcher.results.items()}
    places |= {str(path): path.read_bytes() for path in launcher.scratch.rglob("*") if path.is_file()}
    places["YAML"] = json.dumps(launcher.pipeline.spec).encode()
    places["MLflow"] = f"{run.to_dictionary()} {find_version(mlflow, registered)}".encode()
    client = launcher.bucket.meta.client
    for bucket in client.list_buckets()["Buckets"]:  # of this run, and MLflow's
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket["Name"]):
            for item in page.get("Contents", []):
                content = client.get_object(Bucket=bucket["Name"], Key=item["Key"])["Body"].read()
                places[item["Key"]] = uncompressed(content)
    assert {"bundle.tar.gz", "report.html", "predictions.parquet"} <= {name.rpartition("/")[2] for name in places}
    assert [name for name, content in places.items() if CANARY.encode() in content or secret.encode() in content] == []


def uncompressed(content):
    """Return the bytes that a file holds: those of an archive's members, or of a table's rows and metadata."""
    if content.startswith(b"\x1f\x8b"):
        return gzip.decompress(content)
    if content.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return b"".join(archive.read(name) for name in archive.namelist())
    if content.startswith(b"PAR1"):
        table = pq.read_table(io.BytesIO(content))
        return f"{table.schema.metadata} {table.to_pylist()}".encode()
    return content


def _predictions(bucket, uri, scratch):
    bucket.download_file(uri.removeprefix(f"s3://{bucket.name}/"), str(scratch / "predictions.parquet"))
    return [row for row in pq.read_table(scratch / "predictions.parquet").to_pylist() if row["split"] == "test"]


def test_a_failing_task_is_one_message_and_a_failed_run(launcher, tiles, mlflow):
    arguments = {**ARGUMENTS, "data_source": tiles, "data_bands": ["B02", "B99"]}
    failed = launcher.run(arguments)
    assert failed is launcher.results["pack-tiles"]
    assert failed.exit_code == 2
    assert "Traceback" not in failed.log
    assert "B99" in failed.log
    run = mlflow.get_run(tracking.find_run(mlflow, launcher.environment["KFP_RUN_ID"]))
    assert run.info.status == "FAILED"
    assert run.data.tags[tracking.FAILED_STEP_TAG] == "pack"
    assert "B99" in run.data.tags[tracking.FAILURE_TAG]


def test_the_run_that_kfp_opened_is_adopted(launcher, tiles, mlflow):
    experiment = mlflow.create_experiment(f"native-{uuid.uuid4().hex[:8]}")
    parent = mlflow.create_run(experiment).info.run_id
    child = mlflow.create_run(experiment, tags={"mlflow.parentRunId": parent}).info.run_id
    address = launcher.environment["TILEPIPE_MLFLOW_TRACKING_URI"]
    native = {"MLFLOW_RUN_ID": child, "MLFLOW_TRACKING_URI": address, "MLFLOW_EXPERIMENT_ID": experiment,
              "KFP_MLFLOW_CONFIG": json.dumps({"parentRunId": parent})}  # fmt: skip
    launcher.environment = {**launcher.environment, **native}
    failed = launcher.run({**ARGUMENTS, "data_source": tiles})
    assert failed is None, failed.log[-4000:]
    assert launcher.results["train-model"].parameters["mlflow_run_id"] == parent
    assert len(mlflow.search_runs([experiment])) == 2, "a run was opened beside KFP's own"
    assert "test_accuracy" in mlflow.get_run(parent).data.metrics

"""`predict_tiles` on a real Kubeflow: several workers, an evicted pod, recurring runs, and nothing to predict."""

import time
import uuid

import pyarrow.parquet as pq
import pytest

from tests.e2e.conftest import run_id_in, upload_sample
from tests.integration.test_predict_run import write_sample_model

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2700)]


@pytest.fixture(scope="module")
def predict_yaml(kubeflow, tmp_path_factory):
    """`predict_tiles`, compiled for the images of this cluster."""
    folder = tmp_path_factory.mktemp("predict")
    kubeflow.tilepipe("compile", "predict_tiles", "--out", str(folder))
    return folder / "predict_tiles.yaml"


@pytest.fixture(scope="module")
def source(kubeflow, tmp_path_factory):
    """Ids of the tiles, and arguments that name source and model."""
    folder = tmp_path_factory.mktemp("source")
    prefix = f"predict-{uuid.uuid4().hex[:8]}"
    catalog = upload_sample(kubeflow, folder / "sample", prefix)
    ids = write_sample_model(folder)
    kubeflow.bucket.upload_file(str(folder / "model.tar.gz"), f"{prefix}/model.tar.gz")
    model = f"model_uri=s3://{kubeflow.bucket.name}/{prefix}/model.tar.gz"
    return ids, [f"data_source={catalog}", model, "tracking_experiment=e2e", "predict_workers=3"]


@pytest.fixture
def kept(kubeflow):
    """Prefix of the predictions of a test, in the bucket."""
    return f"predictions-{uuid.uuid4().hex[:8]}"


def partitions(kubeflow, kept, folder):
    """Return the ids in each partition."""
    found = []
    for number, item in enumerate(sorted(kubeflow.bucket.objects.filter(Prefix=f"{kept}/"), key=lambda one: one.key)):
        path = folder / f"{number}.parquet"
        kubeflow.bucket.download_file(item.key, str(path))
        found.append(pq.read_table(path, columns=["tile_id"])["tile_id"].to_pylist())
    return found


def workers(kubeflow, run_id):
    """Return the pods that predict."""
    return kubeflow.executor_pods(run_id, "predict-part")


def test_three_workers_predict_each_tile_once_although_a_pod_is_evicted(kubeflow, predict_yaml, source, kept, tmp_path):
    ids, arguments = source
    place = f"output_uri=s3://{kubeflow.bucket.name}/{kept}"
    run_id = run_id_in(kubeflow.tilepipe("submit", str(predict_yaml), *arguments, place, "--no-wait").stdout)
    evicted = ""
    for _ in range(1800):
        # To Argo, a pod that is deleted while it starts is an error, which it does not retry.
        running = [pod for pod in workers(kubeflow, run_id) if _is_working(pod)]
        if running:
            evicted = running[0].metadata.name
            kubeflow.core.delete_namespaced_pod(evicted, kubeflow.namespace, grace_period_seconds=0)
            break
        time.sleep(0.5)
    assert evicted, "no worker was started"
    assert kubeflow.wait(run_id).state == "SUCCEEDED"
    assert len({pod.metadata.name for pod in workers(kubeflow, run_id)} | {evicted}) >= 3
    assert partitions(kubeflow, kept, tmp_path) == [ids]


def _is_working(pod):
    return any(status.name == "main" and status.state.running for status in pod.status.container_statuses or [])


def test_a_recurring_prediction_predicts_each_tile_once(kubeflow, predict_yaml, source, kept, tmp_path):
    ids, arguments = source
    place = f"output_uri=s3://{kubeflow.bucket.name}/{kept}"
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    kubeflow.tilepipe("upload", str(predict_yaml))
    kubeflow.tilepipe("schedule", name, str(predict_yaml), "--every-minutes", "1", *arguments, place)
    try:
        fired = _runs_of(kubeflow, name, 2)
        assert [kubeflow.wait(run_id).state for run_id in fired] == ["SUCCEEDED"] * 2
    finally:
        kubeflow.tilepipe("schedule", name, "--delete")
    found = [tile_id for partition in partitions(kubeflow, kept, tmp_path) for tile_id in partition]
    assert sorted(found) == ids


def test_an_empty_source_ends_well(kubeflow, predict_yaml, source, kept, tmp_path):
    _, arguments = source
    words = [*arguments, "data_where=tile_id = 'none'", f"output_uri=s3://{kubeflow.bucket.name}/{kept}"]
    run_id = run_id_in(kubeflow.tilepipe("submit", str(predict_yaml), *words).stdout)
    assert kubeflow.run(run_id).state == "SUCCEEDED"
    assert partitions(kubeflow, kept, tmp_path) == []


def _runs_of(kubeflow, name, count):
    for _ in range(400):
        listed = kubeflow.runs.run_service_list_runs(page_size=100, sort_by="created_at desc").runs or []
        found = [run.run_id for run in listed if name in (run.display_name or "")]
        if len(found) >= count:
            return found[-count:]
        time.sleep(3)
    pytest.fail(f"{name} did not fire {count} times within twenty minutes")

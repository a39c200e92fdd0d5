"""Compiled pipelines for tests of the commands for a cluster; KFP's own compiler writes the YAML."""

from pathlib import Path

import pytest
from kfp import compiler, dsl, kubernetes

from tilepipe.pipelines.cli import app
from tilepipe.pipelines.cli.compilation import compiled_pipeline


@dsl.container_component
def work(text: str, gpu_count: str, gpu_resource: str, memory_limit: str):
    return dsl.ContainerSpec(image="example.org/none:1", command=["true", text, gpu_count, gpu_resource, memory_limit])


@dsl.container_component
def tidy():
    return dsl.ContainerSpec(image="example.org/tidy:1", command=["true"])


@dsl.pipeline(name="a-pipeline", description="What it does.")
def a_pipeline(
    train_gpu_count: str = "0",
    train_gpu_resource: str = "nvidia.com/gpu",
    train_image: str = "example.org/train:1",
    train_memory_limit: str = "8Gi",
    train_node_selector: dict = {},  # noqa: B006 - KFP reads it
    train_tolerations: list = [],  # noqa: B006
    storage_secret_name: str = "tilepipe-s3",
):
    with dsl.ExitHandler(tidy(), name="all"):
        task = work(
            text="x", gpu_count=train_gpu_count, gpu_resource=train_gpu_resource, memory_limit=train_memory_limit
        )
        task.set_container_image(train_image)
        task.set_cpu_request("500m").set_cpu_limit("1")
        task.set_memory_request(train_memory_limit).set_memory_limit(train_memory_limit)
        task.set_accelerator_type(train_gpu_resource).set_accelerator_limit(train_gpu_count)
        kubernetes.add_node_selector_json(task, train_node_selector)
        kubernetes.add_toleration_json(task, train_tolerations)
        kubernetes.use_secret_as_env(task, storage_secret_name, {"KEY": "KEY", "OTHER": "OTHER"}, optional=True)
        kubernetes.use_config_map_as_env(task, "tilepipe-s3", {"AWS_REGION": "AWS_REGION"}, optional=True)
        fixed = tidy()
        kubernetes.use_secret_as_env(fixed, "must-be-there", {"TOKEN": "TOKEN"})


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory):
    path = Path(tmp_path_factory.mktemp("compiled")) / "a_pipeline.yaml"
    compiler.Compiler().compile(a_pipeline, str(path))
    return compiled_pipeline.load(str(path))


@pytest.fixture
def tilepipe(monkeypatch, capfd, tmp_path):
    """Function that runs the command line and returns exit code, output and errors."""
    for name in ("KFP_ENDPOINT", "KFP_NAMESPACE", "KFP_TOKEN", "TILEPIPE_SETTINGS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    monkeypatch.setattr("kfp.Client._LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))

    def run(*words):
        monkeypatch.setattr("sys.argv", ["tilepipe", *map(str, words)])
        code = 0
        try:
            app.main()
        except SystemExit as end:
            code = end.code
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return code or 0, out, err

    return run

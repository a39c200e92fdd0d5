"""The committed YAML is reproducible, valid, and consistent with KFP's behavior."""

import subprocess
import sys

import pytest
import yaml

from tilepipe.components.shared.errors import ArtifactError, ParameterError
from tilepipe.pipelines.cli.compilation import compiled_pipeline, pipeline_pages

NAMES = compiled_pipeline.names()


def test_the_pipelines_that_are_shipped():
    assert NAMES == (
        "predict_scenes",
        "predict_tiles",
        "promote",
        "train_classifier",
        "train_classifier_small",
        "train_classifier_streaming",
        "tune_classifier",
    )


@pytest.mark.parametrize("name", NAMES)
def test_committed_yaml_recompiles_byte_for_byte(name, tmp_path):
    # In a fresh process: the compiler's state and the environment's registry must not matter.
    command = [sys.executable, "-m", "tilepipe.pipelines.cli.app", "compile", name, "--out", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    assert (tmp_path / f"{name}.yaml").read_bytes() == compiled_pipeline.load(name).path.read_bytes(), (
        "run `make pipelines`"
    )


@pytest.mark.parametrize("name", NAMES)
def test_page_is_up_to_date(name):
    pipeline = compiled_pipeline.load(name)
    written = pipeline.path.with_name("README.md").read_text(encoding="utf-8")
    assert written == pipeline_pages.page(pipeline), "run `make pipelines`"


@pytest.mark.parametrize("name", NAMES)
def test_parses_as_the_api_server_does(name):
    pipeline = compiled_pipeline.load(name)
    compiled_pipeline.parse_strictly(pipeline.path)
    assert len(pipeline.documents) == 2  # the specification and the platform's, both parsed


@pytest.mark.parametrize("document", [0, 1])
def test_unknown_fields_are_refused(document, tmp_path):
    documents = [dict(d) for d in compiled_pipeline.load("train_classifier").documents]
    assert len(documents) == 2
    documents[document]["surprise"] = 1
    path = tmp_path / "pipeline.yaml"
    path.write_text(yaml.safe_dump_all(documents), encoding="utf-8")
    with pytest.raises(ArtifactError, match="surprise"):
        compiled_pipeline.parse_strictly(path)


def test_registry_and_tag_are_set_when_compiling(tmp_path):
    command = [sys.executable, "-m", "tilepipe.pipelines.cli.app", "compile", "train_classifier_small"]
    command += ["--out", str(tmp_path), "--registry", "registry.example/team", "--tag", "7"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert f"take a file by its path, such as {tmp_path / 'train_classifier_small.yaml'}" in done.stdout
    executors = compiled_pipeline.load(str(tmp_path / "train_classifier_small.yaml")).spec["deploymentSpec"][
        "executors"
    ]
    images = {executor["container"]["image"] for executor in executors.values()}
    assert {i for i in images if "{{" not in i} == {"registry.example/team/data:7", "registry.example/team/train:7"}


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_described_and_their_number_stays_small(name):
    parameters = compiled_pipeline.load(name).parameters
    assert [p.name for p in parameters.values() if not p.description] == []
    most = {"train_classifier_small": 6, "tune_classifier": 56}
    assert len(parameters) <= most.get(name, 48)


def _groups(spec):
    """Yield (component of a group or of the root, its tasks) for each graph in a compiled pipeline."""
    yield spec["root"], spec["root"]["dag"]["tasks"]
    for component in spec["components"].values():
        if "dag" in component:
            yield component, component["dag"]["tasks"]


def _channels(node):
    """Yield all `{{$.inputs.parameters['...']}}` and componentInputParameter names in a structure."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "componentInputParameter":
                yield value
            yield from _channels(value)
    elif isinstance(node, list):
        for value in node:
            yield from _channels(value)
    elif isinstance(node, str):
        parts = node.split("{{$.inputs.parameters['")[1:]
        yield from (part.split("'")[0] for part in parts)


@pytest.mark.parametrize("name", NAMES)
def test_groups_declare_the_parameters_that_their_tasks_settings_name(name):
    """Otherwise KFP's driver fails, while compiling and local runs succeed."""
    pipeline = compiled_pipeline.load(name)
    spec, platform = pipeline.documents
    containers = spec["deploymentSpec"]["executors"]
    settings = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    seen = 0
    for group, tasks in _groups(spec):
        declared = set(group.get("inputDefinitions", {}).get("parameters", {}))
        for task in tasks.values():
            label = spec["components"][task["componentRef"]["name"]].get("executorLabel")
            if label is None:
                continue
            for channel in _channels([containers[label]["container"].get("resources", {}), settings.get(label, {})]):
                seen += 1
                # The names in a setting must be inputs of the group and of the task itself, since KFP resolves
                # resources against the task's own inputs.
                passed = task.get("inputs", {}).get("parameters", {})
                assert channel in declared, f"{label}: {channel} is not declared by its group"
                if channel in set(_channels(containers[label]["container"].get("resources", {}))):
                    assert channel in {s.get("componentInputParameter") for s in passed.values()}, (label, channel)
    assert seen > 0


@pytest.mark.parametrize("name", NAMES)
def test_whoever_takes_an_item_of_a_loop_declares_what_kfp_makes_of_it(name):
    """KFP converts an item of an untyped list to text, and its driver refuses text for a number parameter."""
    spec, taken = compiled_pipeline.load(name).spec, 0
    for _, tasks in _groups(spec):
        for loop in (task for task in tasks.values() if "parameterIterator" in task):
            group, item = spec["components"][loop["componentRef"]["name"]], loop["parameterIterator"]["itemInput"]
            kind = group["inputDefinitions"]["parameters"][item]["parameterType"]
            for task in group["dag"]["tasks"].values():
                declared = spec["components"][task["componentRef"]["name"]]["inputDefinitions"]["parameters"]
                for key, source in task["inputs"]["parameters"].items():
                    if source.get("componentInputParameter") == item:
                        taken += 1
                        assert declared[key]["parameterType"] == kind
    loops = {"promote": 0, "train_classifier_small": 0, "tune_classifier": 2}
    assert taken == loops.get(name, 1)


def test_a_loops_tasks_are_known_and_what_they_make_and_take():
    tasks = {task.name: task for task in compiled_pipeline.load("train_classifier").tasks}
    assert tasks["pack-tiles"].needs == ("ingest-tiles",)
    assert tasks["pack-tiles"].from_parameters["parts"] == "pack_workers"
    assert "part" not in tasks["pack-tiles"].from_parameters
    assert tasks["merge-packed"].needs == ("pack-tiles",)
    assert set(tasks["train-model"].needs) == {"pack-tiles", "merge-packed", "prepare-model"}


def test_a_conditions_tasks_are_known_and_what_they_take():
    tasks = {task.name: task for task in compiled_pipeline.load("train_classifier").tasks}
    assert set(tasks["export-model"].needs) == {"ingest-tiles", "merge-packed", "train-model", "evaluate-model"}
    assert tasks["export-model"].from_parameters["options"] == "export_options"


@pytest.mark.parametrize("name", NAMES)
def test_every_task_is_bounded_and_unprivileged(name):
    spec, platform = compiled_pipeline.load(name).documents
    settings = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for label, executor in spec["deploymentSpec"]["executors"].items():
        resources = executor["container"]["resources"]
        for bound in ("resourceCpuRequest", "resourceCpuLimit", "resourceMemoryRequest", "resourceMemoryLimit"):
            assert resources.get(bound), f"{label} has no {bound}"
        assert settings[label]["securityContext"]["runAsNonRoot"] is True
        assert int(settings[label]["activeDeadlineSeconds"]) > 0
        assert "pip install" not in str(executor["container"]["command"]), f"{label} installs at its start"


def test_retries_back_off_by_whole_numbers():
    """With 1.5 the pipeline compiles, but the run ends at its first failure with "cannot be resolved to an int"."""
    policies = [
        task["retryPolicy"]
        for _, tasks in _groups(compiled_pipeline.load("train_classifier").spec)
        for task in tasks.values()
        if "retryPolicy" in task
    ]
    assert policies
    for policy in policies:
        assert float(policy["backoffFactor"]).is_integer()
        assert policy["maxRetryCount"] <= 3


def test_side_effects_are_not_cached():
    tasks = {
        t: task for _, tasks in _groups(compiled_pipeline.load("train_classifier").spec) for t, task in tasks.items()
    }
    for name in ("snapshot-source", "finish-run"):
        assert not tasks[name].get("cachingOptions", {}).get("enableCache")
    assert tasks["train-model"]["cachingOptions"]["enableCache"]


def test_unknown_pipeline():
    with pytest.raises(ParameterError, match="Received: nonsense"):
        compiled_pipeline.load("nonsense")
    with pytest.raises(ParameterError, match=r"Did you mean train_classifier\?"):
        compiled_pipeline.load("train-clasifier")


def test_a_file_that_is_no_pipeline(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("a: 1\n", encoding="utf-8")
    with pytest.raises(ArtifactError, match="compiled KFP v2 pipeline"):
        compiled_pipeline.load(str(path))


def test_no_variable_of_ours_collides_with_those_that_kfp_puts_into_a_pod():
    """With KFP's native MLflow support, a second `MLFLOW_TRACKING_URI` makes the pod invalid."""
    platform = compiled_pipeline.load("train_classifier").documents[1]
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values()
    maps = [m for e in executors for key in ("configMapAsEnv", "secretAsEnv") for m in e.get(key, [])]
    names = {pair["envVar"] for m in maps for pair in m["keyToEnv"]}
    assert {"TILEPIPE_MLFLOW_TRACKING_URI", "TILEPIPE_MLFLOW_WORKSPACE"} <= names
    assert not {name for name in names if name.startswith(("MLFLOW_", "KFP_"))}


@pytest.mark.parametrize("name", [name for name in NAMES if name not in {"predict_scenes", "promote"}])
def test_every_step_that_reads_files_of_the_source_gets_the_tokens_of_hosts(name):
    pipeline = compiled_pipeline.load(name)
    executors = pipeline.documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    secrets = {label: found.get("secretAsEnv", []) for label, found in executors.items()}
    with_tokens = {
        label.removeprefix("exec-")
        for label, entries in secrets.items()
        if any(
            {"envVar": "TILEPIPE_WEB_TOKENS", "secretKey": "TILEPIPE_WEB_TOKENS"} in entry["keyToEnv"]
            and entry["optional"] is True
            for entry in entries
        )
    }
    reading = {"ingest-tiles", "pack-tiles", "pack-all-tiles", "prepare-model", "predict-part"}
    assert with_tokens == reading & {label.removeprefix("exec-") for label in executors}
    assert len(with_tokens) >= 2


@pytest.mark.parametrize("name", NAMES)
def test_a_retry_has_its_time_however_long_the_first_pod_waited(name):
    """Argo counts the longest backoff from the creation of the first pod, which a queue may hold back for weeks."""
    spec = compiled_pipeline.load(name).spec
    policies = [t["retryPolicy"] for _, tasks in _groups(spec) for t in tasks.values() if "retryPolicy" in t]
    assert policies
    for policy in policies:
        assert int(policy["backoffMaxDuration"].removesuffix("s")) >= 365 * 24 * 3600

"""The file with a platform's settings: every mistake ends in one message that states what to write."""

import json

import pytest
import yaml

from tests.conftest import ROOT
from tilepipe.components.shared.errors import ParameterError
from tilepipe.pipelines.cli.compilation import settings_file
from tilepipe.pipelines.cli.compilation.platform_settings import PlatformSettings, Section

EXAMPLE = ROOT / "manifests" / "platform" / "platform.yaml"


@pytest.fixture
def refusal(tmp_path):
    """Function that returns the message with which a text is refused."""
    path = tmp_path / "platform.yaml"

    def refused(text):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ParameterError) as error:
            settings_file.read(path)
        message = str(error.value)
        assert message.startswith(str(path))
        return message.replace(f"{path}: ", "")

    return refused


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("steps: {pack: {cpu_limt: 8}}", "Did you mean cpu_limit? Write:\n  steps: {pack: {cpu_limit: 8}}"),
        ("podz: {labels: {a: b}}", "Did you mean pods? Write:\n  pods: {labels: {a: b}}"),
        ("steps: {packk: {cpu_limit: 8}}", "Received: packk. Did you mean pack?"),
        ("pods: {tolerations: [{ky: a}]}", "Did you mean key? Write:\n  pods: {tolerations: [{key: a}]}"),
        ("steps: {pack: {memory_limit: 8 GB}}", "Received: '8 GB'. Write:\n  steps: {pack: {memory_limit: 8Gi}}"),
        ("steps: {pack: {timeout_seconds: 0}}", "Received: 0. Write:\n  steps: {pack: {timeout_seconds: 86400}}"),
        ("pods: {run_as_user: root}", "Received: 'root'. Write:\n  pods: {run_as_user: cluster}"),
        (
            "pods: {labels: {'a b': c}}",
            "must be the key of a label, such as pool or example.org/pool. Received: 'a b'.",
        ),
        ("pods: {labels: {pipeline/runid: x}}", "Received: pipeline/runid. Use another prefix."),
        ("pods: {tolerations: [{effect: NoSchedule}]}", "without a key needs operator: Exists"),
        ("images: {pull_policy: always}", "Received: 'always'. Write:\n  images: {pull_policy: IfNotPresent}"),
        (
            "images: {registry: 'https://Host.org/a/'}",
            "such as host.org/a. Received: 'https://Host.org/a/'. Write:\n  images: {reg",
        ),
        (
            "images: {tag: a b}",
            "letters, digits, dots, hyphens and underscores. Received: 'a b'. Write:\n  images: {tag: 0.1.0-",
        ),
        (
            "pods: {tolerations: {key: gpu}}",
            "should be a list. Received: {'key': 'gpu'}. Write:\n  pods: {tolerations: [{key",
        ),
        ("environment: {secrets: [{keys: {a: B}}]}", "`environment.secrets.0.name` is required"),
        ("work_space: {}", "takes either size or claim"),
        ("work_space: {size: 1Gi, claim: scratch}", "takes either size or claim"),
        ("network: {config_map: site}", "must state ca_bundle, proxy or both"),
        ("storage: {session_token: true, credentials: workload_identity}", "belongs to `credentials: secret`"),
        ("compiled: a\ncompiled: b", "compiled is given twice, again in line 2"),
        ("[pods]", "must contain settings"),
        ("a: [", "must be YAML"),
    ],
)
def test_mistakes(refusal, text, remedy):
    assert remedy in refusal(text)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("pods: {priority_class: high}", '{"podPriorityClassName": "NAME"}'),
        ("pods: {priorityClassName: high}", "kueue.x-k8s.io/priority-class"),
        ("pods: {fsGroup: 1}", '{"securityContext": {"fsGroup": 65532}}'),
        ("pods: {service_account: me}", "--service-account"),
        ("steps: {pack: {serviceAccountName: me}}", "Write `service_account: NAME` at the top level"),
        ("steps: {pack: {ephemeral_storage: 9Gi}}", "work_space"),
        ("pods: {init_containers: []}", "came with KFP 2.18"),
        ("pods: {topologySpreadConstraints: []}", '{"podSpecPatch": "{\\"topologySpreadConstraints\\": [...]}"}'),
    ],
)
def test_what_kfp_cannot_state_is_refused_with_the_reason(refusal, text, remedy):
    message = refusal(text)
    assert "A pipeline of KFP cannot state" in message
    assert remedy in message


def test_all_mistakes_are_reported_at_once_and_each_once(refusal):
    lines = refusal("podz: 1\npods: {run_as_user: me}\nsteps: {pack: {cpu_limit: x, timeout_seconds: -1}}").splitlines()
    assert len([line for line in lines if "Received:" in line]) == 4


def test_a_missing_file_is_named_with_its_variable(tmp_path):
    with pytest.raises(ParameterError, match=r"TILEPIPE_SETTINGS.*absent\.yaml: No such file"):
        settings_file.read(tmp_path / "absent.yaml")


def test_an_empty_file_changes_nothing(tmp_path):
    path = tmp_path / "platform.yaml"
    path.write_text("# nothing yet\n", encoding="utf-8")
    assert settings_file.read(path) == PlatformSettings()


def test_anchors_and_merges_of_yaml_are_understood(tmp_path):
    path = tmp_path / "platform.yaml"
    text = "steps:\n  pack: &large {memory_limit: 8Gi, cpu_limit: 4}\n  evaluate:\n    <<: *large\n    cpu_limit: 2\n"
    path.write_text(text, encoding="utf-8")
    steps = settings_file.read(path).steps
    assert (steps["evaluate"].memory_limit, steps["evaluate"].cpu_limit) == ("8Gi", "2")


def test_keys_and_dates_are_text_as_they_are_written(tmp_path):
    path = tmp_path / "platform.yaml"
    path.write_text("pods: {labels: {1: 'no', since: 2026-01-31}}")
    assert settings_file.read(path).pods.labels == {"1": "no", "since": "2026-01-31"}


def test_only_what_is_compiled_in_makes_other_settings(tmp_path):
    path = tmp_path / "platform.yaml"
    digests = []
    for text in ("", "service_account: me", "compiled: elsewhere", "shared_memory: 1Gi"):
        path.write_text(text, encoding="utf-8")
        digests.append(settings_file.platform(path).digest)
    assert digests[0] == digests[1] == digests[2] != digests[3]


def _fields(section):
    for name, field in section.model_fields.items():
        yield name
        kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, Section):
                yield from _fields(kind)


def test_the_example_shows_every_setting():
    text = EXAMPLE.read_text(encoding="utf-8")
    assert {name for name in _fields(PlatformSettings) if f"{name}:" not in text} == {"toleration_seconds"}
    assert settings_file.read(EXAMPLE).model_fields_set == set(PlatformSettings.model_fields)


def test_the_page_describes_every_part_of_the_file():
    page = EXAMPLE.with_name("README.md").read_text(encoding="utf-8")
    rows = "".join(line for line in page.splitlines() if line.startswith("| `"))
    assert [name for name in PlatformSettings.model_fields if f"`{name}`" not in rows] == ["compiled"]


@pytest.fixture
def site(tmp_path):
    """A platform whose folder has one pipeline, compiled with its settings."""
    from tilepipe.pipelines.cli.compilation import compiler

    path = tmp_path / "our site" / "platform.yaml"
    path.parent.mkdir()
    path.write_text("pods: {node_selector: {pool: batch}}\n", encoding="utf-8")
    platform = settings_file.platform(path)
    compiler.compile_pipeline("promote", platform.folder / "promote.yaml", platform)
    return path


def test_pipelines_are_loaded_from_the_folder_of_the_settings(site, tmp_path):
    platform = settings_file.platform(site)
    assert settings_file.load("promote", platform).path == site.parent / "compiled" / "promote.yaml"
    assert settings_file.load("promote", None).path != site.parent / "compiled" / "promote.yaml"
    assert settings_file.names(platform) == ("promote",)
    assert len(settings_file.names(None)) > 1
    other = settings_file.load("promote", None).path
    assert settings_file.load(str(other), platform).path == other  # a path is a path


def test_pipelines_that_were_not_compiled_with_the_settings_are_refused(site):
    with pytest.raises(
        ParameterError, match=f"which is absent. Compile it:\n  tilepipe compile tune_classifier --settings '{site}'"
    ):
        settings_file.load("tune-classifier", settings_file.platform(site))
    with pytest.raises(ParameterError, match=r"Did you mean promote\?"):
        settings_file.load("promot", settings_file.platform(site))
    site.write_text("pods: {node_selector: {pool: other}}\n", encoding="utf-8")
    with pytest.raises(ParameterError, match=r"compiled with other settings or another version\. Compile it:"):
        settings_file.load("promote", settings_file.platform(site))


def test_compiled_pipelines_hold_no_more_than_the_settings_say(site):
    spec, platform = yaml.safe_load_all((site.parent / "compiled" / "promote.yaml").read_text(encoding="utf-8"))
    before, before_platform = settings_file.load("promote", None).documents
    assert spec == before
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for label, pod in before_platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].items():
        assert executors[label] == pod | {"nodeSelector": {"labels": {"pool": "batch"}}}


@pytest.mark.parametrize("text", ["08", "0189234", "1e3", "1234e56", "1E-3", "5.0e1", "0o17", "1_0e2"])
def test_text_that_yaml_1_2_reads_as_a_number_is_quoted(tmp_path, text):
    from tilepipe.pipelines.cli.compilation import compiler

    path = tmp_path / "platform.yaml"
    settings = {"pods": {"node_selector": {"zone": text}}, "parameters": {"model_version": text}}
    path.write_text(json.dumps(settings), encoding="utf-8")
    compiled = tmp_path / "promote.yaml"
    compiler.compile_pipeline("promote", compiled, settings_file.platform(path))
    lines = {line.strip() for line in compiled.read_text(encoding="utf-8").splitlines()}
    assert {f"zone: '{text}'", f"defaultValue: '{text}'"} <= lines
    spec, platform = yaml.safe_load_all(compiled.read_text(encoding="utf-8"))
    assert spec["root"]["inputDefinitions"]["parameters"]["model_version"]["defaultValue"] == text
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert {pod["nodeSelector"]["labels"]["zone"] for pod in executors.values()} == {text}

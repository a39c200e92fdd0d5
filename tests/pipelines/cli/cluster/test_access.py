"""Which cluster and context commands talk to."""

import json
import os

import pytest

from tilepipe.components.shared.errors import ParameterError
from tilepipe.pipelines.cli.cluster import access


@pytest.fixture
def kubeconfig(tmp_path, monkeypatch):
    """Function that writes kubeconfigs with the current contexts of their names, and sets KUBECONFIG to them."""

    def write(**current):
        paths = []
        for name, context in current.items():
            content = {
                "clusters": [{"name": name, "cluster": {"server": f"https://{name}.example:6443"}}],
                "users": [{"name": name, "user": {"token": name}}],
                "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
                "current-context": context,
            }
            path = tmp_path / f"{name}.json"
            path.write_text(json.dumps(content), encoding="utf-8")
            paths.append(str(path))
        monkeypatch.setenv("KUBECONFIG", os.pathsep.join(paths))

    return write


@pytest.mark.parametrize(
    ("files", "context"),
    [
        ({"lab": "lab"}, "lab"),
        ({"lab": "lab", "production": "production"}, "lab"),
        ({"lab": "", "production": "production"}, "production"),
        ({"lab": "lab", "production": ""}, "lab"),
        ({"lab": "production", "production": "lab"}, "production"),
    ],
)
def test_the_current_context_is_that_of_kubectl(kubeconfig, files, context):
    kubeconfig(**files)
    found = access.find("kubeflow")
    assert (found.context, found.server) == (context, f"https://{context}.example:6443")


def test_a_context_by_name(kubeconfig):
    kubeconfig(lab="lab", production="production")
    assert access.find("kubeflow", "production").server == "https://production.example:6443"
    with pytest.raises(ParameterError, match=r"--context must be .* Received: absent"):
        access.find("kubeflow", "absent")


@pytest.mark.parametrize("files", [{"lab": ""}, {"lab": "absent"}])
def test_without_a_current_context_there_is_no_cluster(kubeconfig, files):
    kubeconfig(**files)
    assert access.find("kubeflow") is None


@pytest.mark.parametrize(("text", "reason"), [("users: [lab", "while parsing"), ("lab", "it has no fields")])
def test_a_file_that_is_no_kubeconfig_is_named(kubeconfig, tmp_path, monkeypatch, text, reason):
    kubeconfig(lab="lab")
    broken = tmp_path / "broken.yaml"
    broken.write_text(text, encoding="utf-8")
    monkeypatch.setenv("KUBECONFIG", f"{os.environ['KUBECONFIG']}{os.pathsep}{broken}")
    with pytest.raises(ParameterError, match=rf"KUBECONFIG must name .* Received: {broken}: {reason}"):
        access.find("kubeflow")

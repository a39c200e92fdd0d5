"""Validation of the manifests by a real API server, in which nothing is changed.

It runs if `TILEPIPE_TEST_KUBECONFIG` names a cluster for tests: KUBECONFIG may be that of another cluster.
"""

import os
import shutil
import subprocess

import pytest

from tests.manifests.kustomize import COMPOSITIONS, build, build_text


@pytest.fixture(scope="module")
def kubectl():
    configuration, program = os.environ.get("TILEPIPE_TEST_KUBECONFIG"), shutil.which("kubectl")
    if not configuration or not program:
        pytest.skip("no cluster: TILEPIPE_TEST_KUBECONFIG names none, or kubectl is absent")

    def run(*words, **settings):
        command = [program, "--kubeconfig", configuration, *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **settings)

    return run


@pytest.mark.parametrize("composition", COMPOSITIONS)
def test_the_api_server_takes_it(composition, kubectl):
    needed = [("namespace", build(composition)[0]["metadata"]["namespace"])]
    if composition == "istio":
        needed.append(("crd", "authorizationpolicies.security.istio.io"))
    for kind, name in needed:
        if kubectl("get", kind, name).returncode:
            pytest.skip(f"this cluster has no {kind} {name}")
    command = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--filename", "-"]
    done = kubectl(*command, input=build_text(composition))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("serverside-applied") == len(build(composition))

"""Builds of `manifests/`: each overlay, and the cluster's overlay with each option."""

import fcntl
import functools
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "manifests"
VERSION = "v5.7.1"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tilepipe" / f"kustomize-{VERSION}"

# What an overlay for other services adds, as manifests/README.md shows it.
EXTERNAL_S3 = """
configMapGenerator:
  - name: tilepipe-s3
    behavior: merge
    literals: ["AWS_ENDPOINT_URL=https://s3.example.com", AWS_REGION=eu-central-1]
  - name: tilepipe-mlflow
    behavior: merge
    literals: ["MLFLOW_ARTIFACTS_DESTINATION=s3://example-mlflow"]
  - name: kfp-launcher
    behavior: merge
    literals: ["defaultPipelineRoot=s3://example-runs/artifacts"]
generatorOptions: {disableNameSuffixHash: true}
"""
EXTERNAL_POSTGRES = """
configMapGenerator:
  - name: tilepipe-postgres
    behavior: merge
    literals: [PGHOST=postgres.example.com]
generatorOptions: {disableNameSuffixHash: true}
"""
EXTERNAL_MLFLOW = """
configMapGenerator:
  - name: tilepipe-tracking
    behavior: merge
    literals: ["MLFLOW_TRACKING_URI=https://mlflow.example.com"]
generatorOptions: {disableNameSuffixHash: true}
"""
COMPOSITIONS = {
    "local": ("local", [], ""),
    "cluster": ("cluster", [], ""),
    "profile": ("profile", [], ""),
    "istio": ("cluster", ["istio"], ""),
    "gpu": ("cluster", ["gpu"], ""),
    "external-s3": ("cluster", ["external-s3"], EXTERNAL_S3),
    "external-postgres": ("cluster", ["external-postgres"], EXTERNAL_POSTGRES),
    "external-mlflow": ("cluster", ["external-mlflow"], EXTERNAL_MLFLOW),
    "network": ("cluster", ["ca-bundle", "proxy"], ""),
    "generated-secrets": ("cluster", ["generated-secrets"], ""),
    "serving": ("cluster", ["serving"], ""),
}
"""Name -> overlay, options on top of it, and further content of the user's own overlay."""

SERVICES = sorted(set(COMPOSITIONS) - {"profile"})
"""Compositions that run the services; a profile only runs pipelines."""

Resource = dict[str, Any]


@functools.cache
def build(composition: str) -> tuple[Resource, ...]:
    """Build the resources of one composition, as the cluster gets them."""
    return tuple(yaml.safe_load_all(build_text(composition)))


@functools.cache
def build_text(composition: str) -> str:
    """Build the resources of one composition as text, for `kubectl apply`."""
    overlay, options, rest = COMPOSITIONS[composition]
    return build_overlay(overlay, options, rest) if options else _run(MANIFESTS / "overlays" / overlay)


def build_overlay(overlay: str, options: Sequence[str] = (), rest: str = "", namespace: str = "kubeflow") -> str:
    """Build an overlay on one of the overlays."""
    with tempfile.TemporaryDirectory() as folder:
        # Kustomize only accepts relative paths, from the real path of the folder.
        here = Path(folder).resolve()
        up = Path(os.path.relpath(MANIFESTS.resolve(), here))
        lines = [f"namespace: {namespace}", "resources:", f"  - {up / 'overlays' / overlay}"]
        if "kfp-launcher" in rest:
            lines.append(f"  - {up / 'options' / 'pipeline-root'}")
        lines += ["components:", *(f"  - {up / 'options' / option}" for option in options)] if options else []
        (here / "kustomization.yaml").write_text("\n".join(lines) + rest)
        return _run(here)


def build_example(text: str) -> list[Resource]:
    """Build a kustomization from the documentation, whose addresses on GitHub mean this repository."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder).resolve()
        up = os.path.relpath(MANIFESTS.resolve(), here)
        local = re.sub(r"github\.com/tilepipe/tilepipe/manifests(/[\w/-]+)\?ref=v[\d.]+", rf"{up}\1", text)
        (here / "kustomization.yaml").write_text(local)
        return list(yaml.safe_load_all(_run(here)))


def of_kind(composition: str, *kinds: str) -> list[Resource]:
    """Select the resources of some kinds."""
    return [resource for resource in build(composition) if resource["kind"] in kinds]


def pod_specs(composition: str) -> dict[str, Resource]:
    """Map `Kind/name` to the pod template of each resource that creates pods."""
    made = of_kind(composition, "Deployment", "StatefulSet", "Job")
    return {f"{resource['kind']}/{resource['metadata']['name']}": resource["spec"]["template"] for resource in made}


def containers(template: Resource) -> list[Resource]:
    """Return all containers of a pod template, including init containers."""
    return [*template["spec"].get("initContainers", []), *template["spec"]["containers"]]


def _run(folder: Path) -> str:
    done = subprocess.run([*_command(), str(folder)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@functools.cache
def _command() -> tuple[str, ...]:
    if found := shutil.which("kustomize"):
        return (found, "build")
    if found := shutil.which("kubectl"):
        return (found, "kustomize")
    built = CACHE / "kustomize"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:  # several test processes may want it at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not built.exists():
            _install(built)
    return (str(built), "build")


def _install(built: Path) -> None:
    go = shutil.which("go")
    if not go:
        pytest.skip("no kustomize: install kustomize, kubectl or Go")
    folder = built.parent / "build"
    environment = {**os.environ, "GOBIN": str(folder), "CGO_ENABLED": "0"}
    command = [go, "install", f"sigs.k8s.io/kustomize/kustomize/v5@{VERSION}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no kustomize: it does not build here: {done.stderr[-500:]}")
    (folder / "kustomize").replace(built)

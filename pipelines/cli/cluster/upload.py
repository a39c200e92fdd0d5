"""Upload of pipelines as versions that are named by their content, so that nothing is uploaded twice."""

import hashlib
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tilepipe.components.shared.errors import ClusterError
from tilepipe.components.shared.version import VERSION
from tilepipe.pipelines.cli.cluster.endpoint import Kubeflow
from tilepipe.pipelines.cli.compilation.compiled_pipeline import CompiledPipeline

_DIGEST = re.compile(r"-([0-9a-f]{8})(?:\.\d+)?$")


@dataclass(frozen=True)
class Version:
    """A version of a pipeline on the server.

    Args:
        pipeline: name of the pipeline on the server.
        name: name of the version.
        state: whether this upload created it.
    """

    pipeline: str
    name: str
    state: Literal["created", "new version", "unchanged"]


def upload(kubeflow: Kubeflow, pipeline: CompiledPipeline) -> Version:
    """Upload a pipeline, or a new version of it, unless its newest version is the same.

    Args:
        kubeflow: the pipelines API.
        pipeline: the compiled pipeline; its description is sent too, since Kubeflow's UI shows only that one.

    Returns:
        The newest version.

    Raises:
        ClusterError: KFP refuses.
    """
    name = pipeline.kfp_name
    pipeline_id = find(kubeflow, name)
    existing = version_names(kubeflow, pipeline_id) if pipeline_id else []
    digest = content_digest(pipeline.path.read_bytes())
    if existing and digest_of(existing[0]) == digest:
        return Version(name, existing[0], "unchanged")
    version = version_name(VERSION, git_revision(pipeline.path.parent), digest, existing)
    if pipeline_id:
        _upload_version(kubeflow, pipeline, pipeline_id, version)
        return Version(name, version, "new version")
    # KFP's one-step upload would name the first version after the pipeline.
    body = {"name": name, "display_name": pipeline.display_name, "description": pipeline.description}
    if kubeflow.api_namespace:
        body["namespace"] = kubeflow.api_namespace
    pipelines = kubeflow.client.pipelines
    pipeline_id = str(kubeflow.call(pipelines.pipeline_service_create_pipeline, pipeline=body).pipeline_id)
    try:
        _upload_version(kubeflow, pipeline, pipeline_id, version)
    except ClusterError:
        kubeflow.call(pipelines.pipeline_service_delete_pipeline, pipeline_id)
        raise
    return Version(name, version, "created")


def content_digest(content: bytes) -> str:
    """Return a digest of eight hexadecimal digits of the content of a YAML."""
    return hashlib.sha256(content).hexdigest()[:8]


def digest_of(version: str) -> str:
    """Return the digest in a version's name; empty if another tool named it."""
    match = _DIGEST.search(version)
    return match[1] if match else ""


def version_name(package: str, revision: str, digest: str, taken: Iterable[str] = ()) -> str:
    """Return the name of a new version.

    Args:
        package: version of tilepipe.
        revision: short git revision; empty outside of a repository.
        digest: digest of the content.
        taken: existing names; a return to older content at the same revision needs a new one.

    Returns:
        `<package>-<revision>-<digest>`, with `.2`, `.3`, ... if that is taken.
    """
    stem = "-".join(part for part in (package, revision, digest) if part)
    name, number, taken = stem, 1, set(taken)
    while name in taken:
        number += 1
        name = f"{stem}.{number}"
    return name


def git_revision(folder: Path) -> str:
    """Return the short revision of the repository that contains a folder; empty without a repository or git."""
    git = shutil.which("git")
    if git is None:
        return ""
    command = [git, "-C", str(folder), "rev-parse", "--short=7", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def find(kubeflow: Kubeflow, name: str) -> str:
    """Return the id of the pipeline of that name; empty if there is none."""
    method = kubeflow.client.pipelines.pipeline_service_list_pipelines
    for found in kubeflow.pages(method, "pipelines", namespace=kubeflow.api_namespace):
        if name == (found.name or found.display_name):
            return str(found.pipeline_id)
    return ""


def version_names(kubeflow: Kubeflow, pipeline_id: str) -> list[str]:
    """List the names of a pipeline's versions, newest first."""
    method = kubeflow.client.pipelines.pipeline_service_list_pipeline_versions
    found = kubeflow.pages(method, "pipeline_versions", pipeline_id=pipeline_id, sort_by="created_at desc")
    return [str(version.name or version.display_name) for version in found]


def _upload_version(kubeflow: Kubeflow, pipeline: CompiledPipeline, pipeline_id: str, name: str) -> None:
    kubeflow.call(
        kubeflow.client.pipeline_uploads.upload_pipeline_version,
        str(pipeline.path),
        name=name,
        display_name=name,
        pipelineid=pipeline_id,
        description=pipeline.description,
    )

"""Run a compiled pipeline with `kfp.local`, in a process that `runner` starts and reads.

Usage: `python -m tilepipe.pipelines.cli.local.worker PIPELINE_YAML PIPELINE_ROOT ARGUMENTS_JSON CACHE_FOLDER`

If CACHE_FOLDER is empty, no results of earlier runs are reused.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import yaml

from tilepipe.pipelines.cli.local import step_server
from tilepipe.pipelines.cli.local.warm_steps import DATA, PRELOADED, WarmSteps, server_of


def main() -> None:
    """Run the pipeline; a failed task ends this process with exit code 1."""
    step_server.end_with_parent(os.getppid())
    path, root, arguments, cache = sys.argv[1:]
    text = Path(path).read_text(encoding="utf-8")
    preloaded = {server: PRELOADED[server] for server in (DATA, server_of(text))}
    with WarmSteps(preloaded) as steps:  # the servers import their modules while this process imports kfp
        _run(text, root, json.loads(arguments), steps, cache)


def _run(text: str, root: str, arguments: dict[str, Any], steps: WarmSteps, cache: str) -> None:
    from kfp import components, local
    from kfp.local import cache as kfp_cache
    from kfp.local import subprocess_task_handler

    if cache:
        from tilepipe.pipelines.cli.local.reuse import ReuseCache

        kept = ReuseCache(cache)
        kfp_cache.get_local_cache = lambda: kept
    subprocess_task_handler.run_local_subprocess = steps.run
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=root, raise_on_error=True)
    documents = [without_retries(document) for document in yaml.safe_load_all(text)]
    pipeline = components.load_component_from_text(yaml.safe_dump_all(documents, sort_keys=False))
    try:
        pipeline(**arguments)
    except RuntimeError as error:  # the task's own log has the reason; a traceback of kfp adds nothing
        sys.exit(str(error))


def without_retries(node: Any) -> Any:  # noqa: ANN401 - any part of a YAML document
    """Return a copy of the YAML without retries, which only help against failures of a cluster."""
    if isinstance(node, dict):
        return {key: without_retries(value) for key, value in node.items() if key != "retryPolicy"}
    if isinstance(node, list):
        return [without_retries(value) for value in node]
    return node


if __name__ == "__main__":
    main()

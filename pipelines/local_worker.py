"""The process in which `kfp.local` runs a compiled pipeline; `tilepipe.pipelines.local` starts it and reads its output.

Usage: `python -m tilepipe.pipelines.local_worker PIPELINE_YAML PIPELINE_ROOT ARGUMENTS_JSON`
"""

import json
import sys


def main() -> None:
    """Run the pipeline; a task that fails ends this process with code 1."""
    from kfp import components, local

    path, root, arguments = sys.argv[1:]
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=root, raise_on_error=True)
    pipeline = components.load_component_from_file(path)
    try:
        pipeline(**json.loads(arguments))
    except RuntimeError as error:  # the task's own log says why; a traceback of kfp's adds nothing
        sys.exit(str(error))


if __name__ == "__main__":
    main()

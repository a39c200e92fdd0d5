"""Compilation of a pipeline from Python to the YAML that Kubeflow runs."""

import importlib
import tempfile
from pathlib import Path

from tilepipe.pipelines.cli.compilation import compiled_pipeline, platform_spec, yaml_text
from tilepipe.pipelines.cli.compilation.settings_file import Platform


def compile_pipeline(name: str, out: Path, platform: Platform | None = None) -> bool:
    """Compile a pipeline and validate it as the API server does.

    Args:
        name: a name from `compiled_pipeline.names()`.
        out: path of the YAML; not written if it already has the same content.
        platform: settings of the platform, if any.

    Returns:
        Whether the file changed.

    Raises:
        ArtifactError: KFP's API server would refuse the result.
        ParameterError: the settings contradict the pipeline.
    """
    from kfp import compiler

    module = importlib.import_module(f"tilepipe.pipelines.{name}.pipeline")
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(getattr(module, name), str(fresh))
        if platform:
            documents = platform_spec.apply(compiled_pipeline.read_documents(fresh), platform.settings)
            fresh.write_text(yaml_text.dump_all(documents, sort_keys=True), encoding="utf-8")
        compiled_pipeline.parse_strictly(fresh)
        body = _without_header(fresh.read_text(encoding="utf-8"))
        text = f"{compiled_pipeline.header(platform.digest if platform else '')}\n{body}".encode()
    if out.is_file() and out.read_bytes() == text:
        return False
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(text)
    return True


def _without_header(text: str) -> str:
    """Remove KFP's leading comment, in which the order of structs differs from process to process."""
    lines = text.splitlines(keepends=True)
    first = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    return "".join(lines[first:])

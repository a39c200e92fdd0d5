"""Compilation of a pipeline from Python to the YAML that Kubeflow runs."""

import importlib
import tempfile
from pathlib import Path

from tilepipe.components.shared.version import VERSION
from tilepipe.pipelines.cli.compilation import compiled_pipeline


def compile_pipeline(name: str, out: Path) -> bool:
    """Compile a pipeline and validate it as the API server does.

    Args:
        name: a name from `compiled_pipeline.names()`.
        out: path of the YAML; not written if it already has the same content.

    Returns:
        Whether the file changed.

    Raises:
        ArtifactError: KFP's API server would refuse the result.
    """
    from kfp import compiler

    module = importlib.import_module(f"tilepipe.pipelines.{name}.pipeline")
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(getattr(module, name), str(fresh))
        compiled_pipeline.parse_strictly(fresh)
        text = _with_stable_header(fresh.read_text(encoding="utf-8")).encode()
    if out.is_file() and out.read_bytes() == text:
        return False
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(text)
    return True


def _with_stable_header(text: str) -> str:
    """Replace KFP's leading comment, in which the order of structs differs from process to process."""
    lines = text.splitlines(keepends=True)
    first = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    return "".join([f"# Compiled by tilepipe {VERSION} (`tilepipe compile`); do not edit.\n", *lines[first:]])

"""From the Python that describes a pipeline to the YAML that Kubeflow runs."""

import importlib
import tempfile
from pathlib import Path

from tilepipe.components.shared.version import VERSION
from tilepipe.pipelines.cli.compilation import compiled_pipeline


def compile_pipeline(name: str, out: Path) -> bool:
    """Compile a pipeline and check it as the API server does.

    Args:
        name: a name from `compiled_pipeline.names()`.
        out: the YAML to write; left untouched where it already holds the same bytes.

    Returns:
        Whether the file changed.

    Raises:
        ArtifactError: KFP's API server would refuse what came out.
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
    """Replace KFP's comment on top, which prints structs in the order of a hash map: another in each process."""
    lines = text.splitlines(keepends=True)
    first = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    return "".join([f"# Compiled by tilepipe {VERSION} (`tilepipe compile`); do not edit.\n", *lines[first:]])

"""Compilation of a pipeline from Python to the YAML that Kubeflow runs."""

import importlib
import re
import tempfile
from pathlib import Path

import yaml

from tilepipe.pipelines.cli.compilation import compiled_pipeline, platform_spec
from tilepipe.pipelines.cli.compilation.settings_file import Platform


class _Dumper(yaml.SafeDumper):
    """Writes YAML whose text is text for YAML 1.2 as well, with which KFP's API server reads what is uploaded.

    YAML 1.1 leaves 08, 1e3 and 0o17 without quotes. The server would read the numbers 8, 1000 and 15.
    """


_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:\.\d+|\d[\d_]*(?:\.[\d_]*)?)(?:[eE][-+]?\d+)?$|[-+]?0[oO][0-7_]+$"),
    list("-+.0123456789"),
)


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
            fresh.write_text(yaml.dump_all(documents, Dumper=_Dumper, sort_keys=True), encoding="utf-8")
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

"""Shell completion of the names of pipelines and of their parameters."""

from collections.abc import Iterator
from typing import Any

from tilepipe.components.shared.errors import TilepipeError


def pipelines(incomplete: str) -> list[str]:
    """Return the names of pipelines that begin with a text; a path of a YAML file is left to the shell."""
    from tilepipe.pipelines.cli.compilation import compiled_pipeline

    return [name for name in compiled_pipeline.names() if name.startswith(incomplete)]


def parameters(ctx: Any, incomplete: str) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - typer's or click's
    """Yield `NAME=` and the description of each parameter of the command's pipeline that begins with a text."""
    from tilepipe.pipelines.cli.compilation import compiled_pipeline

    try:
        found = compiled_pipeline.load(str(ctx.params.get("pipeline") or ""))
    except TilepipeError:
        return
    given = {word.partition("=")[0] for word in ctx.params.get("words") or ()}
    for name, parameter in found.parameters.items():
        if name.startswith(incomplete) and name not in given:
            yield f"{name}=", parameter.description

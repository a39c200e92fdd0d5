"""Format of the output of a command: text, or one JSON document on standard output."""

import json
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console


class Output(StrEnum):
    """Format of the output."""

    TEXT = "text"
    JSON = "json"


OutputOption = Annotated[
    Output, typer.Option("--output", help="json prints one JSON document; the progress goes to standard error.")
]


def plain_console(*, stderr: bool = False, soft_wrap: bool = False) -> Console:
    """Return a console that prints texts as they are: paths may look like rich's markup or emoji codes."""
    return Console(stderr=stderr, soft_wrap=soft_wrap, highlight=False, markup=False, emoji=False)


def progress_console(output: Output, console: Console) -> Console:
    """Return the console for the progress: a command's own, or standard error beside a JSON document."""
    if output == Output.TEXT:
        return console
    return plain_console(stderr=True, soft_wrap=console.soft_wrap)


def print_document(document: Any) -> None:  # noqa: ANN401 - anything that JSON can hold
    """Print the JSON document of a command."""
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))

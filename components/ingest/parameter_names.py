"""Names in messages, and parameters under their names in the pipelines, in the form that `tilepipe run` accepts."""

import json
import shlex
from collections.abc import Iterable

PIPELINE_NAMES = {
    name: f"data_{name}"
    for name in (
        "source",
        "source_bands",
        "href_rewrite",
        "query",
        "columns",
        "where",
        "classes",
        "recode",
        "max_per_class",
        "options",
    )
}
"""Parameter of the step -> parameter of the pipelines; all others have the same name in both."""


def argument(name: str, value: object) -> str:
    """Format a parameter of the step as a word for a shell, such as `data_options='{"kind": "folder"}'`."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"{PIPELINE_NAMES.get(name, name)}={shlex.quote(text)}"


def joined(names: Iterable[str]) -> str:
    """Format names for a message, such as `B02, B03`, in alphabetical order; `none` if there are none."""
    return ", ".join(sorted(names)) or "none"

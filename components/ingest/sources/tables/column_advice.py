"""Advice for tables whose columns have other names or another form than usual."""

import json
import re
import shlex
from collections.abc import Mapping, Sequence

from tilepipe.components.ingest.parameter_names import argument
from tilepipe.components.shared.storage import storage

_IMAGE = re.compile(r"image|img|file|path|photo|picture|tile|chip", re.IGNORECASE)
_ID = re.compile(r"(^|[a-z_])(id|ID|Id)$")
_READERS = {".csv": "read_csv", ".parquet": "read_parquet"}
_WRITERS = {".csv": "to_csv", ".parquet": "to_parquet"}
_FEWEST_CLASSES = 2
_MOST_CLASSES = 100


def likely_column(role: str, names: Sequence[str]) -> str:
    """Return the only column that is likely to have a role; empty if there are several or none.

    Args:
        role: `image`, or another role.
        names: columns that may have it.
    """
    if role == "image":
        groups = ([name for name in names if _IMAGE.search(name)], [name for name in names if _ID.search(name)])
        names = next((group for group in groups if group), names)
    elif len(names) > 1:
        names = [name for name in names if not _ID.search(name)]
    return names[0] if len(names) == 1 else ""


def one_hot_advice(uri: str, names: Sequence[str], first: Mapping[str, str]) -> str:
    """Return advice for a table with one column of 0 and 1 for each class; empty for other tables.

    Args:
        uri: normalized address of the table.
        names: columns that may be classes.
        first: the first row, by the names of its columns in lower case.
    """
    numbers = {name: first.get(name.lower(), "") for name in names}
    classes = [name for name, value in numbers.items() if re.fullmatch(r"[01](\.0*)?", value)]
    ones = sum(float(numbers[name]) for name in classes)
    if not _FEWEST_CLASSES <= len(classes) <= _MOST_CLASSES or ones != 1:
        return ""
    code = f't["label"] = t[{json.dumps(sorted(classes), ensure_ascii=False)}].astype(float).idxmax(axis=1)'
    return f" If each class has a column of 0 and 1, write its name into one column{_command(uri, code)}."


def list_advice(uri: str, column: str) -> str:
    """Return advice for a table whose labels are lists of one number per class."""
    name = json.dumps(column, ensure_ascii=False)
    code = f"t[{name}] = t[{name}].map(lambda one: one.argmax())"
    return f" If these have one number per class, write the place of the largest into it{_command(uri, code)}."


def _command(uri: str, code: str) -> str:
    """Return a command that changes the columns of a local file, and the parameter for the file that it writes."""
    suffix = next((suffix for suffix in _READERS if uri.lower().endswith(suffix)), "")
    if storage.is_remote(uri) or not suffix:
        return ""
    target = f"{uri[: -len(suffix)]}-labels{suffix}"
    source, written = (json.dumps(path, ensure_ascii=False) for path in (uri, target))
    dtype = ", dtype=str" if suffix == ".csv" else ""
    program = f"import pandas; t = pandas.{_READERS[suffix]}({source}{dtype}); {code}; "
    program += f"t.{_WRITERS[suffix]}({written}, index=False)"
    return f", as with: python -c {shlex.quote(program)} and give {argument('source', target)}"

"""JSON files of COCO and iNaturalist, which have lists of images, annotations and categories, and no STAC items."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

from tilepipe.components.ingest.parameter_names import argument
from tilepipe.components.shared.errors import SourceError
from tilepipe.components.shared.storage import storage

_LISTS = ("images", "annotations", "categories")
_SUFFIX = ".json"


def check_no_annotations(document: Mapping[str, Any], uri: str) -> None:
    """Check that a JSON file is not one of annotations.

    Raises:
        SourceError: if it is one; with a command that writes a table of its images, if it is a local file.
    """
    if not all(isinstance(document.get(name), list) for name in _LISTS):
        return
    raise SourceError(
        f"A source in JSON must be of STAC. Received: {storage.shown(uri)} with {', '.join(_LISTS)}, as in COCO and "
        "iNaturalist. Write a table with the file_name of each image and the name of its category; images of several "
        f"categories have no single class{_command(uri)}."
    )


def _command(uri: str) -> str:
    """Return a command that writes the table of a local file beside it, and the parameters for that."""
    if storage.is_remote(uri) or not uri.endswith(_SUFFIX):
        return ""
    target = f"{uri.removesuffix(_SUFFIX)}-labels.csv"
    source, written = (json.dumps(path, ensure_ascii=False) for path in (uri, target))
    program = (
        f"import json, pandas; d = json.load(open({source}, encoding='utf-8')); "
        "i, a, c = (pandas.DataFrame(d[k]) for k in ('images', 'annotations', 'categories')); "
        "t = a[['image_id', 'category_id']].drop_duplicates().drop_duplicates('image_id', keep=False); "
        "t = t.merge(i[['id', 'file_name']], left_on='image_id', right_on='id'); "
        "t = t.merge(c[['id', 'name']], left_on='category_id', right_on='id'); "
        f"t[['file_name', 'name']].to_csv({written}, index=False)"
    )
    columns = argument("columns", {"image": "file_name", "label": "name"})
    return f", and are left out by: python -c {shlex.quote(program)} then give {argument('source', target)} {columns}"

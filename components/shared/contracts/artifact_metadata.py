"""Lists in the metadata of artifacts, which KFP changes: a list arrives as `{"list": [...]}` on a cluster.

https://github.com/kubeflow/pipelines/blob/2.17.0/backend/src/v2/metadata/converter.go
"""

import json
from collections.abc import Iterable


def write_uris(uris: Iterable[str]) -> str:
    """Write addresses as one text."""
    return json.dumps(list(uris))


def read_uris(text: str) -> tuple[str, ...]:
    """Read addresses that `write_uris` wrote; an empty text has none."""
    return tuple(json.loads(text)) if text else ()

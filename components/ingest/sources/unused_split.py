"""Warning of predefined splits in a source that no parameter asks for."""

import logging
from collections.abc import Iterable

from tilepipe.components.ingest.config import IngestConfig
from tilepipe.components.ingest.parameter_names import argument

logger = logging.getLogger("tilepipe.ingest")

SPLIT_COLUMNS = ("split", "subset", "partition", "ml-aoi:split")
"""Usual names of columns and properties with predefined splits, in lower case."""


def check_unused_split(columns: Iterable[str], config: IngestConfig) -> None:
    """Warn if a table has a column of splits that no parameter names."""
    unused = [name for name in columns if name.strip().lower() in SPLIT_COLUMNS]
    if unused and ignores_stated_splits(config):
        warn_of_unused_split(unused[0])


def ignores_stated_splits(config: IngestConfig) -> bool:
    """Return True if tiles are split, and no parameter names the splits of the source."""
    return config.needs_labels and not config.split_property and not config.split_files


def warn_of_unused_split(name: str) -> None:
    """Warn that a column or property seems to state splits, and is not used."""
    logger.warning(
        "%s of the source is not used; if it states the splits, set %s", name, argument("split_property", name)
    )

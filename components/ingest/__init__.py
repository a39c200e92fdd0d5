"""Turn a source of labelled tiles into the tile table."""

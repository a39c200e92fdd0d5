"""Sources of labelled tiles: detection, listing and description."""

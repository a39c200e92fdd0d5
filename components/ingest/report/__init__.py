"""The ingest report: what was found, selected, split and left out."""

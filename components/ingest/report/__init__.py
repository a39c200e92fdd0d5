"""The ingest report: tiles found, selected, split and dropped."""

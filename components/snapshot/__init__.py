"""Choose the time as of which a run reads its source."""

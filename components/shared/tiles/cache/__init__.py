"""Cache of fetched tiles for resumed and recurring runs."""

"""Cache of fetched tiles, which an interrupted or recurring run does not fetch again."""

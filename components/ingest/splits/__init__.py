"""Division of the tiles into train, val and test."""

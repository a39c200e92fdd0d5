"""Scenes: their bands, metadata, grid and pixels."""

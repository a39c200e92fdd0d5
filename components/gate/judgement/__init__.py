"""Floors, comparison of two models on the same tiles, and the verdict."""

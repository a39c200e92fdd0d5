"""Prediction of the classes of tiles, and the collection of all parts in one table."""

"""Prediction of the classes of tiles."""

"""Comparison of predictions with the training data."""

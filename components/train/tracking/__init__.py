"""Experiment tracking with MLflow and Weights & Biases."""

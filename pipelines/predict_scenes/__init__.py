"""Classify scenes with a trained model."""

"""Outputs of a prediction: class map, confidence, STAC item and preview."""

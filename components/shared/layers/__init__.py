"""Layers of a Keras model: those of nested models too, and with a faster batch normalization."""

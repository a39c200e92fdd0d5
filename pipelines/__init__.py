"""Wiring of the steps into pipelines, and everything that submits or runs them."""

"""Train a classifier, and track it."""

"""Exact per-band statistics."""

"""Rank the candidates of a sweep, and compare them on a page."""

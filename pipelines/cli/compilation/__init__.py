"""Compiled pipelines and the documentation generated from them."""

"""Decode tiles once, and write them as a few large shards."""

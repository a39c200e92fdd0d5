"""Synthetic sample data, with which tilepipe can be tried without a download (`tilepipe sample`)."""

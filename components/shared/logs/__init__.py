"""Logs: their format, credentials in them, progress, and those of pods."""

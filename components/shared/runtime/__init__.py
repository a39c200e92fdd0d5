"""Execution of a step: configuration, logs, progress, tracking, cluster."""

"""Execution of a step: configuration, cluster, processors, database and threads."""

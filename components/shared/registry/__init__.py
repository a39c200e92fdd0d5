"""Versions of classifiers in MLflow's model registry: their tags, their aliases and their bundles."""

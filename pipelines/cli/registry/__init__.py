"""Commands of the model registry: models, promote and rollback."""

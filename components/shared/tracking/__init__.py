"""MLflow: connection, runs, runs of earlier attempts and logged models."""

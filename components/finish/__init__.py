"""Set the final status of the MLflow run, regardless of how the pipeline run ended."""

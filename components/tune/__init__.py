"""Train the candidates of a sweep."""

"""Choose the candidates of a sweep."""

"""`tilepipe doctor`: checks of a cluster before a run."""

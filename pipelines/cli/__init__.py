"""The `tilepipe` command line."""

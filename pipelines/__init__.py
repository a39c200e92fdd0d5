"""Pipelines that connect the steps, and the command line that compiles and runs them."""

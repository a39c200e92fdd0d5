"""Code that runs inside the containers: one package per step, and `shared` for several steps."""

"""Train, evaluate and track a tile classifier: a handful of parameters, for a first run."""

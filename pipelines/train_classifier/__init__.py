"""Train, evaluate and track a tile classifier: all parameters."""

"""Train, evaluate and track a tile classifier: training streams its shards from where they were packed."""

"""Input pipeline: shards, shuffling, batches, augmentation."""

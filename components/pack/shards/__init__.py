"""Writing of shards and of the files beside them."""

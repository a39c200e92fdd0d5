"""Reading and decoding of single tiles."""

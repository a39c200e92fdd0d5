"""TFRecord files: their records, and the layout of the pixels in them."""

"""TIFF files: their headers, further pages and compressed images."""

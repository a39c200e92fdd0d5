"""The page with the training curves."""

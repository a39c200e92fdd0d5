"""Classification figures computed during training."""

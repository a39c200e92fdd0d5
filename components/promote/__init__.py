"""Move the alias `champion` to another version, or back."""

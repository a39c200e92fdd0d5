"""Fix the moment of the source that a run reads."""

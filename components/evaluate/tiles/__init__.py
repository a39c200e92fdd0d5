"""Single tiles in an evaluation: facts about them, variants, and pictures."""

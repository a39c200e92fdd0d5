"""Files that one step writes and another reads."""

"""Close the run's books, however it ended."""

"""Train the winner of a sweep on all but the test tiles."""

"""Classification of whole scenes: a window at a time, with a class map as the result."""

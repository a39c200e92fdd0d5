"""Compare candidates of a classifier, and evaluate the best one."""

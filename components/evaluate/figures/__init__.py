"""Figures of an evaluation: of splits, classes and groups, with intervals; and the speed of the model."""

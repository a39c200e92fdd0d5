"""Losses, optimizers, schedules and the learning-rate finder."""

"""Train a classifier, and track it."""

from tilepipe.components.train.component import train_model

__all__ = ["train_model"]

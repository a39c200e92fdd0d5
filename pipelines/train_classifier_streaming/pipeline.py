"""The wiring of `train_classifier_streaming`: `train_classifier`, whose training reads its shards as it needs them."""

import functools
import inspect
from types import SimpleNamespace

from kfp import dsl

from tilepipe.pipelines.train_classifier.pipeline import train_classifier, wire


@dsl.pipeline(
    name="train-classifier-streaming",
    display_name="Train a tile classifier (streaming its shards)",
    description="Train, evaluate and track a classifier of more labelled image tiles than the training pod has room "
    "for.",
)
@functools.wraps(train_classifier.pipeline_func)  # KFP reads the parameters and their descriptions from there
def train_classifier_streaming(*values: object) -> None:
    """Make the tasks."""
    names = inspect.signature(train_classifier.pipeline_func).parameters
    wire(SimpleNamespace(**dict(zip(names, values, strict=True))), streams=True)

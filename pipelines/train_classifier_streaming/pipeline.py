"""The wiring of `train_classifier_streaming`: `train_classifier`, whose training reads its shards as it needs them."""

import functools

from kfp import dsl

from tilepipe.pipelines.train_classifier.pipeline import PipelineArguments, train_classifier, wire


@dsl.pipeline(
    name="train-classifier-streaming",
    display_name="Train a tile classifier (streaming its shards)",
    description="Train, evaluate and track a classifier of more labelled image tiles than the training pod has room "
    "for.",
)
@functools.wraps(train_classifier.pipeline_func)  # KFP reads the parameters and their descriptions from there
def train_classifier_streaming(*values: object) -> None:
    """Create the tasks."""
    wire(PipelineArguments(*values), streams=True)  # type: ignore[arg-type] # KFP passes every parameter, in order

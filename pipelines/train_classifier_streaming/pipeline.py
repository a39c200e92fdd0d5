"""The wiring of `train_classifier_streaming`: `train_classifier`, whose training reads its shards as it needs them."""

import functools
import inspect
from types import SimpleNamespace

from kfp import dsl

from tilepipe.pipelines.train_classifier.pipeline import train_classifier, wire

_SAME = train_classifier.pipeline_func
_ABOUT = "Train, evaluate and track a classifier of more labelled image tiles than the training pod has room for.\n"


# The same parameters with the same descriptions: KFP reads both from here.
@functools.partial(functools.update_wrapper, wrapped=_SAME, assigned=("__annotations__",))
def train_classifier_streaming(*values: object) -> None:
    """Make the tasks."""
    wire(SimpleNamespace(**dict(zip(inspect.signature(_SAME).parameters, values, strict=True))), streams=True)


train_classifier_streaming.__doc__ = _ABOUT + str(_SAME.__doc__).partition("\n")[2]
train_classifier_streaming = dsl.pipeline(
    name="train-classifier-streaming", display_name="Train a tile classifier (streaming its shards)"
)(train_classifier_streaming)

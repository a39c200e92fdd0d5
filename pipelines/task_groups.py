"""Outputs of loops, and conditions around tasks, also where a pipeline fixes what they would depend on."""

import contextlib
from contextlib import AbstractContextManager

from kfp import dsl
from kfp.dsl.pipeline_channel import PipelineArtifactChannel, PipelineChannel
from kfp.dsl.tasks_group import TasksGroupType


def of_all_parts(pack: dsl.PipelineTask, name: str) -> PipelineChannel:
    """Return an artifact of all parts, as a list also if there is no loop over them."""
    output = pack.outputs[name]
    if pack.parent_task_group.group_type == TasksGroupType.FOR_LOOP:
        return dsl.Collected(output)
    return PipelineArtifactChannel(output.name, output.channel_type, output.task_name, is_artifact_list=True)


def condition(enabled: bool, name: str) -> AbstractContextManager[object]:
    """Return a group of tasks that run if a parameter is true; no group for a constant, which KFP refuses."""
    if isinstance(enabled, bool):
        return contextlib.nullcontext()
    return dsl.If(enabled == True, name=name)  # noqa: E712 - KFP compiles this

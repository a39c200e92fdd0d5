"""README of each pipeline with its parameters and graph, generated from the compiled YAML."""

import json

from tilepipe.pipelines.cli.compilation.compiled_pipeline import CompiledPipeline, Parameter

_EXAMPLES = {"model_uri": "model.tar.gz", "tune_space": """'{"train_learning_rate": [0.001, 0.01]}'"""}
"""Values of required parameters whose form is checked, as typed in a shell."""


def page(pipeline: CompiledPipeline) -> str:
    """Format the page as Markdown, with the graph as a Mermaid diagram."""
    rows = "\n".join(_row(parameter) for parameter in pipeline.parameters.values())
    required = " ".join(
        f"{parameter.name}={_EXAMPLES.get(parameter.name, '...')}"
        for parameter in pipeline.parameters.values()
        if parameter.required
    )
    finish = "; `finish` always runs, even after a failure" if _has_finish(pipeline) else ""
    return f"""<!-- Written by `make pipelines`; edit the steps' config.py or the docstring in pipeline.py. -->

# {pipeline.display_name}

{pipeline.description}

```sh
tilepipe run {pipeline.name} {required}
```

## Graph

Arrows are artifacts and values{finish}.

```mermaid
{graph(pipeline)}
```

## Parameters

Kubeflow's run form shows them in this order, by name, type and default.

| name | type | default | description |
| --- | --- | --- | --- |
{rows}
"""


def graph(pipeline: CompiledPipeline) -> str:
    """Format the tasks and their dependencies as Mermaid source."""
    steps = {task.name: task.step for task in pipeline.tasks}
    lines = ["graph LR"]
    for task in sorted(pipeline.tasks, key=lambda task: task.name):
        lines += [f"  {steps[producer]} --> {task.step}" for producer in sorted(task.needs) if producer in steps]
    last = {t.step for t in pipeline.tasks} - {steps[n] for t in pipeline.tasks for n in t.needs if n in steps}
    if _has_finish(pipeline):
        lines += [f"  {step} -.-> finish" for step in sorted(last - {"finish"})]
    elif len(lines) == 1:
        lines += [f"  {step}" for step in sorted(last)]
    return "\n".join(lines)


def _has_finish(pipeline: CompiledPipeline) -> bool:
    return any(task.step == "finish" for task in pipeline.tasks)


def _row(parameter: Parameter) -> str:
    default = "required" if parameter.required else f"`{json.dumps(parameter.default)}`"
    kind = parameter.type.removeprefix("NUMBER_").lower()
    return f"| `{parameter.name}` | {kind} | {default} | {parameter.description.replace('|', chr(92) + '|')} |"

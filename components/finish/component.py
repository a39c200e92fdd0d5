"""KFP component of `finish`, the exit handler."""

from kfp import dsl

from tilepipe.components.shared import images


@dsl.component(base_image=images.DATA, install_kfp_package=False)
def finish_run(
    status: dsl.PipelineTaskFinalStatus,
    experiment: str = "tilepipe",
) -> None:
    """Close the MLflow run with the right status, and name the first task that failed and why.

    Args:
        status: Final status of the run, which KFP fills in.
        experiment: MLflow experiment for a failure before training opened a run.
    """
    from tilepipe.components.finish.config import FinishConfig
    from tilepipe.components.finish.finish import finish
    from tilepipe.components.shared.runtime.step import step

    with step("finish"):
        finish(FinishConfig.from_arguments(locals()), status.state)

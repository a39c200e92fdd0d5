"""KFP component of `promote`."""

from kfp import dsl

from tilepipe.components.shared import images


@dsl.component(base_image=images.TRAIN, install_kfp_package=False)
def promote_model(
    history: dsl.Output[dsl.Markdown],
    name: str,
    version: str = "challenger",
    override: bool = False,
    reason: str = "",
) -> None:
    """Make a registered version the champion, if the gate accepted it or a person overrides the gate.

    Args:
        history: Champions of the model, latest first (Markdown).
        name: Name of the model in the registry.
        version: Version of the model: its number or an alias.
        override: Promote regardless of the gate's verdict; needs a reason.
        reason: Reason for the history; required to override the gate.
    """
    from pathlib import Path

    from tilepipe.components.promote.config import PromoteConfig
    from tilepipe.components.promote.history_table import write_history
    from tilepipe.components.promote.promote import promote
    from tilepipe.components.shared.runtime.step import step

    with step("promote"):
        config = PromoteConfig.from_arguments(locals())
        promote(config)
        write_history(config.name, Path(history.path))

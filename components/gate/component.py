"""KFP component of `gate`."""

from kfp import dsl

from tilepipe.components.shared import images


@dsl.component(base_image=images.TRAIN, install_kfp_package=False)
def gate_model(
    verdict: dsl.Output[dsl.Artifact],
    page: dsl.Output[dsl.HTML],
    name: str,
    version: str = "challenger",
    floors: dict = {},
    options: dict = {},
) -> str:
    """Judge a registered version: floors, and a comparison with the champion on the version's own test tiles.

    Args:
        verdict: Verdict, reasons and figures (JSON).
        page: The same, as a self-contained page (HTML).
        name: Name of the model in the registry.
        version: Version of the model: its number or an alias.
        floors: Smallest accepted value of figures on the test tiles: {"accuracy": 0.9, "recall[Forest]": 0.8, "f1[*]":
            0.5}.
        options: Rarely changed settings of the gate: {"max_loss": 0.02}, {"min_tiles": 100} and others.

    Returns:
        Number of the version that was judged.
    """
    from pathlib import Path

    from tilepipe.components.gate.config import GateConfig
    from tilepipe.components.gate.gate import Outputs, gate
    from tilepipe.components.shared.runtime.step import step

    with step("gate"):
        config = GateConfig.from_arguments(locals())
        verdict.uri, page.uri = verdict.uri + ".json", page.uri + ".html"
        found = gate(config, Outputs(Path(verdict.path), Path(page.path)))
        verdict.metadata.update(outcome=found.outcome, reason=found.verdict.reason[:2000])
    return str(found.version.version)

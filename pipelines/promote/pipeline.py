"""The wiring of `promote`."""

from kfp import dsl

from tilepipe.components.gate.component import gate_model
from tilepipe.components.promote.component import promote_model
from tilepipe.pipelines import settings


@dsl.pipeline(name="promote", display_name="Promote a registered model")
def promote(
    model_name: str,
    gate_floors: dict = {},
    gate_options: dict = {},
    model_version: str = "challenger",
    promote_override: bool = False,
    promote_reason: str = "",
    storage_secret_name: str = settings.STORAGE_SECRET,
    tracking_secret_name: str = settings.TRACKING_SECRET,
) -> None:
    """Judge a registered version, and make it the champion if the gate accepts it or a person overrides the gate.

    Args:
        model_name: Name of the model in the registry.
        gate_floors: Smallest accepted value of figures on the test tiles: {"accuracy": 0.9, "recall[Forest]": 0.8,
            "f1[*]": 0.5}.
        gate_options: Rarely changed settings of the gate: {"max_loss": 0.02}, {"min_tiles": 100} and others.
        model_version: Version of the model: its number or an alias.
        promote_override: Promote regardless of the gate's verdict; needs a reason.
        promote_reason: Reason for the history; required to override the gate.
        storage_secret_name: Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for the test tiles' bucket; may be
            absent.
        tracking_secret_name: Secret with MLFLOW_TRACKING_USERNAME and _PASSWORD, or _TOKEN; may be absent.
    """
    gate = gate_model(name=model_name, version=model_version, floors=gate_floors, options=gate_options)
    gate.set_caching_options(enable_caching=False)
    settings.configure(gate, cpu="4", memory="2Gi", timeout_seconds=4 * 3600, retries=1)
    settings.use_tracking(gate, tracking_secret_name)
    settings.use_storage(gate, storage_secret_name)

    promotion = promote_model(
        name=model_name, version=gate.outputs["Output"], override=promote_override, reason=promote_reason
    )
    promotion.set_caching_options(enable_caching=False)
    settings.configure(promotion, cpu="2", memory="2Gi", timeout_seconds=1800, retries=1)
    settings.use_tracking(promotion, tracking_secret_name)
    settings.use_storage(promotion, storage_secret_name)

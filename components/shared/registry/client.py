"""Client of the model registry."""

from typing import TYPE_CHECKING

from tilepipe.components.shared.errors import TrackingError
from tilepipe.components.shared.tracking import tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient


def registry_client() -> "MlflowClient":
    """Return a client of the registry at `MLFLOW_TRACKING_URI`.

    Raises:
        TrackingError: the variable is not set.
    """
    if not tracking.is_configured():
        raise TrackingError(
            "A model registry is needed. Received: no MLFLOW_TRACKING_URI. Set it to the address of MLflow."
        )
    return tracking.client()

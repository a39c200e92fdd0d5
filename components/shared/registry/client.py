"""Client of the model registry."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tilepipe.components.shared.errors import TrackingError
from tilepipe.components.shared.tracking import tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


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


def all_pages(search: Callable[..., Any], query: str | None = None) -> list[Any]:
    """Collect the results of a search of MLflow's client."""
    page = search(query)
    found = list(page)
    while page.token:
        page = search(query, page_token=page.token)
        found += page
    return found


def versions_of(client: "MlflowClient", name: str) -> list["ModelVersion"]:
    """Return all versions of a registered model, as MLflow describes them."""
    quote = '"' if "'" in name else "'"  # MLflow has no escape for either
    return all_pages(client.search_model_versions, f"name = {quote}{name}{quote}")


def set_despite_others(write: Callable[[], None]) -> None:
    """Set a tag or an alias, also where another process sets it for the first time at the same moment.

    MLflow looks for a tag or an alias before it writes it. Of two writers that both find none, one violates a unique
    constraint of the database; when it repeats the call, it finds what the other one has written.
    """
    from mlflow.exceptions import MlflowException

    try:
        write()
    except MlflowException as error:
        if error.error_code != "BAD_REQUEST":
            raise
        write()

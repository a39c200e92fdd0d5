"""A registry with versions."""

import pytest

from tests.support.minio_server import minio_server  # noqa: F401 - a fixture
from tests.support.mlflow_server import mlflow_server  # noqa: F401 - a fixture
from tests.support.registry import NAME, register_version
from tilepipe.components.shared.registry.version_tags import GATE, GATE_CHAMPION, GATE_REASON
from tilepipe.components.shared.tracking import tracking


@pytest.fixture
def client(mlflow_store):
    """Client of a real MLflow store that `MLFLOW_TRACKING_URI` names."""
    return tracking.client()


@pytest.fixture
def version(client, tmp_path):
    """Function that registers a version that the gate accepted against a champion."""

    def register(champion="none", verdict="accepted", **options) -> int:
        tags = {GATE: verdict, GATE_REASON: "All is well.", GATE_CHAMPION: str(champion)} if verdict else {}
        return register_version(client, tmp_path, tags=tags | options.pop("tags", {}), **options)

    return register


@pytest.fixture
def champion(client):
    """Function that returns the version with the alias `champion`."""
    return lambda: int(client.get_model_version_by_alias(NAME, "champion").version)

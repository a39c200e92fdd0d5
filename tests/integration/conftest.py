"""The environment of a pod, on this machine: the packages of an image, an object store, a tracking server."""

import pytest

from tests.support.image_environments import image_environment, uv
from tests.support.minio_server import minio_server  # noqa: F401 - a fixture
from tests.support.mlflow_server import mlflow_server  # noqa: F401 - a fixture
from tests.support.postgres_server import postgres_server  # noqa: F401 - a fixture


@pytest.fixture(scope="session")
def image_environments():
    """Environments with exactly the packages of `images/data` and `images/train`."""
    found = uv()
    if found is None:
        pytest.skip("uv is neither on the PATH nor in build/uv (run `make setup`)")
    return {image: image_environment(image, found) for image in ("data", "train")}

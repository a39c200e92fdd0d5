"""Names of the images that the compiled pipelines run in."""

import os

from tilepipe.components.shared.version import VERSION

REGISTRY = os.environ.get("TILEPIPE_IMAGE_REGISTRY", "ghcr.io/tilepipe")
"""Registry of the images; set when compiling (`tilepipe compile --registry`)."""

TAG = os.environ.get("TILEPIPE_IMAGE_TAG", VERSION)
"""Immutable, since KFP's cache identifies an image only by its name."""


def image(name: str) -> str:
    """Return the full name of one of tilepipe's images, such as `data` or `train`."""
    return f"{REGISTRY}/{name}:{TAG}"


DATA = image("data")
TRAIN = image("train")

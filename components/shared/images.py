"""Names of the images that the compiled pipelines run in."""

import os

from tilepipe.components.shared.version import VERSION

REGISTRY = os.environ.get("TILEPIPE_IMAGE_REGISTRY", "ghcr.io/tilepipe")
"""Where the images are; set when compiling (`tilepipe compile --registry`)."""

TAG = os.environ.get("TILEPIPE_IMAGE_TAG", VERSION)
"""Immutable, since KFP's cache knows an image by its name alone."""


def image(name: str) -> str:
    """Full name of one of tilepipe's images, such as `data` or `train`."""
    return f"{REGISTRY}/{name}:{TAG}"


DATA = image("data")
TRAIN = image("train")

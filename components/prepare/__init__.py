"""Build the model that training starts from."""

from tilepipe.components.prepare.component import prepare_model

__all__ = ["prepare_model"]

"""How good the model is, on tiles that it never learned from."""

from tilepipe.components.evaluate.component import evaluate_model

__all__ = ["evaluate_model"]

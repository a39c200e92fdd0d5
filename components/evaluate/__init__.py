"""How good the model is, on tiles that it never learned from."""

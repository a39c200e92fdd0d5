"""Build the model that training starts from."""

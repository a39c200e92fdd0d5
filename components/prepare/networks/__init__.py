"""Network architectures and the layers before and after them."""

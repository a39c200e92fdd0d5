"""What at least two steps use: one concept a module, without kfp and without Keras."""

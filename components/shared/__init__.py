"""Code that at least two steps use: one concept per module, without kfp and without Keras."""

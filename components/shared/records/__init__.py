"""TFRecord files and their tf.train.Example payloads."""

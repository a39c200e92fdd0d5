"""Encoding and decoding of TFRecord files and their `tf.train.Example` payloads."""

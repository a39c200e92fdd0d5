"""Exported models: found by address, and run with onnxruntime."""

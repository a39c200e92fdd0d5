"""Export of a trained model: ONNX, STAC item, model card and bundle."""

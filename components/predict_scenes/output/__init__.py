"""What a prediction writes: class map, confidence, STAC item and preview."""

"""Pretrained weights: reading, verification, adaptation to other bands."""

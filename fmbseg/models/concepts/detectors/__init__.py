"""Detectors of transformers that are asked by text, with the image's part of the work done once."""

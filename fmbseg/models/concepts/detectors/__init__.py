"""Text-prompted detectors of transformers, with the image's part of the work done once."""

"""Measurements of quality, speed and memory, each a script that prints one JSON object last."""

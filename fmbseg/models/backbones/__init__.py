"""Frozen vision encoders whose patch features are mapped to the text space."""

"""Frozen vision encoders whose patch features are brought to the text space."""

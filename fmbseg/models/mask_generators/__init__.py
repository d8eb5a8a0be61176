"""Class-agnostic mask models."""

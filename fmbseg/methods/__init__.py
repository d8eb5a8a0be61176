"""Methods: whatever segments, made from a spec (see :func:`load_method`)."""

from fmbseg.methods.load import load_method
from fmbseg.methods.pool import ModelPool

__all__ = ["ModelPool", "load_method"]

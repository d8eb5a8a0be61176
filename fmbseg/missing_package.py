"""Packages that only some uses need: imported when first needed, or an error says how to install them."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class MissingPackageError(ImportError):
    """A package that a use of fmbseg needs is not installed; the message says how to install it."""


def require(package: str, extra: str | None, use: str) -> Any:
    """Import a package that is not among the required ones.

    Args:
        package: its name for ``import``.
        extra: of fmbseg that installs it; ``None`` where none does.
        use: what needs it, for the message.

    Returns:
        The module.

    Raises:
        MissingPackageError: it is not installed.

    Example:
        >>> require("no_such_package", "onnx", "exporting to ONNX")
        Traceback (most recent call last):
        ...
        fmbseg.missing_package.MissingPackageError: exporting to ONNX needs no_such_package: \
pip install 'fmbseg[onnx]'
    """
    try:
        return import_module(package)
    except ImportError as error:
        remedy = f"'fmbseg[{extra}]'" if extra else package
        raise MissingPackageError(f"{use} needs {package}: pip install {remedy}", name=package) from error

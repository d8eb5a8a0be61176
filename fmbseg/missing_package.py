"""Optional packages: imported when first needed; an error says how to install a missing one."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class MissingPackageError(ImportError):
    """An optional package is needed but not installed; the message says how to install it."""


def require(package: str, extra: str | None, use: str) -> Any:
    """Import an optional package.

    Args:
        package: its name for ``import``.
        extra: the extra of fmbseg that installs it; ``None`` if there is none.
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

"""What can go wrong on the way from a name to a model: three errors, for files, weights and specs."""

from __future__ import annotations


class AssetUnavailableError(RuntimeError):
    """Files that are needed are not here and cannot be fetched; the message says what to do."""


class WeightsError(ValueError):
    """Weights (or the files that say how to use them) are unreadable, not finite or those of another model.

    The message names the file and says what to do.
    """


class SpecError(ValueError):
    """A spec, or an option of a model, is invalid; the message says what is valid."""


def first_line(error: BaseException) -> str:
    """An error's first line, without the advice that some libraries put below; its type if it is empty."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

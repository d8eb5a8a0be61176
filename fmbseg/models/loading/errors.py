"""What goes wrong on the way from a name to a model: three errors, for files, for weights and for specs."""

from __future__ import annotations


class AssetUnavailableError(RuntimeError):
    """Files that are needed are neither here nor can they be fetched; the message says what to do."""


class WeightsError(ValueError):
    """Weights, or what says how they are used, that cannot be read, are not finite or are of another model.

    The message names the file and says what to do.
    """


class SpecError(ValueError):
    """A spec, or an option of a model, that cannot be meant; the message says what can."""


def first_line(error: BaseException) -> str:
    """What an error says first, without the advice that some libraries put below; its type if nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

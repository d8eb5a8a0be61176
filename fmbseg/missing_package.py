"""The error for a package that is not installed and that only some uses need."""


class MissingPackageError(ImportError):
    """A package that a use of fmbseg needs is not installed; the message says how to install it.

    Example:
        >>> issubclass(MissingPackageError, ImportError)
        True
    """

"""The error for images."""


class ImageError(ValueError):
    """An image cannot be used; the message names it and says what to do."""

"""The one error for images."""


class ImageError(ValueError):
    """An image that cannot be used; the message names it and says what to do."""

"""Reads a report as a browser would, and collects what it would load."""

from html.parser import HTMLParser
from pathlib import Path

_VOID = {"meta", "img", "line", "polyline", "br", "link", "input"}


class Page(HTMLParser):
    """Text, pictures and resources of a page.

    Attributes:
        images: attributes of each picture.
        resources: every address that the page would load.
        text: all text that is shown.
        open: elements that were not closed.
    """

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.images: list[dict[str, str | None]] = []
        self.resources: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()

    @classmethod
    def read(cls, path: Path) -> "Page":
        return cls(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "img":
            self.images.append(attributes)
        for name in ("src", "srcset", "data", "poster", "background", "href", "xlink:href"):
            address = attributes.get(name)
            if address is not None and tag != "a":
                self.resources.append(address)
        assert tag not in ("script", "iframe", "object", "embed", "base"), tag
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            assert "url(" not in data
            assert "@import" not in data
        else:
            self.text += data


def assert_self_contained(page: Page) -> None:
    """Every resource is in the page itself."""
    assert page.open == []
    assert page.resources
    assert all(address.startswith("data:image/") for address in page.resources)

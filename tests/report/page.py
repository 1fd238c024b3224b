"""A page as the tests see it."""

import re
from html.parser import HTMLParser

_LOADING = {"src", "srcset", "data", "poster", "action", "formaction", "background", "manifest", "ping"}


class Page(HTMLParser):
    """What the tests ask of a page: tags, text outside of scripts, tables, and what is in scripts and styles."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.text = ""
        self.cells: list[list[str]] = []
        self._inside = ""
        self._in_cell = False
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._inside = tag
            (self.scripts if tag == "script" else self.styles).append("")
        elif tag == "tr":
            self.cells.append([])
        elif tag in ("td", "th") and self.cells:
            self.cells[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag):
        self._in_cell &= tag not in ("td", "th")
        if tag == self._inside:
            self._inside = ""

    def handle_data(self, data):
        if self._inside:
            (self.scripts if self._inside == "script" else self.styles)[-1] += data
            return
        self.text += data
        if self._in_cell:
            self.cells[-1][-1] += data

    def ids(self) -> list[str]:
        return [attrs["id"] for _, attrs in self.tags if attrs.get("id")]

    def row(self, name: str, n_columns: int, holding: str = "") -> list[str]:
        rows = [[cell.strip() for cell in row] for row in self.cells]
        found = [r for r in rows if len(r) == n_columns and r[0] == name and (not holding or holding in r)]
        assert len(found) == 1, (name, found)
        return found[0]


def assert_nothing_is_fetched(page: Page) -> None:
    for tag, attrs in page.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base"), tag
        for name, value in attrs.items():
            if name in _LOADING or name.endswith(":href"):
                assert tag == "img", (tag, name)
                assert str(value).startswith("data:image/"), (tag, name, value)
            if name == "href":
                assert str(value).startswith("#")
            if name == "style":
                assert "url(" not in str(value)
    for style in page.styles:
        assert not re.search(r"@import|url\(", style)
    policy = [
        attrs["content"] for _, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy"
    ]
    assert len(policy) == 1
    assert "default-src 'none'" in policy[0]
    assert "http" not in policy[0]

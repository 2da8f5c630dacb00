"""The page Handbok: what a migration lead does, in Swedish, as ``docs/handbok.md`` has it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fastapi import HTTPException
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup, escape

from waitlist.access import Need
from waitlist.paths import PROJECT
from waitlist_airflow.web.pages import Pages

FILE: Final = PROJECT / "docs" / "handbok.md"

pages: Final = Pages()


@dataclass(frozen=True, slots=True)
class Handbook:
    """The page."""

    text: str
    """Markdown."""

    @property
    def html(self) -> Markup:
        """The text as HTML; a tag that is written in it is shown, not obeyed."""
        return to_html(self.text)


@pages.page("/handbok", api="/api/handbok", need=Need.ANY_RIGHT, template="handbook.html", nav="Handbok")
def handbook() -> Handbook:
    """Read the handbook."""
    return read_handbook(FILE)


def read_handbook(file: Path) -> Handbook:
    """Read the handbook from a file.

    Raises:
        HTTPException: 404: this installation has no such file.
    """
    try:
        return Handbook(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise HTTPException(404, "unknown") from None


def to_html(text: str) -> Markup:
    """Return Markdown as the dashboard shows it: tables that can be scrolled, headings with an address of their own."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    markdown.add_render_rule("table_open", _table_open)
    markdown.add_render_rule("table_close", _table_close)
    tokens = markdown.parse(text)
    title = ""
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            title = tokens[place + 1].content
            token.attrSet("id", _address(title))
        elif token.type == "table_open":
            token.meta["title"] = title
        elif token.type == "inline":
            token.children = list(_without_links_elsewhere(token.children or []))
    for label, cell in _cells(tokens):
        cell.attrSet("data-label", label)
    return Markup(markdown.renderer.render(tokens, markdown.options, {}))  # noqa: S704 - the renderer escapes


def _address(title: str) -> str:
    """Return a heading's address, as GitHub makes it."""
    return re.sub(r"[^\w-]", "", title.lower().replace(" ", "-"))


def _without_links_elsewhere(children: Sequence[Token]) -> Iterator[Token]:
    """Return the parts of a line without links that leave the page: the other documents are not served."""
    inside = False
    for token in children:
        if token.type == "link_open" and not str(token.attrs["href"]).startswith("#"):
            inside = True
        elif token.type == "link_close" and inside:
            inside = False
        else:
            yield token


def _cells(tokens: Sequence[Token]) -> Iterator[tuple[str, Token]]:
    """Return each cell of a table's body with the text of its column's header."""
    headers: list[str] = []
    column = 0
    for place, token in enumerate(tokens):
        if token.type == "table_open":
            headers = []
        elif token.type == "th_open":
            token.attrSet("scope", "col")
            headers.append(tokens[place + 1].content)
        elif token.type == "tr_open":
            column = 0
        elif token.type == "td_open":
            yield headers[column], token
            column += 1


def _table_open(_renderer: Any, tokens: Sequence[Token], place: int, *_: Any) -> str:  # noqa: ANN401 - as the library has it
    label = escape(tokens[place].meta["title"])
    return f'<div class="scroll" role="region" aria-label="Tabell: {label}" tabindex="0">\n<table class="stacked">\n'


def _table_close(*_: Any) -> str:  # noqa: ANN401 - as the library has it
    return "</table>\n</div>\n"

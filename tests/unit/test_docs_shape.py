"""Every page reads on a laptop: short lines, short paragraphs, tables whose cells hold a few words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.docs_pages import FENCE, PAGES, ROOT

LINE, PARAGRAPH, CELL = 120, 120, 160
"""Most characters of a line, most words of a paragraph, most characters of a cell."""
DOCS = ROOT / "docs"
GENERATED = DOCS / "reference"
# Made from the types, a line for each field: it is searched, not read.
OWN_PAGES = [
    ROOT / "README.md",
    *(page for page in PAGES if page.is_relative_to(DOCS) and not page.is_relative_to(GENERATED)),
]
FIGURES = re.compile(r"^<!-- figures: .*?^<!-- end of figures -->$", re.MULTILINE | re.DOTALL)
"""What tests.bench.page writes into a page."""
LIST_ITEM = re.compile(r"\s*(?:[-*+]|\d+\.) ")
LONE_URL = re.compile(r"\s*(?:[-*+] )?\S*://\S*")
CELL_BORDER = re.compile(r"(?<!\\)\|")


def written(text: str) -> str:
    """The page without its code and without figures that a program writes; no line changes its number."""
    for made in (FENCE, FIGURES):
        text = made.sub(lambda match: "\n" * match[0].count("\n"), text)
    return text


def is_row(line: str) -> bool:
    return line.lstrip().startswith("|")


def long_lines(text: str) -> list[str]:
    """Lines of prose above the limit; one that is nothing but a URL cannot be broken."""
    lines = enumerate(written(text).splitlines(), 1)
    prose = ((number, line) for number, line in lines if not is_row(line) and not LONE_URL.fullmatch(line))
    return [f"line {number}, {len(line)} characters: {line}" for number, line in prose if len(line) > LINE]


def paragraphs(text: str) -> Iterator[str]:
    """Runs of prose lines. An item of a list is a paragraph of its own."""
    lines: list[str] = []
    for line in [*written(text).splitlines(), ""]:
        ends = not line.strip() or is_row(line) or line.startswith("#")
        if (ends or LIST_ITEM.match(line)) and lines:
            yield " ".join(lines)
            lines = []
        if not ends:
            lines.append(line.strip())


def long_paragraphs(text: str) -> list[str]:
    return [f"{len(each.split())} words: {each}" for each in paragraphs(text) if len(each.split()) > PARAGRAPH]


def long_cells(text: str) -> list[str]:
    rows = [line for line in written(text).splitlines() if is_row(line)]
    cells = [cell.strip() for row in rows for cell in CELL_BORDER.split(row)]
    return [f"{len(cell)} characters: {cell}" for cell in cells if len(cell) > CELL]


@pytest.mark.parametrize("page", OWN_PAGES, ids=lambda page: str(page.relative_to(ROOT)))
class TestEveryPage:
    def test_a_line_of_prose_fits_on_a_laptop(self, page: Path) -> None:
        assert long_lines(page.read_text()) == []

    def test_a_paragraph_is_read_in_one_go(self, page: Path) -> None:
        assert long_paragraphs(page.read_text()) == []

    def test_a_cell_of_a_table_holds_a_few_words(self, page: Path) -> None:
        assert long_cells(page.read_text()) == []


def test_what_is_too_long_is_found() -> None:
    long = "words " * 30
    assert len(long_lines(f"{long}\n\n```sh\n{long}\n```\n\n| {long} |\n\nhttps://example.com/{'x' * 200}\n")) == 1
    assert len(long_paragraphs(f"{long * 5}\n\n{long * 3}\n- {long * 3}\n- {long * 3}\n\n| {long * 5} |\n")) == 1
    assert len(long_cells(f"{long}\n\n| short | {long} |\n")) == 1


def test_figures_that_a_program_writes_are_not_asked_to_be_short() -> None:
    long = "words " * 150
    page = f"<!-- figures: idle -->\n{long}\n\n| {long} |\n<!-- end of figures -->\n"
    assert (long_lines(page), long_paragraphs(page), long_cells(page)) == ([], [], [])

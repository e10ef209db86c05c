"""What people read: the pages, the commands and manifests in them, and their links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [*(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")), *(ROOT / "docs").rglob("*.md")]
)
PROGRAMS = ("make", "kubectl", "lowbit")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Command:
    """One command line, and where it is written."""

    page: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}: {self.text}"


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return [text for found, text in FENCE.findall(page.read_text()) if found == language]


def commands() -> Iterator[Command]:
    """Every line of every sh block, every span of code that is a command, and those in the examples' comments."""
    for page in PAGES:
        name = str(page.relative_to(ROOT))
        for block in blocks(page, "sh"):
            yield from (Command(name, line) for line in block.splitlines() if line.strip())
        prose = FENCE.sub("", page.read_text())
        yield from (Command(name, span) for span in SPAN.findall(prose) if is_command(span))
    for example in sorted((ROOT / "examples").glob("*.yaml")):
        for line in example.read_text().splitlines():
            text = line.removeprefix("#").strip()
            if line.startswith("#") and is_command(text):
                yield Command(f"examples/{example.name}", text)


def is_command(text: str) -> bool:
    """Whether a span of code is a program with its arguments, not the program's name."""
    return text.split(" ", maxsplit=1)[0] in PROGRAMS and " " in text


def prose_links(page: Path) -> list[str]:
    """Where the page points, but for other hosts."""
    text = SPAN.sub("", FENCE.sub("", page.read_text()))
    return [target for target in LINK.findall(text) if "://" not in target]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = HEADING.findall(FENCE.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}

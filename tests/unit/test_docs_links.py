"""No link points nowhere, and every page can be reached."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.docs_pages import PAGES, ROOT, anchors, prose_links

GENERATED = ROOT / "docs" / "reference"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_link_points_nowhere(page: Path) -> None:
    for target in prose_links(page):
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{page.name} points to {target}"
        assert found.is_relative_to(ROOT), f"{page.name} points out of the repository: {target}"
        if anchor:
            assert anchor in anchors(found), f"{found.name} has no heading for #{anchor}"


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        page = page / "README.md" if page.is_dir() else page
        if page in reached or page.suffix != ".md" or not page.exists():
            continue
        reached.add(page)
        waiting += [(page.parent / target.partition("#")[0]).resolve() for target in prose_links(page)]
    assert [str(page.relative_to(ROOT)) for page in PAGES if page not in reached] == []

"""The showcase in a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lowbit.api.showcase import Showcase, ShowcaseAnswer
from lowbit.worker import showcase
from lowbit.worker.suites import Section


def sections(asked: Showcase | None, columns: Mapping[str, Sequence[ShowcaseAnswer]]) -> list[Section]:
    """Answers side by side: a column for each model, by its title. None without a showcase."""
    if asked is None:
        return []
    rows = showcase.rows(asked, columns)
    return [Section(title="Showcase", text=showcase.ABOUT, header=showcase.header(columns), rows=rows)]

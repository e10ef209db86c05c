"""Whoever is woken up finds every reason that Lowbit can write in the runbook."""

from __future__ import annotations

import re
from typing import get_args

from lowbit.api.status import Stage, Verdict
from tests.unit.docs_pages import FENCE, ROOT
from tests.unit.docs_reasons import reasons

RUNBOOK = ROOT / "docs" / "runbook.md"
OF_KUBERNETES = {"BackoffLimitExceeded", "PodFailurePolicy", "DeadlineExceeded"}
"""Reasons of a Job's own condition, which are passed on."""
WRITTEN = set(reasons()) | OF_KUBERNETES | set(get_args(Stage)) | set(get_args(Verdict))


def sections() -> dict[str, str]:
    """What stands under each heading of the third level, up to the next heading of any level."""
    parts = re.split(r"^(#+) (.+)$", FENCE.sub("", RUNBOOK.read_text()), flags=re.MULTILINE)
    return {
        title: text for level, title, text in zip(parts[1::3], parts[2::3], parts[3::3], strict=True) if level == "###"
    }


def named(title: str) -> list[str]:
    return re.findall(r"`([A-Z][A-Za-z]+)`", title)


def explained() -> set[str]:
    """The reasons in the runbook's headings."""
    return {reason for title in sections() for reason in named(title)}


def test_every_reason_that_lowbit_can_write_is_in_the_runbook() -> None:
    missing = {reason: reasons().get(reason, "") for reason in WRITTEN - explained()}
    assert missing == {}, "write into docs/runbook.md what it means and what to do"


def test_every_heading_of_a_reason_says_what_it_means() -> None:
    assert [title for title, text in sections().items() if named(title) and not text.strip()] == []


def test_the_runbook_explains_no_reason_that_is_gone() -> None:
    assert explained() - WRITTEN == set()


def test_the_reasons_are_really_read_out_of_the_code() -> None:
    assert {"GateFailed", "OutOfMemory", "DigestMismatch", "ClaimLost", "RollingOut", "HeadsNotDivisible"} <= set(
        reasons()
    )

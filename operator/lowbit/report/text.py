"""The report as plain text of 80 columns: for terminals, mails and logs."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from lowbit.report import quantlog, words
from lowbit.report.model import MeasuredRow, Report

WIDTH = 80
ANY_WIDTH = 1_000_000
WORST = 10
"""Samples that are shown; the page has more of them."""
EXCERPT = 600
"""Characters of a prompt or an answer."""
WHOLE = ("Interval", "Value (bounds)", "Model")
"""Columns whose cells are not wrapped."""
NOTHING = set(f"0 /{words.NONE}")
"""Characters of a cell that says nothing."""
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""A model's answer must not steer the terminal."""


def render(report: Report) -> str:
    """The text; lines have at most WIDTH columns."""
    out = io.StringIO()
    console = Console(
        file=out, width=WIDTH, color_system=None, markup=False, highlight=False, emoji=False, legacy_windows=False,
        force_terminal=False,
    )  # fmt: skip
    page = Page(console)
    verdict(page, report)
    measurements(page, report)
    samples(page, report)
    made(page, report)
    repeat(page, report)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


class Page:
    """Writes headings, paragraphs and tables."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def heading(self, title: str) -> None:
        """A heading with an empty line before it."""
        self._console.print()
        self._console.print(plain(title.upper()))

    def say(self, *lines: str, indent: int = 0) -> None:
        """Paragraphs, wrapped."""
        for line in lines:
            if line:
                self._console.print(Padding(plain(line), (0, 0, 0, indent)))

    def table(self, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """A table, whose cells are wrapped; nothing without rows."""
        found = list(rows)
        if found:
            self._console.print(made_table(header, found))

    def table_or_lines(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table; a line for each row where its words do not fit side by side."""
        options = self._console.options.update(width=ANY_WIDTH)
        if rows and self._console.measure(made_table(header, rows), options=options).minimum > WIDTH:
            self.say(*(row_line(header, row) for row in rows))
        else:
            self.table(header, rows)


def made_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """The table as rich draws it."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1), expand=False)
    for name in header:
        table.add_column(plain(name), overflow="fold", no_wrap=name in WHOLE)
    for row in rows:
        table.add_row(*map(plain, row))
    return table


def row_line(header: Sequence[str], row: Sequence[str]) -> str:
    """fraud: fine 12 / 9, fraud 801 / 889. Cells of zeros and dashes are left out."""
    told = [f"{name} {cell}" for name, cell in zip(header[1:], row[1:], strict=False) if not set(cell) <= NOTHING]
    return f"{row[0]}: {', '.join(told)}"


def plain(text: str) -> Text:
    """The text without control characters."""
    return Text(CONTROL.sub("\ufffd", text.replace("\r\n", "\n")))


def verdict(page: Page, report: Report) -> None:
    """Verdict, why, grades, what to do next, and the thresholds."""
    subject = report.subject
    page.say(words.title(report), f"{words.verdict(report).upper()}: {words.why(report)}")
    if report.remedy:
        page.say(f"Next: {report.remedy.name}. {report.remedy.why}. {report.remedy.how}")
    against = f" against {subject.baseline}" if subject.baseline else ""
    page.say(f"{subject.evaluation}{against}", words.again(report))
    if report.grades:
        page.heading("Grades")
        page.table(
            ("Dimension", "Grade", "Because"),
            [(each.dimension, words.GRADES[each.grade], each.reason) for each in report.grades],
        )
    if report.judgement:
        page.heading("Thresholds")
        page.say(words.judged(report))
        rows = []
        for check in report.judgement.record.checks:
            where = f"{check.suite} {check.slice}" if check.slice else check.suite
            told = f"{check.value} ({check.lower} to {check.upper})"
            rows.append((check.verdict, check.metric, where, words.asked(check), told))
        page.table(("Verdict", "Metric", "Suite", "Asked", "Value (bounds)"), rows)


def measurements(page: Page, report: Report) -> None:
    """Every number with its interval; classes and slices."""
    page.heading("Measurements")
    page.say(f"Bounds hold one by one with {words.confidence(report)} confidence; ± is a standard error.")
    page.table(
        ("Suite", "Metric", "Value", "Interval", "Original's", "Over"),
        [(row.suite, *cells(row)) for row in words.whole(report)],
    )
    if report.classes:
        page.heading("Classes")
        rows = []
        for row in report.classes:
            for who, counts in (("orig.", row.original), ("cand.", row.candidate)):
                shown = [words.number(rate) for rate in words.rates(counts).values()]
                four = (counts.true_positive, counts.false_positive, counts.false_negative, counts.true_negative)
                rows.append((f"{row.suite} {row.name}", who, *map(str, four), *shown))
        page.table(("Class", "Model", "TP", "FP", "FN", "TN", "Prec.", "Recall", "F1", "Spec."), rows)
    for title, found in words.sliced(report):
        page.heading(title)
        page.table(
            ("Slice", "Metric", "Value", "Interval", "Original's", "Over"),
            [(row.slice or "", *cells(row)) for row in found],
        )


def cells(row: MeasuredRow) -> tuple[str, ...]:
    """Cells of one measurement."""
    more = f", {row.not_finite} not finite" if row.not_finite else ""
    values = (words.number(row.value), words.interval(row), words.number(row.original))
    return (row.title, *values, words.counted(row) + more)


def samples(page: Page, report: Report) -> None:
    """The worst samples."""
    if not report.samples:
        return
    page.heading("Samples")
    for count in report.sample_counts:
        page.say(f"{count.suite}: {count.all} compared, {count.flipped} flipped.")
    for sample in report.samples[:WORST]:
        flipped = ", flipped" if sample.flipped else ""
        note = f", {sample.note}" if sample.note else ""
        page.say("", f"{sample.suite} {sample.id}{flipped}, score {words.number(sample.score, 3)}{note}")
        parts = {"Prompt": sample.prompt, "Expected": sample.expected, "Original": sample.original,
                 "Candidate": sample.candidate}  # fmt: skip
        for name, text in parts.items():
            if text:
                page.say(f"{name}: {excerpt(text)}", indent=2)
    if len(report.samples) > WORST:
        page.say(f"{len(report.samples) - WORST} more are in report.html.")


def excerpt(text: str) -> str:
    """The beginning of a long text."""
    return text if len(text) <= EXCERPT else f"{text[:EXCERPT]} … ({len(text) - EXCERPT} more characters)"


def made(page: Page, report: Report) -> None:
    """Suites' own tables, modules, size, speed, time and cost."""
    for section in report.sections:
        page.heading(section.title)
        page.say(section.text)
        page.table_or_lines(section.header, section.rows)
    if report.modules:
        page.heading("Quantization by kind of module")
        rows = [group_cells(one) for one in quantlog.by_kind(report.modules)]
        page.table(("Kind", "Modules", "Mean loss", "Largest", "Where", "Time"), rows)
    page.heading("Size")
    page.say(words.sizes(report))
    speed(page, report)


def group_cells(group: quantlog.Group) -> tuple[str, ...]:
    """Cells of the modules of one kind."""
    worst, seconds = group.worst, words.NONE if group.seconds is None else f"{group.seconds:.3g} s"
    largest, where = (
        (words.number(worst.loss, 3), f"layer {worst.layer}" if worst.layer is not None else worst.name)
        if worst
        else (words.NONE, "")
    )
    return (group.name, str(group.count), words.number(group.mean_loss, 3), largest, where, seconds)


def speed(page: Page, report: Report) -> None:
    """Speed, time and cost."""
    page.heading("Speed")
    page.table(
        ("At once", "Tokens/s", "Original's", "Ratio", "First token, s", "Original's"),
        [
            (str(row.concurrency), f"{row.tokens_per_second:.1f}", words.number(row.original_tokens_per_second, 5),
             words.ratio(row.tokens_per_second, row.original_tokens_per_second), words.number(row.first_token_seconds),
             words.number(row.original_first_token_seconds))
            for row in report.speed
        ],
    )  # fmt: skip
    page.heading("Time and cost")
    page.table(
        ("Stage", "Time", "GPUs", "Device"),
        [(each.what, words.duration(each.seconds), str(each.gpus), each.device) for each in report.spent],
    )
    for name, value in words.cost_lines(report):
        page.say(f"{name}: {value}")


def repeat(page: Page, report: Report) -> None:
    """Calibration, and everything that is needed to repeat it."""
    read = report.calibration
    if read:
        page.heading("Calibration")
        page.say(f"{read.samples} samples of at most {read.max_tokens} tokens, seed {read.seed}.")
        page.table(
            ("Source", "Share", "Evaluated on", "Broken", "Digest"),
            [
                (each.name, f"{each.share:.0%}", str(each.removed), str(each.broken), each.digest)
                for each in read.sources
            ],
        )
    page.heading("To repeat it")
    page.say(*report.notes)
    for fact in report.repeat:
        page.say(f"{fact.name}: {fact.value}" + (f" ({fact.detail})" if fact.detail else ""))
    page.say("", *report.methods)
    page.say(f"Measured {report.subject.measured}")

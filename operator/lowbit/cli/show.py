"""Plans and findings as tables for people."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lowbit.api.quantity import human
from lowbit.api.refusal import cut
from lowbit.api.status import ComparedModel, GateCheck
from lowbit.cli.calibration import CalibrationReport
from lowbit.cli.plan import PlannedJob, PlannedRevision, PlanReport
from lowbit.cli.power import show_power


def show_problems(console: Console, title: str, rows: Iterable[tuple[str, str, str]]) -> None:
    """Path, what is wrong, what to write instead."""
    console.print(f"[bold red]{escape(title)}[/]")
    for path, message, action in rows:
        console.print(f"  [bold]{escape(path)}[/]: {escape(message)}", soft_wrap=True, highlight=False)
        if action:
            console.print(f"    {escape(action)}", soft_wrap=True, highlight=False)


def show_plan(console: Console, report: PlanReport) -> None:
    """Revisions, Jobs, GPUs, and what was not checked."""
    console.print(f"[bold green]QuantizedModel {escape(report.name)}[/]: what would be made")
    console.print(revisions(report))
    console.print(jobs(report.jobs))
    show_power(console, report.sizes)
    console.print(f"Serving: {report.serving}. GPUs at most at once: {report.gpus_at_once}.", highlight=False)
    for note in report.notes:
        console.print(note, highlight=False)
    console.print("Not checked here:")
    for item in report.not_checked:
        console.print(f"  - {item}", highlight=False)


SHOWN, SHOWN_CHARACTERS = 3, 120
"""Drawn texts that are shown, and how much of each."""


def show_calibration(console: Console, report: CalibrationReport) -> None:
    """What each file was taken for, notes, and some of the drawn texts."""
    table = Table(title="Calibration texts", title_justify="left")
    for column in ("Dataset", "File", "Taken for", "Because of"):
        table.add_column(column, overflow="fold")
    for column in ("Lines", "Broken", "Short", "Duplicates", "Drawn"):
        table.add_column(column, justify="right")
    for row in report.rows:
        counts = (row.lines, row.broken, row.short, row.duplicates, row.drawn)
        table.add_row(*map(escape, (row.dataset, row.file, row.kind, row.why)), *map(str, counts))
    console.print(table)
    for note in report.notes:
        console.print(note, highlight=False, markup=False)
    for text in report.texts()[:SHOWN]:
        words = " ".join(text["text"].split())
        console.print(f"  {text['source']}: {cut(words, SHOWN_CHARACTERS)}", highlight=False, markup=False)


def revisions(report: PlanReport) -> Table:
    table = Table(title="Revisions, in order of preference", title_justify="left")
    sized = ("Artifact", "Ratio", "Weights per device", "Cache per 1000 tokens", "Memory per device")
    for column in ("Revision", "Recipe", "Made", *sized):
        table.add_column(column)
    for revision in report.revisions:
        table.add_row(f"{report.name}-<hash>", revision.recipe, revision.when, *sizes(revision))
    return table


def sizes(revision: PlannedRevision) -> tuple[str, str, str, str, str]:
    if revision.size is None:
        return ("?", "?", "?", "?", "?")
    size = revision.size
    return (
        f"about {human(size.artifact)}",
        f"{revision.ratio}",
        human(size.device.weights),
        human(size.cache),
        human(size.device.whole),
    )


def jobs(planned: Iterable[PlannedJob]) -> Table:
    table = Table(title="Jobs, if the store holds nothing yet", title_justify="left")
    for column in ("Stage", "Job", "Made", "GPUs", "Memory limit", "Deadline", "Image"):
        table.add_column(column, overflow="fold")
    for job in planned:
        hours = f"{job.deadline_seconds / 3600:g} h"
        table.add_row(job.stage, job.name, job.when, str(job.gpus), job.memory_limit or "none", hours, job.image)
    return table


def show_comparison(console: Console, name: str, rows: Iterable[ComparedModel]) -> None:
    """The original and each candidate: size, verdict with what decided, speed."""
    table = Table(title=f"QuantizedModel {escape(name)}: all candidates", title_justify="left")
    for column in ("", "Size", "Ratio", "Verdict", "Decided by", "Bounds", "Tokens/s"):
        table.add_column(column, overflow="fold")
    for row in rows:
        size = human(row.bytes) if row.bytes is not None else "?"
        verdict = row.verdict or (f"not measured: {row.failure}" if row.failure else "")
        speed = ", ".join(f"{one.tokens_per_second} ({one.concurrency} at once)" for one in row.speed)
        table.add_row(escape(row.name), size, row.ratio or "?", verdict, *decided(row.decided_by), speed)
    console.print(table)


def decided(check: GateCheck | None) -> tuple[str, str]:
    """The threshold that decided, and the bounds that were held against it."""
    if check is None:
        return "", ""
    signs = {"Maximum": "at most", "Minimum": "at least", "NonInferiority": "loss at most"}
    where = f" of {check.slice}" if check.slice else ""
    asked = f"{check.suite}: {check.metric}{where} {check.value}, {signs[check.bound]} {check.threshold}"
    return escape(asked), f"{check.lower} to {check.upper}"

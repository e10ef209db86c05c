"""The command `lowbit` (and `kubectl lowbit`)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO, get_args

import yaml
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape

from lowbit.api.calibration import Calibration, DatasetFormat
from lowbit.api.facts import ModelFacts
from lowbit.api.platform import Platform
from lowbit.api.quantizedmodel import QuantizedModel, QuantizedModelStatus
from lowbit.api.refusal import RefusalError
from lowbit.api.status import Measurement
from lowbit.cli import report
from lowbit.cli.calibration import Wanted, look
from lowbit.cli.facts import UnreadableConfigError, read_facts
from lowbit.cli.locate import NoReportError
from lowbit.cli.plan import plan
from lowbit.cli.power import UnreadablePilotError, read_pilot, show_power
from lowbit.cli.show import show_calibration, show_comparison, show_plan, show_problems
from lowbit.gate.counts import check_counts
from lowbit.gate.sizes import sizes
from lowbit.report import json_schema
from lowbit.schema import crd
from lowbit.schema import reference as crd_reference
from lowbit.schema.check import WRITTEN_BY_PEOPLE, check_manifest

PROBLEMS = 1
UNREADABLE = 2
PILOT = "an earlier evaluation (result.json of the store): its variation is assumed instead of a default"
INTERRUPTED = 130


class UnreadableError(Exception):
    """A file that the command was given cannot be used."""


def main(arguments: Sequence[str] | None = None, out: TextIO | None = None) -> int:
    """Run one command. Returns the exit code: 0 fine, 1 problems in a manifest, 2 a file cannot be read or
    written."""
    parsed = parser().parse_args(arguments)
    file = out or sys.stdout
    console = Console(file=file, width=None if file.isatty() else 160)
    try:
        code: int = parsed.run(parsed, console)
    except (UnreadableError, UnreadableConfigError, UnreadablePilotError, NoReportError) as error:
        console.print(f"lowbit: {error}", style="red", soft_wrap=True, markup=False, highlight=False)
        return UNREADABLE
    except OSError as error:  # of a file that is to be written: those that are read have errors of their own
        if error.filename is None:
            raise
        console.print(f"lowbit: {error.filename}: {error.strerror}", style="red", soft_wrap=True, markup=False)
        return UNREADABLE
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="lowbit",
        description="Plans of quantized models and their calibration texts, without a cluster, and their reports.",
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    planned = commands.add_parser("plan", help="say what is wrong with a manifest, or what would be made of it")
    planned.add_argument("file", type=Path, metavar="FILE", help="YAML with one or more manifests; - is standard input")
    planned.add_argument("--config", type=Path, help="the model's config.json, or its folder: checks the model too")
    planned.add_argument("--platform", type=Path, help="the platform's settings, as the operator gets them (YAML)")
    planned.set_defaults(run=run_plan)
    add_calibration(commands.add_parser("calibration", help="show the texts that a quantizer would be calibrated on"))
    powers = commands.add_parser("power", help="say how many samples the gates of a manifest need")
    powers.add_argument("file", type=Path, metavar="FILE", help="YAML with one or more manifests; - is standard input")
    powers.add_argument("--pilot", type=Path, metavar="REPORT", help=PILOT)
    powers.set_defaults(run=run_power)
    shown = commands.add_parser("show", help="print the comparison of all candidates as a table")
    shown.add_argument("file", type=Path, metavar="FILE", help="kubectl get quantizedmodel NAME -o yaml; - is stdin")
    shown.set_defaults(run=run_show)
    report.add_to(commands)
    for name, about, pages in (
        ("crds", "write the CustomResourceDefinitions", crd.files),
        ("reference", "write the reference in Markdown", reference_files),
    ):
        written = commands.add_parser(name, help=about)
        written.add_argument("folder", type=Path)
        written.set_defaults(run=run_write, pages=pages)
        if pages is crd.files:
            allows = "the platform's settings (YAML): what it allows goes into the rules"
            written.add_argument("--platform", type=Path, help=allows)
    return top


def add_calibration(shown: argparse.ArgumentParser) -> None:
    """The arguments of `lowbit calibration`."""
    shown.add_argument("files", nargs="+", metavar="FILE", help="data file, folder of them, or NAME=FILE: a dataset")
    shown.add_argument("--weight", action="append", default=[], help="share of a file, once for each; else equal ones")
    default = Calibration.model_fields
    shown.add_argument("--samples", type=int, default=default["samples"].default, help="how many texts are drawn")
    shown.add_argument("--seed", type=int, default=default["seed"].default, help="seed of the drawing")
    shown.add_argument("--format", choices=get_args(DatasetFormat), default="Auto", help="kind of every file")
    shown.add_argument("--column", help="field or column that holds the text, the messages or the prompt")
    shown.add_argument("--output", type=Path, help="write the drawn texts there: JSON lines of text, source and file")
    shown.set_defaults(run=run_calibration)


def run_calibration(parsed: argparse.Namespace, console: Console) -> int:
    """Show what the files are taken for, and what is drawn from them."""
    wanted = Wanted(parsed.files, parsed.weight, parsed.samples, parsed.seed, parsed.format, parsed.column)
    try:
        report = look(wanted)
    except OSError as error:
        raise UnreadableError(f"{error.filename} cannot be read: {error.strerror}") from error
    except RefusalError as error:
        show_problems(console, "The calibration set would be refused", [problem_row(error)])
        return PROBLEMS
    show_calibration(console, report)
    if report.problem is not None:
        show_problems(console, "Nothing is drawn", [problem_row(report.problem)])
        return PROBLEMS
    if parsed.output is not None:
        report.write(parsed.output)
        console.print(f"{len(report.drawn)} texts are in {parsed.output}.", highlight=False, markup=False)
    return 0


def problem_row(error: RefusalError) -> tuple[str, str, str]:
    """A refusal as a row of problems."""
    return error.refusal.reason, error.refusal.message, error.refusal.action


def reference_files() -> Mapping[str, str]:
    """Pages of the kinds, and the schema of report.json."""
    return {**crd_reference.files(), **json_schema.files()}


def run_write(parsed: argparse.Namespace, console: Console) -> int:
    """Write generated files into a folder."""
    parsed.folder.mkdir(parents=True, exist_ok=True)
    platform = getattr(parsed, "platform", None)
    pages = parsed.pages(read_platform(platform)) if platform is not None else parsed.pages()
    for name, text in pages.items():
        (parsed.folder / name).write_text(text)
        console.print(str(parsed.folder / name), highlight=False)
    return 0


def run_plan(parsed: argparse.Namespace, console: Console) -> int:
    """Check and plan every manifest of a file."""
    facts = read_facts(parsed.config) if parsed.config else None
    platform = read_platform(parsed.platform)
    manifests = [one for one in documents(parsed.file) if one.get("kind") in WRITTEN_BY_PEOPLE]
    if not manifests:
        raise UnreadableError(f"{parsed.file} holds no {' and no '.join(WRITTEN_BY_PEOPLE)}: give a file that does")
    return max(plan_one(manifest, platform, facts, console) for manifest in manifests)


def run_show(parsed: argparse.Namespace, console: Console) -> int:
    """Print what every QuantizedModel of a file has compared."""
    listed = [item for one in documents(parsed.file) for item in one.get("items", [one])]
    models = [one for one in listed if isinstance(one, dict) and one.get("kind") == "QuantizedModel"]
    if not models:
        raise UnreadableError(f"{parsed.file} holds no QuantizedModel: write kubectl get quantizedmodel NAME -o yaml")
    for model in models:
        name = str(model.get("metadata", {}).get("name", ""))
        try:
            rows = QuantizedModelStatus.model_validate(model.get("status") or {}).comparison
        except ValidationError as error:
            raise UnreadableError(f"the status of {name} cannot be read: {error}") from error
        if rows:
            show_comparison(console, name, rows)
        else:
            nothing = f"QuantizedModel {name} has compared nothing yet: evaluation.compare: All asks for it"
            console.print(nothing, markup=False, highlight=False)
    return 0


def plan_one(manifest: Mapping[str, Any], platform: Platform, facts: ModelFacts | None, console: Console) -> int:
    """Check and plan one manifest."""
    checked = check_manifest(manifest, platform)
    title = f"{manifest['kind']} {checked.name}"
    if checked.body is None:
        show_problems(console, f"{title} would be refused", [(f.field, f.message, "") for f in checked.findings])
        return PROBLEMS
    if not isinstance(checked.body, QuantizedModel):
        console.print(f"[bold green]{title}[/] is fine: nothing is made of it by itself")
        return 0
    report = plan(checked.name, checked.body.spec, platform, facts)
    if report.problems:
        rows = [(problem.field, problem.message, problem.action) for problem in report.problems]
        show_problems(console, f"{title} does not fit its model", rows)
        return PROBLEMS
    show_plan(console, report)
    return 0


def run_power(parsed: argparse.Namespace, console: Console) -> int:
    """Compute what the gates of every QuantizedModel of a file need."""
    pilot = read_pilot(parsed.pilot) if parsed.pilot else []
    manifests = [one for one in documents(parsed.file) if one.get("kind") == "QuantizedModel"]
    if not manifests:
        raise UnreadableError(f"{parsed.file} holds no QuantizedModel: give a file that does")
    return max(power_of_one(manifest, pilot, console) for manifest in manifests)


def power_of_one(manifest: Mapping[str, Any], pilot: Sequence[Measurement], console: Console) -> int:
    """The tables of one manifest; a problem if its gates can pass nothing for want of samples."""
    checked = check_manifest(manifest, Platform())
    title = f"QuantizedModel {checked.name}"
    if not isinstance(checked.body, QuantizedModel):
        show_problems(console, f"{title} would be refused", [(f.field, f.message, "") for f in checked.findings])
        return PROBLEMS
    spec = checked.body.spec
    found, problems = sizes(spec, pilot), check_counts(spec)
    console.print(f"[bold]{escape(title)}[/]: samples that its gates need")
    show_power(console, found)
    if problems:
        show_problems(console, f"{title} can pass nothing", [(p.field, p.message, p.action) for p in problems])
    return PROBLEMS if problems or any(row.cannot_pass for row in found.rows) else 0


def documents(path: Path) -> list[dict[str, Any]]:
    """The YAML objects of a file; other documents are skipped."""
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text()
        return [document for document in yaml.safe_load_all(text) if isinstance(document, dict)]
    except OSError as error:
        raise UnreadableError(f"{path} cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise UnreadableError(f"{path} is no YAML: {error}") from error


def read_platform(path: Path | None) -> Platform:
    """The platform's settings, or the defaults."""
    if path is None:
        return Platform()
    try:
        return Platform.model_validate((documents(path) or [{}])[0])
    except ValidationError as error:
        raise UnreadableError(f"{path} holds no platform settings: {error}") from error


if __name__ == "__main__":
    sys.exit(main())

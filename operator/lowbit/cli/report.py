"""`lowbit report`: a report from the store or from a file, around the verdict of now."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import secrets
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal, get_args

from pydantic import ValidationError
from rich.console import Console

from lowbit.api.base import Digest
from lowbit.api.platform import Platform
from lowbit.cli import bucket
from lowbit.cli.locate import Located, NoReportError, locate
from lowbit.cli.through_job import fetch
from lowbit.desired.context import Context
from lowbit.desired.jobs.read_file import read_file_job
from lowbit.kube.client import Kube
from lowbit.kube.connect import NoCluster, configuration, context_namespace
from lowbit.kube.errors import KubeError
from lowbit.naming.store_keys import report_json_key, report_key
from lowbit.report import html, text, words
from lowbit.report.assess import with_verdict
from lowbit.report.model import Report
from lowbit.resolve.freeze import frozen_platform

Format = Literal["html", "json", "text"]
Say = Callable[[str], None]
ENDINGS: Final = (".json",)
"""How the name of a file ends that is a report; every other name is that of an object."""
RENDER: Final[Mapping[Format, Callable[[Report], str]]] = {
    "html": html.render,
    "json": lambda report: report.model_dump_json(by_alias=True, indent=1) + "\n",
    "text": text.render,
}


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command's arguments."""
    asked = commands.add_parser("report", help="show why a candidate has passed or failed")
    asked.add_argument("name", metavar="NAME|FILE", help="a QuantizedModel, a ModelRevision, or a report.json")
    asked.add_argument("-n", "--namespace", help="default: that of the kubeconfig's context")
    asked.add_argument("--format", choices=get_args(Format), help="default: by the ending of --output, else html")
    asked.add_argument("-o", "--output", type=Path, help="the file to write; - is standard output")
    asked.add_argument("--kubeconfig", help="default: $KUBECONFIG, else ~/.kube/config")
    asked.set_defaults(run=run)


def run(parsed: argparse.Namespace, console: Console) -> int:
    """Write the report. Raises NoReportError."""
    chosen: Format = parsed.format or _by_ending(parsed.output)
    say: Say = Console(file=sys.stderr).print
    if parsed.name.endswith(ENDINGS):
        path = Path(parsed.name)
        written, name = RENDER[chosen](from_file(path)), path.stem
    else:
        name = parsed.name
        try:
            written = asyncio.run(from_cluster(parsed, chosen, say))
        except (KubeError, NoCluster) as error:
            raise NoReportError(str(error)) from error
    target = parsed.output or (Path(f"{name}.html") if chosen == "html" else Path("-"))
    if str(target) == "-":
        console.file.write(written)
        return 0
    target.write_text(written, encoding="utf-8")
    console.print(f"{target} is written", highlight=False, markup=False)
    return 0


def _by_ending(output: Path | None) -> Format:
    endings: Mapping[str, Format] = {".json": "json", ".txt": "text"}
    return endings.get(output.suffix, "html") if output is not None else "html"


def from_file(path: Path) -> Report:
    """The report in a file. Raises NoReportError."""
    try:
        return parse(path.read_bytes(), str(path))
    except OSError as error:
        raise NoReportError(f"{path} cannot be read: {error.strerror}") from error


def parse(data: bytes, what: str) -> Report:
    """The report in report.json. Raises NoReportError."""
    try:
        return Report.model_validate_json(data)
    except ValidationError as error:
        raise NoReportError(f"{what} is no report.json that this Lowbit reads: {error}") from error


async def from_cluster(parsed: argparse.Namespace, chosen: Format, say: Say) -> str:
    """The report of an object, in a format. Raises NoReportError, KubeError, NoCluster."""
    namespace = parsed.namespace or context_namespace(parsed.kubeconfig)
    kube = Kube(await configuration(parsed.kubeconfig))
    try:
        found = await locate(kube, namespace, parsed.name)
        return await shown(kube, found, chosen, say)
    finally:
        await kube.close()


async def shown(kube: Kube, found: Located, chosen: Format, say: Say) -> str:
    """The report of a revision: its numbers from the store, its verdict from the cluster."""
    if found.json_digest is None:
        if chosen != "html":
            raise NoReportError(
                f"{found.evaluation} was measured by an older Lowbit, which wrote a page alone: take --format html"
            )
        return (await content(kube, found, report_key(found.evaluation), found.page_digest, say)).decode()
    key = report_json_key(found.evaluation)
    report = parse(await content(kube, found, key, found.json_digest, say), key)
    revision = found.revision
    if revision.status.verdict is not None:
        report = with_verdict(report, revision.status.verdict, revision.spec.gates)
    say(f"{found.name}: {words.verdict(report)}. {words.why(report)}")
    return RENDER[chosen](report)


async def content(kube: Kube, found: Located, key: str, digest: Digest | None, say: Say) -> bytes:
    """A file of the store, if it has the digest in the ModelEvaluation's status. Raises NoReportError."""
    if found.store.s3 is not None and bucket.has_credentials():
        data = await asyncio.to_thread(bucket.read, found.store.s3, found.namespace, key)
    else:
        spec = found.revision.spec
        context = Context(found.namespace, found.store, frozen_platform(spec, Platform()))
        name = f"{found.evaluation}-report-{secrets.token_hex(3)}"
        manifest = read_file_job(context, name, key, spec.images.operator, found.options)
        data = await fetch(kube, manifest, say)
    if (seen := "sha256:" + hashlib.sha256(data).hexdigest()) != digest:
        raise NoReportError(
            f"{key} in the store has the digest {seen}, and the ModelEvaluation says {digest}: the file is damaged, or "
            "somebody else has written to the store; find out who does"
        )
    return data

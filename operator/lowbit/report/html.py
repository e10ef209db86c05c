"""The report as one self-contained page: nothing is fetched, and no script runs but the one that searches samples."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from typing import Final

import jinja2

from lowbit.report import quantlog, words
from lowbit.report.model import Report

FILES: Final = resources.files(__package__)


def render(report: Report) -> str:
    """The page. Everything is escaped but plots, which Lowbit has drawn; the page's policy lets those run nothing."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    script = _file("search.js")
    return environment.from_string(_file("template.html")).render(
        report=report,
        words=words,
        style=_file("style.css"),
        script=script,
        policy=policy(script),
        depths=quantlog.by_depth(report.modules),
        kinds=quantlog.by_kind(report.modules),
        log=data_link(quantlog.quant_log(report.modules)) if report.modules else "",
    )


def policy(script: str) -> str:
    """The page's content security policy: inline styles (of the plots) and this one script."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'; "
        "form-action 'none'"
    )


def data_link(text: str) -> str:
    """A link that holds a CSV file itself."""
    return "data:text/csv;base64," + base64.b64encode(text.encode()).decode()


def _file(name: str) -> str:
    return FILES.joinpath(name).read_text(encoding="utf-8")

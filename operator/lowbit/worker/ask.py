"""ask: what serves answers the prompts of the showcase through the guard; the answers go beside those of before."""

from __future__ import annotations

import asyncio
import hashlib
import time
from html import escape
from pathlib import Path

from lowbit.api.documents import AskDocument, AskResult
from lowbit.api.engines import resolved_engine
from lowbit.api.paths import SECRETS_PATH
from lowbit.api.showcase import ServedShowcase, ShowcaseAnswer
from lowbit.naming.store_keys import result_key, showcase_key
from lowbit.worker import showcase
from lowbit.worker.engines import CLIENTS
from lowbit.worker.evaluate.stored import StoredResult
from lowbit.worker.progress import Progress
from lowbit.worker.refuse import RefusalError
from lowbit.worker.store import Store

STYLE = "body{font:15px sans-serif;margin:2em}td,th{border:1px solid #ccc;padding:.5em;vertical-align:top;"
STYLE += "white-space:pre-wrap;text-align:left}table{border-collapse:collapse}"


def run(document: AskDocument, store: Store, progress: Progress, secrets: Path = Path(SECRETS_PATH)) -> AskResult:
    """Run the stage. Raises EngineError where a request gets no answer: the Job is tried again."""
    progress.report(0.0, f"asking {document.revision}", force=True)
    served = asyncio.run(ask(document, read_key(document, secrets)))
    return AskResult(showcase=write(document, store, served))


def read_key(document: AskDocument, secrets: Path) -> str | None:
    """The API key from its file; None where clients need none. Raises RefusalError if it is missing or empty."""
    if document.api_key is None:
        return None
    name, _, key = document.api_key.partition("/")
    try:
        text = (secrets / name / key).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        text = ""
    if not text:
        raise RefusalError(
            "NoAPIKey", f"the Secret {name} has no key {key}, or nothing in it", f"add {key} to the Secret {name}"
        )
    return text


async def ask(document: AskDocument, token: str | None) -> list[ShowcaseAnswer]:
    """The answers of what serves."""
    connect = CLIENTS[resolved_engine(document.engine)[0].name]
    async with connect(document.served_name, document.url, time.monotonic, token=token) as client:
        return await showcase.ask_all(client, document.showcase)


def write(document: AskDocument, store: Store, served: list[ShowcaseAnswer]) -> ServedShowcase:
    """Store the page with all answers side by side."""
    before = answers_of(store, document.evaluation)
    columns = {"original": answers_of(store, document.baseline), "evaluated": before, "served": served}
    page = render(document, columns).encode()
    path = showcase_key(document.key)
    store.write(path, page)
    known = {each.name: each.text for each in before if not each.refused}
    return ServedShowcase(
        revision=document.revision, key=document.key, path=path,
        answered=sum(not each.refused for each in served), refused=sum(bool(each.refused) for each in served),
        same=sum(not each.refused and known.get(each.name) == each.text for each in served),
        digest="sha256:" + hashlib.sha256(page).hexdigest(),
    )  # fmt: skip


def answers_of(store: Store, evaluation: str | None) -> list[ShowcaseAnswer]:
    """What an evaluation has stored; none where it is missing or cannot be read: the page decides nothing."""
    data = store.read(result_key(evaluation)) if evaluation is not None else None
    try:
        return StoredResult.model_validate_json(data).showcase if data is not None else []
    except ValueError:
        return []


def render(document: AskDocument, columns: dict[str, list[ShowcaseAnswer]]) -> str:
    """One self-contained page."""
    title = f"Showcase of {escape(document.revision)}"
    lines = [showcase.header(columns), *showcase.rows(document.showcase, columns)]
    cells = ["".join(f"<td>{escape(cell)}</td>" for cell in line) for line in lines]
    table = "".join(f"<tr>{line}</tr>" for line in cells)
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{STYLE}</style>"
        f"<h1>{title}</h1><p>{escape(showcase.ABOUT)}</p><table>{table}</table></html>"
    )

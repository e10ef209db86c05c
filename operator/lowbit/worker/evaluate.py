"""evaluate: one model, measured in the engine beside this process, and compared with its baseline.

The original is measured once: its texts as token ids, and what it gave for every token, go into the store. A candidate
reads those very token ids, so that nothing but the model differs. result.json is written last; an evaluation that
has one is finished, and is never measured again.
"""

from __future__ import annotations

import asyncio
import hashlib
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path

import numpy as np

from lowbit import __version__
from lowbit.api.canonical import digest
from lowbit.api.documents import EvaluateDocument, EvaluateResult
from lowbit.api.enginelog import kernels_in
from lowbit.api.engines import place, resolved_engine
from lowbit.api.paths import ENGINE_LOG_PATH
from lowbit.api.status import EvaluationSummary, FidelitySummary, SpeedSummary
from lowbit.worker import decoding, fidelity, report, results, scoring, speed, texts
from lowbit.worker.engines import CLIENTS, ENGINE_URL, UNKNOWN_VERSION, EngineClient
from lowbit.worker.fidelity import SuiteSamples
from lowbit.worker.progress import Progress
from lowbit.worker.refuse import RefusalError
from lowbit.worker.scoring import Comparison
from lowbit.worker.store import Store

LOG_LIMIT = 4 * 1024 * 1024
"""Bytes of the engine's log that are read."""
READY_SHARE, READ_SHARE, SPEED_SHARE = 0.05, 0.75, 0.93
"""Where the parts of the work end, as fractions of the whole."""


@dataclass(frozen=True)
class Measured:
    """Everything that the engine told."""

    samples: list[SuiteSamples]
    """By suite, in the protocol's order."""
    generated: list[decoding.Generated]
    speed: list[SpeedSummary]
    engine_version: str
    max_model_len: int | None
    kernels: list[str] = field(default_factory=list)
    """Of quantized layers, as its log names them."""


@dataclass(frozen=True)
class Baseline:
    """The original's result and its every token."""

    result: results.StoredResult
    samples: list[SuiteSamples]


def run(document: EvaluateDocument, store: Store, progress: Progress) -> EvaluateResult:
    """The stage."""
    return asyncio.run(evaluate(document, store, progress))


async def evaluate(
    document: EvaluateDocument,
    store: Store,
    progress: Progress,
    *,
    url: str = ENGINE_URL,
    clock: Callable[[], float] = time.monotonic,
    engine_log: Path = Path(ENGINE_LOG_PATH),
) -> EvaluateResult:
    """Measure document.model, unless the store holds the result. Raises EngineError (the run is invalid), RefusalError."""
    done = await asyncio.to_thread(results.read_result, store, document.evaluation)
    if done is not None:
        return EvaluateResult(evaluation=done.evaluation, summary=done.summary, seconds=done.seconds, reused=True)
    begin = clock()
    protocol_key = digest("protocol", document.protocol)
    baseline = await asyncio.to_thread(load_baseline, document, store, protocol_key)
    connect = CLIENTS[resolved_engine(document.engine)[0].name]
    async with connect(document.served_name, url, clock) as client:
        await client.wait_ready(lambda what: progress.report(0.0, what))
        measured = await measure(document, store, client, baseline, progress)
        await client.check_same_process()
    measured = replace(measured, kernels=kernels_in(read_log(engine_log)))
    progress.report(0.97, "writing the results")
    return await asyncio.to_thread(
        write, document, store, protocol_key, baseline, measured, round(clock() - begin, 1)
    )  # fmt: skip


def read_log(path: Path) -> str:
    """The beginning of the engine's log, where it names its kernels; nothing where the engine writes none."""
    try:
        with path.open("rb") as log:
            return log.read(LOG_LIMIT).decode(errors="replace")
    except FileNotFoundError:
        return ""


def load_baseline(document: EvaluateDocument, store: Store, protocol_key: str) -> Baseline | None:
    """What the candidate is compared with; None where the original itself is measured."""
    if document.baseline is None:
        return None
    result = results.read_baseline(store, document, protocol_key)
    return Baseline(result, results.read_samples(store, document.baseline, document.protocol))


async def measure(
    document: EvaluateDocument,
    store: Store,
    client: EngineClient,
    baseline: Baseline | None,
    progress: Progress,
) -> Measured:
    """Ask the engine everything: the texts, a few answers, the speed."""
    version = await client.version()
    if baseline is not None:
        check_engine(document, baseline, version)
    longest = await client.max_model_len()
    # One token is generated with every text, so a text must leave room for it.
    room = longest - 1 if longest else None
    suites = [one.texts for one in baseline.samples] if baseline else None
    if suites is None:
        progress.report(0.0, "tokenizing the texts", force=True)
        suites = await tokenize(document, store, client, room)
    check_room(document, suites, room)
    samples = []
    for index, (suite, suite_texts) in enumerate(zip(document.protocol.suites, suites, strict=True)):
        step = (READ_SHARE - READY_SHARE) / len(suites)
        part = progress.part(READY_SHARE + index * step, READY_SHARE + (index + 1) * step)
        samples.append(await fidelity.measure(client, suite_texts, suite.top_logprobs, part))
    progress.report(READ_SHARE, "generating a few answers", force=True)
    prompt_tokens, output_tokens = decoding.lengths(room)
    prompts = decoding.prompts_of(suites[0], prompt_tokens)
    generated = await decoding.generate(client, prompts, output_tokens)
    every_text = [text for one in suites for text in one]
    fitting = speed.fit(document.protocol.speed, longest)
    speeds = await speed.measure(client, every_text, fitting, progress.part(READ_SHARE, SPEED_SHARE))
    return Measured(samples, generated, speeds, version, longest)


async def tokenize(
    document: EvaluateDocument, store: Store, client: EngineClient, room: int | None
) -> list[list[list[int]]]:
    """Token ids of every text of every suite, by the engine of the original."""
    suites = []
    for suite in document.protocol.suites:
        dataset = await asyncio.to_thread(store.dataset, suite.dataset)
        suites.append(await texts.tokenize_suite(client, suite, dataset, room))
    return suites


def check_engine(document: EvaluateDocument, baseline: Baseline, version: str) -> None:
    """Nothing but the model may differ, and a tag can have moved since the original was measured."""
    before = baseline.result.versions.get("engine", UNKNOWN_VERSION)
    if UNKNOWN_VERSION not in (before, version) and before != version:
        raise RefusalError(
            "EngineMoved",
            f"the baseline {document.baseline} was measured by version {before} of the engine, and {resolved_engine(document.engine)[1].image} "
            f"is version {version} now: their numbers cannot be compared",
            f"write {place(document.engine)}.image with a digest (name@sha256:...), so that both are measured anew by one engine",
        )


def check_room(document: EvaluateDocument, suites: list[list[list[int]]], room: int | None) -> None:
    """A candidate's engine must take the very texts that the original has read."""
    most = max(len(text) for suite in suites for text in suite)
    if room is not None and most > room:
        raise RefusalError(
            "TextsTooLong",
            f"the baseline {document.baseline} has read texts of {most} tokens, and this engine takes {room}",
            f"set the same {place(document.engine)}.maxModelLen for both, or a smaller maxTokens in the suite",
        )


def write(
    document: EvaluateDocument,
    store: Store,
    protocol_key: str,
    baseline: Baseline | None,
    measured: Measured,
    seconds: float,
) -> EvaluateResult:
    """Work out the summary, and put everything into the store: samples, report, and result.json last."""
    arrays: results.Arrays = {}
    comparisons: list[Comparison] = []
    summaries: list[FidelitySummary] = []
    for index, (suite, samples) in enumerate(zip(document.protocol.suites, measured.samples, strict=True)):
        arrays.update(results.pack(suite.name, samples))
        if baseline is None:
            summaries.append(fidelity.summarize_alone(suite.name, samples))
            continue
        original = baseline.samples[index]
        comparison = scoring.compare(original.lists, samples.lists, suite.top_logprobs)
        arrays.update(results.pack_comparison(suite.name, comparison))
        comparisons.append(comparison)
        summaries.append(fidelity.summarize(suite.name, original, samples, comparison))
    store.write(results.samples_key(document.evaluation), results.to_bytes(arrays))
    result = results.StoredResult(
        evaluation=document.evaluation,
        summary=EvaluationSummary(fidelity=summaries, speed=measured.speed, kernels=measured.kernels),
        seconds=seconds,
        model=document.model,
        baseline=document.baseline,
        protocol=document.protocol,
        protocol_key=protocol_key,
        engine=document.engine,
        versions=versions(measured.engine_version),
        max_model_len=measured.max_model_len,
        decoding=decoding.summarize(measured.generated, baseline.result.generated if baseline else []),
        generated=measured.generated,
    )
    lengths = [samples.lengths.tolist() for samples in measured.samples]
    before = baseline.result if baseline else None
    page = report.render(report.gather(document, store, result, before, comparisons, lengths))
    key = results.report_key(document.evaluation)
    store.write(key, page.encode())
    summary = result.summary.model_copy(
        update={"report_digest": "sha256:" + hashlib.sha256(page.encode()).hexdigest(), "report_path": key}
    )
    result = result.model_copy(update={"summary": summary})
    store.write(results.result_key(document.evaluation), result.model_dump_json(by_alias=True).encode())
    return EvaluateResult(evaluation=result.evaluation, summary=summary, seconds=seconds)


def versions(engine: str) -> dict[str, str]:
    """Of the engine and of everything here that a number depends on."""
    return {
        "engine": engine,
        "lowbit": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "aiohttp": metadata.version("aiohttp"),
    }

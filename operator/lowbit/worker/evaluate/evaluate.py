"""evaluate: one model, measured in the engine beside this process, and compared with its baseline.

A model's samples of a suite are stored under their own key. So only a new or changed suite is measured again, and an
original is measured once for all candidates. A candidate gets the same requests as its original, so that only the
model differs. result.json is written last; an evaluation that has one is finished, and never measured again.
"""

from __future__ import annotations

import asyncio
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from lowbit import __version__
from lowbit.api.documents import EvaluateDocument, EvaluateResult
from lowbit.api.enginelog import kernels_in
from lowbit.api.engines import field_path, resolved_engine
from lowbit.api.evaluation import ResolvedSuite, starts_of, suite_of
from lowbit.api.paths import ENGINE_LOG_PATH
from lowbit.api.status import EvaluationSummary, SpeedSummary
from lowbit.naming.canonical import digest
from lowbit.naming.store_keys import result_key
from lowbit.worker.engines import CLIENTS
from lowbit.worker.engines.base import ENGINE_URL, UNKNOWN_VERSION, EngineClient
from lowbit.worker.evaluate import decoding, results, speed, turns
from lowbit.worker.evaluate.log import read_log
from lowbit.worker.evaluate.stored import Asked, StoredResult, damaged, read_result
from lowbit.worker.progress import Progress
from lowbit.worker.refuse import RefusalError
from lowbit.worker.report import report
from lowbit.worker.store import Store
from lowbit.worker.suites import RUNNERS, AnyRunner, Ask, InterleavedRunner, SeparateRunner, Summary

READY_SHARE, READ_SHARE, SPEED_SHARE = 0.05, 0.75, 0.93
"""Ends of the parts of the work, as fractions of the whole."""


@dataclass(frozen=True)
class SuiteOf:
    """One suite of the protocol, with its runner."""

    suite: ResolvedSuite
    settings: Any
    runner: AnyRunner
    of: Mapping[str, Any]
    """What the model's samples depend on."""

    @property
    def key(self) -> str:
        """Key of the samples in the store."""
        return results.suite_key(self.of)


@dataclass(frozen=True)
class Measured:
    """Everything measured in the engine."""

    samples: list[Any]
    """By suite, in the protocol's order."""
    new: list[bool]
    """By suite: whether it was measured in this run. The others were in the store."""
    generated: list[decoding.Generated]
    speed: list[SpeedSummary]
    engine_version: str
    max_model_len: int | None
    kernels: list[str] = field(default_factory=list)
    """Kernels of quantized layers, as the engine's log names them."""


@dataclass(frozen=True)
class Baseline:
    """The original's result and samples."""

    result: StoredResult
    samples: list[Any]
    """By suite that this evaluation measures, in the protocol's order."""
    starts: dict[str, list[tuple[Any, Any]]]
    """By suite whose sides took turns: samples of the original and of the candidate at each start."""


def run(document: EvaluateDocument, store: Store, progress: Progress) -> EvaluateResult:
    """Run the stage."""
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
    """Measure document.model, unless the store holds the result. Raises EngineError (invalid run), RefusalError."""
    done = await asyncio.to_thread(read_result, store, Asked.by_document(document))
    if done is not None:
        return EvaluateResult(evaluation=done.evaluation, summary=done.summary, seconds=done.seconds, reused=True)
    begin = clock()
    baseline = await asyncio.to_thread(load_baseline, document, store)
    connect = CLIENTS[resolved_engine(document.engine)[0].name]
    async with connect(document.served_name, url, clock) as client:
        await client.wait_ready(lambda what: progress.report(0.0, what))
        measured = await measure(document, store, client, baseline, progress)
        await client.check_same_process()
    measured = replace(measured, kernels=kernels_in(read_log(engine_log)))
    progress.report(0.97, "writing the results")
    return await asyncio.to_thread(write, document, store, baseline, measured, round(clock() - begin, 1))


def suites_of(document: EvaluateDocument) -> list[SuiteOf]:
    """The suites to measure, in the protocol's order."""
    found = []
    for suite in turns.suites_of(document):
        kind, settings = suite_of(suite)
        found.append(SuiteOf(suite, settings, RUNNERS[kind.name], turns.input_of(document, suite)))
    return found


def load_baseline(document: EvaluateDocument, store: Store) -> Baseline | None:
    """What the candidate is compared with; None if the original itself is measured. Raises RefusalError."""
    if document.baseline is None:
        return None
    result = results.read_baseline(store, document)
    version = result.versions.get("engine", UNKNOWN_VERSION)
    if document.turn is not None:
        # The original's start has nothing to be compared with, only an engine that must be the same.
        pair = turns.suites_of(document) if document.model.kind == "Artifact" else []
        start = document.turn.start
        return Baseline(result, [turns.read_original(document, store, result, suite, start) for suite in pair], {})
    samples = []
    for suite in turns.suites_of(document):
        found = results.read_suite(store, result.suites.get(suite.name, "none"), suite, version)
        if found is None:
            raise damaged(document.baseline, f"what it gave for suite {suite.name} is missing, or was measured anew")
        samples.append(found)
    starts = {
        suite.name: turns.read_starts(document, store, result, suite)
        for suite in document.protocol.suites
        if starts_of(suite)
    }
    return Baseline(result, samples, starts)


async def measure(
    document: EvaluateDocument,
    store: Store,
    client: EngineClient,
    baseline: Baseline | None,
    progress: Progress,
) -> Measured:
    """Measure the suites that the store lacks and, each time but in a turn, a few answers and the speed."""
    version = await client.version()
    if baseline is not None:
        check_engine(document, baseline, version)
    longest = await client.max_model_len()
    # One token is generated with every text, so a text must leave room for it.
    room = longest - 1 if longest else None
    suites = suites_of(document)
    if baseline is not None and baseline.samples:
        check_room(document, suites, baseline, room)
    samples, new = [], []
    for index, one in enumerate(suites):
        original = baseline.samples[index] if baseline and baseline.samples else None
        step = (READ_SHARE - READY_SHARE) / len(suites)
        part = progress.part(READY_SHARE + index * step, READY_SHARE + (index + 1) * step)
        known = await asyncio.to_thread(results.read_suite, store, one.key, one.suite, version)
        # A template may write the date: the original may have been asked something else since.
        if known is not None and original is not None and one.runner.texts(known) != one.runner.texts(original):
            known = None
        ask = Ask(one.suite.name, one.settings, client, store.dataset, room, part)
        samples.append(known if known is not None else await one.runner.measure(ask, original))
        new.append(known is None)
    if document.turn is not None or not suites:
        return Measured(samples, new, [], [], version, longest)
    progress.report(READ_SHARE, "generating a few answers", force=True)
    texts = [one.runner.texts(found) for one, found in zip(suites, samples, strict=True)]
    prompt_tokens, output_tokens = decoding.lengths(room)
    prompts = decoding.prompts_of(texts[0], prompt_tokens)
    generated = await decoding.generate(client, prompts, output_tokens) if tells_logprobs(document) else []
    every_text = [text for one in texts for text in one]
    fitting = speed.fit(document.protocol.speed, longest)
    speeds = await speed.measure(client, every_text, fitting, progress.part(READ_SHARE, SPEED_SHARE))
    return Measured(samples, new, generated, speeds, version, longest)


def tells_logprobs(document: EvaluateDocument) -> bool:
    """Whether generated tokens can be read again as a prompt."""
    return "PromptLogprobs" in resolved_engine(document.engine)[0].capabilities


def check_engine(document: EvaluateDocument, baseline: Baseline, version: str) -> None:
    """Refuse another engine version than the baseline's: the image's tag may have moved since."""
    before = baseline.result.versions.get("engine", UNKNOWN_VERSION)
    if UNKNOWN_VERSION not in (before, version) and before != version:
        raise RefusalError(
            "EngineMoved",
            f"the baseline {document.baseline} was measured by version {before} of the engine, "
            f"and {resolved_engine(document.engine)[1].image} is version {version} now: "
            "their numbers cannot be compared",
            f"write {field_path(document.engine)}.image with a digest (name@sha256:...), "
            "so that both are measured anew by one engine",
        )


def check_room(document: EvaluateDocument, suites: list[SuiteOf], baseline: Baseline, room: int | None) -> None:
    """Refuse if the candidate's engine cannot take the texts that the original has read."""
    texts = (one.runner.texts(samples) for one, samples in zip(suites, baseline.samples, strict=True))
    most = max((len(text) for one in texts for text in one), default=0)
    if room is not None and most > room:
        raise RefusalError(
            "TextsTooLong",
            f"the baseline {document.baseline} has read texts of {most} tokens, and this engine takes {room}",
            f"set the same {field_path(document.engine)}.maxModelLen for both, or a smaller maxTokens in the suite",
        )


def write(
    document: EvaluateDocument,
    store: Store,
    baseline: Baseline | None,
    measured: Measured,
    seconds: float,
) -> EvaluateResult:
    """Compute the summary, and store everything: samples, details, report, and result.json last."""
    suites = suites_of(document)
    for index, (one, samples) in enumerate(zip(suites, measured.samples, strict=True)):
        if measured.new[index]:
            results.write_suite(store, one.of, one.suite, samples, measured.engine_version)
    summaries = summarize(document, baseline, measured)
    rows = [row for summary in summaries.values() for row in summary.rows]
    result = StoredResult(
        evaluation=document.evaluation,
        summary=EvaluationSummary(measurements=rows, speed=measured.speed, kernels=measured.kernels),
        seconds=seconds,
        model=document.model,
        baseline=document.baseline,
        turn=document.turn,
        protocol=document.protocol,
        protocol_key=digest("protocol", document.protocol),
        suites={one.suite.name: one.key for one in suites},
        engine=document.engine,
        versions=versions(measured.engine_version),
        max_model_len=measured.max_model_len,
        decoding=decoding.summarize(measured.generated, baseline.result.generated if baseline else []),
        generated=measured.generated,
    )
    if document.turn is None:
        result = write_report(document, store, result, baseline, summaries)
    store.write(result_key(document.evaluation), result.model_dump_json(by_alias=True).encode())
    return EvaluateResult(evaluation=result.evaluation, summary=result.summary, seconds=seconds)


def summarize(document: EvaluateDocument, baseline: Baseline | None, measured: Measured) -> dict[str, Summary]:
    """Measurements of each suite, in the protocol's order; none in a turn, which is one start of several."""
    if document.turn is not None:
        return {}
    found: dict[str, Summary] = {}
    for index, one in enumerate(suites_of(document)):
        assert isinstance(one.runner, SeparateRunner)  # noqa: S101 - a test pairs suites and runners
        original = baseline.samples[index] if baseline else None
        found[one.suite.name] = one.runner.summarize(one.suite.name, measured.samples[index], original)
    for suite in document.protocol.suites:
        if baseline is not None and suite.name in baseline.starts:
            runner = RUNNERS[suite_of(suite)[0].name]
            assert isinstance(runner, InterleavedRunner)  # noqa: S101 - a test pairs suites and runners
            found[suite.name] = runner.summarize_starts(suite.name, baseline.starts[suite.name])
    return {suite.name: found[suite.name] for suite in document.protocol.suites if suite.name in found}


def write_report(
    document: EvaluateDocument,
    store: Store,
    result: StoredResult,
    baseline: Baseline | None,
    summaries: Mapping[str, Summary],
) -> StoredResult:
    """Store the details and the report for people. The result with the report's path and digest."""
    results.write_details(store, document.evaluation, {name: one.details for name, one in summaries.items()})
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    measured = report.Measured(result, baseline.result if baseline else None, summaries, now)
    whole = report.gather(document, measured, report.read_quantized(document, store))
    digests = results.write_report(store, document.evaluation, whole, {n: s.samples for n, s in summaries.items()})
    return result.model_copy(update={"summary": result.summary.model_copy(update=digests)})


def versions(engine: str) -> dict[str, str]:
    """Versions of the engine and of everything here that a number depends on."""
    return {
        "engine": engine,
        "lowbit": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "aiohttp": metadata.version("aiohttp"),
    }

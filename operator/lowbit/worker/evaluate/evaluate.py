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
from dataclasses import replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from lowbit import __version__
from lowbit.api.documents import EvaluateDocument, EvaluateResult
from lowbit.api.enginelog import kernels_in
from lowbit.api.engines import field_path, resolved_engine
from lowbit.api.evaluation import suite_of
from lowbit.api.paths import ENGINE_LOG_PATH
from lowbit.api.status import EvaluationSummary
from lowbit.naming.canonical import digest
from lowbit.naming.store_keys import result_key
from lowbit.worker import showcase
from lowbit.worker.engines import CLIENTS
from lowbit.worker.engines.base import ENGINE_URL, EngineClient
from lowbit.worker.evaluate import attempts, decoding, engines, health, looking, results, speed
from lowbit.worker.evaluate.log import read_log
from lowbit.worker.evaluate.measured import Baseline, Measured, SuiteOf, load_baseline, suites_of
from lowbit.worker.evaluate.sketch import sketch
from lowbit.worker.evaluate.stored import Asked, StoredResult, read_result
from lowbit.worker.progress import Progress
from lowbit.worker.refuse import RefusalError
from lowbit.worker.report import comparison, report, shown_answers
from lowbit.worker.store import Store
from lowbit.worker.suites import RUNNERS, Ask, InterleavedRunner, SeparateRunner, Summary

READY_SHARE, READ_SHARE, HEALTH_SHARE, ASKED_SHARE, SPEED_SHARE = 0.05, 0.7, 0.75, 0.82, 0.93
"""Ends of the parts of the work, as fractions of the whole."""


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
        attempt = await asyncio.to_thread(attempts.count, store, attempts.of_document(document), done.sketches)
        summary = done.summary.model_copy(update={"attempt": attempt})
        return EvaluateResult(evaluation=done.evaluation, summary=summary, seconds=done.seconds, reused=True)
    begin = clock()
    baseline = await asyncio.to_thread(load_baseline, document, store)
    if baseline is not None:
        sketches = sketches_of(suites_of(document), baseline.samples)
        expected = await asyncio.to_thread(attempts.expect, store, attempts.of_document(document), sketches)
        baseline = replace(baseline, attempt=expected)
    connect = CLIENTS[resolved_engine(document.engine)[0].name]
    async with connect(document.served_name, url, clock) as client:
        await client.wait_ready(lambda what: progress.report(0.0, what))
        measured = await measure(document, store, client, baseline, progress)
        await client.check_same_process()
    measured = replace(measured, kernels=kernels_in(read_log(engine_log)))
    progress.report(0.97, "writing the results")
    return await asyncio.to_thread(write, document, store, baseline, measured, round(clock() - begin, 1))


def sketches_of(suites: list[SuiteOf], samples: list[Any]) -> dict[str, list[str]]:
    """What was read, by the suite's name."""
    return {one.suite.name: sketch(one.runner.texts(found)) for one, found in zip(suites, samples, strict=False)}


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
        engines.check_version(document, baseline.result, version)
    longest = await client.max_model_len()
    # One token is generated with every text, so a text must leave room for it.
    room = longest - 1 if longest else None
    suites = suites_of(document)
    if baseline is not None and baseline.samples:
        check_room(document, suites, baseline, room)
    samples = []
    for index, one in enumerate(suites):
        original = baseline.samples[index] if baseline and baseline.samples else None
        step = (READ_SHARE - READY_SHARE) / len(suites)
        part = progress.part(READY_SHARE + index * step, READY_SHARE + (index + 1) * step)
        ask = Ask(one.suite.name, one.settings, client, store.dataset, room, part, suite_of(one.suite)[0].looks)
        gate = looking.gate_of(document, one.suite.name, baseline.attempt if baseline else None)
        samples.append(await measure_suite(store, one, ask, looking.Against(original, gate), version))
    if document.turn is not None:
        return Measured(samples, [], [], [], version, longest)
    shown = await showcase.ask_all(client, document.protocol.showcase)
    if not suites:
        return Measured(samples, [], [], [], version, longest, shown)
    progress.report(READ_SHARE, "generating a few answers", force=True)
    texts = [one.runner.texts(found) for one, found in zip(suites, samples, strict=True)]
    prompt_tokens, output_tokens = decoding.lengths(room)
    prompts = decoding.prompts_of(texts[0], prompt_tokens)
    generated = await decoding.generate(client, prompts, output_tokens) if tells_logprobs(document) else []
    progress.report(HEALTH_SHARE, "asking a few prompts as a client does", force=True)
    answers = await health.ask(client, longest)
    every_text = [text for one in texts for text in one]
    fitting = speed.fit(document.protocol.speed, longest)
    speeds = await speed.measure(client, every_text, fitting, progress.part(ASKED_SHARE, SPEED_SHARE))
    return Measured(samples, generated, answers, speeds, version, longest, shown)


async def measure_suite(store: Store, one: SuiteOf, ask: Ask[Any], against: looking.Against, version: str) -> Any:
    """The samples of one suite, from the store or measured now.

    They are stored at once, so that a run that is cut off later does not measure this suite again.
    """
    known, original = await asyncio.to_thread(results.read_suite, store, one.key, one.suite, version), against.original
    # A template may write the date: the original may have been asked something else since.
    if known is not None and (original is None or looking.same_texts(one.runner, known, original)):
        return known
    samples = await looking.measure(one.runner, ask, original, against.gate)
    await ask.client.check_same_process()
    await asyncio.to_thread(results.write_suite, store, one.of, one.suite, samples, version)
    return samples


def tells_logprobs(document: EvaluateDocument) -> bool:
    """Whether generated tokens can be read again as a prompt."""
    return "PromptLogprobs" in resolved_engine(document.engine)[0].capabilities


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
    """Compute the summary, and store it: details, samples that both answered, report, and result.json last."""
    suites = suites_of(document)
    summaries = summarize(document, baseline, measured)
    rows = [row for summary in summaries.values() for row in summary.rows]
    rows += health.rows(measured.health, baseline.result.health if baseline else [])
    result = StoredResult(
        evaluation=document.evaluation,
        summary=EvaluationSummary(measurements=rows, speed=measured.speed, kernels=measured.kernels),
        seconds=seconds,
        model=document.model,
        baseline=document.baseline,
        turn=document.turn,
        stopping=document.stopping,
        place=document.place,
        protocol=document.protocol,
        protocol_key=digest("protocol", document.protocol),
        suites={one.suite.name: one.key for one in suites},
        sketches=sketches_of(suites, measured.samples) if document.turn is None else {},
        engine=document.engine,
        versions=versions(measured.engine_version),
        max_model_len=measured.max_model_len,
        decoding=decoding.summarize(measured.generated, baseline.result.generated if baseline else []),
        generated=measured.generated,
        health=measured.health,
        showcase=measured.showcase,
    )
    if document.turn is None:
        result = write_report(document, store, result, baseline, summaries)
    attempt = attempts.count(store, attempts.of_document(document), result.sketches)
    store.write(result_key(document.evaluation), result.model_dump_json(by_alias=True).encode())
    summary = result.summary.model_copy(update={"attempt": attempt})
    return EvaluateResult(evaluation=result.evaluation, summary=summary, seconds=seconds)


def summarize(document: EvaluateDocument, baseline: Baseline | None, measured: Measured) -> dict[str, Summary]:
    """Measurements of each suite, in the protocol's order; none in a turn, which is one start of several."""
    if document.turn is not None:
        return {}
    found: dict[str, Summary] = {}
    for index, one in enumerate(suites_of(document)):
        assert isinstance(one.runner, SeparateRunner)  # noqa: S101 - a test pairs suites and runners
        original = baseline.samples[index] if baseline else None
        looks = suite_of(one.suite)[0].looks
        found[one.suite.name] = looking.summarize(one.runner, one.suite.name, measured.samples[index], original, looks)
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
    original = baseline.result if baseline else None
    answers = {"original": original.showcase, "candidate": result.showcase} if original else {"": result.showcase}
    more = [
        *health.sections(result.health, original.health if original else []),
        *comparison.sections(comparison.rows_of(document, store, result, original)),
        *shown_answers.sections(document.protocol.showcase, answers),
        *engines.two_engines(result, original),
    ]
    attempt = baseline.attempt.ordinal if baseline is not None and baseline.attempt is not None else 1
    measured = report.Measured(result, original, summaries, now, attempt, more)
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

"""Harness: lm-evaluation-harness runs its tasks against the engine; its log of each question is paired."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from lowbit.api.suites.harness import ResolvedHarness
from lowbit.worker.refuse import RefusalError
from lowbit.worker.suites import harness_rows, harness_samples
from lowbit.worker.suites.base import Arrays, Ask, SeparateRunner, Summary
from lowbit.worker.suites.harness_samples import HarnessSamples, TaskSamples

if TYPE_CHECKING:
    from lowbit.worker.suites.harness_tasks import MadeTask

DEFAULT_LENGTH = 2048
"""Longest prompt and answer, where the engine does not say: lm-evaluation-harness's default."""


class HarnessRunner(SeparateRunner[ResolvedHarness, HarnessSamples]):
    """The library asks through the engine's client; every question is kept with its answer and its metrics."""

    method = (
        "lm-evaluation-harness asks the tasks' questions over the completions API of the engine that serves the model, "
        "many at once: plain texts, without the chat template. In multiple choice each choice's log probability is "
        "compared. Each task is judged by one of its metrics; the loss is paired question by question, the original's "
        "less the candidate's. There is no average over tasks. The other metrics are reported."
    )

    async def measure(self, ask: Ask[ResolvedHarness], original: HarnessSamples | None) -> HarnessSamples:
        """Ask every task, one after another. Raises RefusalError if a task cannot be run, or asks otherwise now."""
        from lowbit.worker.suites import harness_tasks

        settings = ask.settings
        longest = DEFAULT_LENGTH if ask.room is None else ask.room + 1
        longest = longest if original is None else min(longest, original.max_length)
        ask.progress.report(0.0, f"suite {ask.suite}: reading the tasks", force=True)
        made = await asyncio.to_thread(
            lambda: [harness_tasks.make_task(one, ask.suite, ask.dataset, settings.samples) for one in settings.tasks]
        )
        tasks = {}
        for number, one in enumerate(made):
            share = ask.progress.part(number / len(made), (number + 1) / len(made))
            tasks[one.name] = await ask_task(replace(ask, progress=share), one, longest)
        samples = HarnessSamples(tasks, longest, harness_tasks.version())
        if original is not None and self.texts(samples) != self.texts(original):
            raise RefusalError(
                "OtherPrompts",
                f"suite {ask.suite}: lm-evaluation-harness {samples.version} writes other prompts than the original "
                f"was asked (by {original.version}, up to {original.max_length} tokens)",
                "delete the original's ModelEvaluation and its folders in the store, so that it is measured again; or "
                "give both engines one maxModelLen",
            )
        return samples

    def summarize(self, suite: str, samples: HarnessSamples, original: HarnessSamples | None) -> Summary:
        """The measurements, by task; on a baseline only those that need no comparison."""
        return harness_rows.summarize(suite, samples, original)

    def pack(self, samples: HarnessSamples) -> Arrays:
        """The questions as JSON in bytes, and their token ids."""
        return harness_samples.pack(samples)

    def unpack(self, arrays: Mapping[str, npt.NDArray[Any]], settings: ResolvedHarness) -> HarnessSamples:
        """The inverse of pack."""
        return harness_samples.unpack(arrays)

    def texts(self, samples: HarnessSamples) -> list[list[int]]:
        """Token ids of each question, in multiple choice with its first choice."""
        return [one.tokens for task in samples.tasks.values() for one in task.asked]


async def ask_task(ask: Ask[ResolvedHarness], made: MadeTask, longest: int) -> TaskSamples:
    """Every question of a task, answered. longest: prompt and answer together, in tokens."""
    from lm_eval.evaluator import evaluate

    from lowbit.worker.suites.harness_model import MOST_TOKENS, Bridge, EngineModel
    from lowbit.worker.suites.harness_tasks import in_words

    what = f"suite {ask.suite}, task {made.name}"
    answer = (made.longest or MOST_TOKENS) if made.output_type == "generate_until" else 1
    if answer + 1 >= longest:
        raise RefusalError(
            "BadTask", f"{what}: answers of {answer} tokens leave no room for a prompt in the engine's {longest}",
            "write fewer max_gen_toks, or raise the engine's maxModelLen",
        )  # fmt: skip
    bridge = Bridge(ask.client, asyncio.get_running_loop(), what, ask.progress)
    model = EngineModel(bridge, longest)

    def run() -> list[dict[str, Any]]:
        with in_words(what, "lm-evaluation-harness cannot run it"):
            found = evaluate(model, {"tasks": {made.name: made.task}}, bootstrap_iters=0, log_samples=True)
            logged: list[dict[str, Any]] = found["samples"][made.name]
        return logged

    logged = await asyncio.to_thread(run)
    return harness_samples.enough(harness_samples.of_log(logged, made, model), what)

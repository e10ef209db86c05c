"""Harness: tasks of lm-evaluation-harness, run by that library against the engine, paired question by question."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from lowbit.api.base import Digest, Wire
from lowbit.api.suites.base import SuiteKind
from lowbit.api.suites.dataset import TaskDescription, TaskFile, TaskRows
from lowbit.api.suites.task_metrics import ACCURACY, ACCURACY_LOSS


class HarnessTask(Wire):
    """One task of lm-evaluation-harness."""

    name: str = Field(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+-]*$")
    """Name of the task: of one that lm-evaluation-harness brings, unless `config` describes it."""
    config: TaskDescription | None = None
    """The task's YAML, without code (`!function`): templates, choices, metrics. Where data lies is said here instead.
    By default that of the task of this name which lm-evaluation-harness brings."""
    dataset: TaskRows
    """Rows that are asked about: the task's test split (its validation split, if it has no other). They must not be
    among the calibration texts."""
    fewshot: TaskRows | None = None
    """Rows that examples are drawn from. Needed if the task shows any and has none in its YAML."""
    num_fewshot: int | None = Field(default=None, ge=0, le=64)
    """How many examples each prompt shows. By default what the task says, else none."""
    metric: str | None = Field(default=None, min_length=1, max_length=63)
    """Which of the task's metrics is judged, such as acc_norm. By default the first one; the others are reported."""
    filter: str | None = Field(default=None, min_length=1, max_length=63)
    """Which of the task's filters reads the answers that are judged, such as flexible-extract. By default the first."""


class Harness(Wire):
    """Tasks of lm-evaluation-harness, by that library, over the completions API: prompts are plain texts, without the
    chat template. Each task is judged by itself; there is no average."""

    tasks: list[HarnessTask] = Field(min_length=1, max_length=32)
    """What is asked."""
    samples: int = Field(default=1000, ge=2, le=100_000)
    """How many questions of each task are asked: drawn by chance, the same each time (fewer where a task has fewer).
    Equal ones count once."""


class ResolvedTask(Wire):
    """A task with its files frozen."""

    name: str
    config: Digest | None = None
    """Of its description, as JSON; None: the one that lm-evaluation-harness brings."""
    dataset: Digest
    fewshot: Digest | None = None
    num_fewshot: int | None = None
    metric: str | None = None
    filter: str | None = None


class ResolvedHarness(Wire):
    """Harness with its files frozen."""

    tasks: list[ResolvedTask]
    samples: int


FILES = ("config", "dataset", "fewshot")
"""Attributes of a task that are files; those of a resolved one are their digests."""


def file_name(task: str, field: str) -> str:
    """Name of a task's file in its suite."""
    return f"{task}/{field}"


class HarnessKind(SuiteKind[Harness, ResolvedHarness]):
    """Needs an engine that gives the log probabilities of a prompt over the completions API."""

    name = "harness"
    description = "Tasks of lm-evaluation-harness, each judged by itself."
    spec = Harness
    resolved = ResolvedHarness
    version = 1
    metrics = (ACCURACY, ACCURACY_LOSS)
    needs = frozenset({"PromptLogprobs"})
    dataset_fields = ()

    def resolve(self, spec: Harness, datasets: Mapping[str, Digest]) -> ResolvedHarness:
        """The settings with the digests of each task's files."""
        tasks = [
            ResolvedTask(
                name=task.name, num_fewshot=task.num_fewshot, metric=task.metric, filter=task.filter,
                **{field: datasets[file_name(task.name, field)] for field in FILES if getattr(task, field) is not None},
            )
            for task in spec.tasks
        ]  # fmt: skip
        return ResolvedHarness(tasks=tasks, samples=spec.samples)

    def datasets(self, spec: Harness) -> Mapping[str, TaskFile]:
        """Every task's files."""
        files = {file_name(task.name, field): getattr(task, field) for task in spec.tasks for field in FILES}
        return {name: file for name, file in files.items() if file is not None}

    def digests(self, resolved: ResolvedHarness) -> Mapping[str, Digest]:
        """Digests of every task's files."""
        files = {file_name(task.name, field): getattr(task, field) for task in resolved.tasks for field in FILES}
        return {name: digest for name, digest in files.items() if digest is not None}

    def tasks(self, spec: Harness) -> tuple[str, ...]:
        """All of them."""
        return tuple(task.name for task in spec.tasks)

    def units(self, spec: Harness) -> tuple[str, ...]:
        """Each task's rows, by themselves."""
        return tuple(file_name(name, "dataset") for name in self.tasks(spec))

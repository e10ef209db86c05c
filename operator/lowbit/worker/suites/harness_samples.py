"""What one model answered to tasks of lm-evaluation-harness: from the library's log, and as arrays for the store."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lowbit.worker.refuse import RefusalError
from lowbit.worker.suites.base import Arrays

if TYPE_CHECKING:
    from lowbit.worker.suites.harness_model import EngineModel
    from lowbit.worker.suites.harness_tasks import MadeTask

ID_DIGITS = 16
"""Of lm-evaluation-harness's hash of a row."""


@dataclass(frozen=True)
class AskedRow:
    """One question of a task."""

    id: str
    """Hash of the row: the same in every run on the same data."""
    prompt: str
    told: str
    """What the model answered, or the choice that is likeliest."""
    expected: str
    values: dict[str, float]
    """By the metric's key; for each filter one."""
    tokens: list[int]
    """Token ids that the model has read, in multiple choice with the first choice."""
    group: str = ""
    """Questions of one group are not independent; empty: of its own."""
    chance: float | None = None
    """Share that guessing gets right, in multiple choice."""
    finite: bool = True
    """Whether all log probabilities are numbers."""


@dataclass(frozen=True)
class TaskSamples:
    """One task."""

    asked: list[AskedRow]
    judged: str
    """Key of the metric that is judged."""
    output_type: str
    shots: int
    lines: int
    """Of the dataset."""
    duplicates: int
    """Rows that are equal to another one."""
    cut: int
    """Prompts that were cut on the left, because the engine takes no more."""


@dataclass(frozen=True)
class HarnessSamples:
    """What one model answered to all tasks of a suite."""

    tasks: dict[str, TaskSamples]
    max_length: int
    """Longest prompt and answer together, in tokens."""
    version: str
    """lm-evaluation-harness's."""


def of_log(logged: Sequence[Mapping[str, Any]], made: MadeTask, model: EngineModel) -> TaskSamples:
    """From the library's log, which has an entry for each row and filter."""
    from lowbit.worker.suites.harness_tasks import key_of

    rows: dict[str, AskedRow] = {}
    for entry in logged:
        id_ = str(entry["doc_hash"])[:ID_DIGITS]
        row = rows.setdefault(id_, row_of(id_, entry, made, model))
        names = entry["metrics"]
        values = {key_of(name, entry["filter"]): float(entry[name]) for name in names if is_number(entry[name])}
        rows[id_] = replace(row, values=row.values | values)
    return TaskSamples(
        list(rows.values()), made.judged, made.output_type, made.shots, made.drawn.lines, made.drawn.duplicates,
        len(model.cut),
    )  # fmt: skip


def row_of(id_: str, entry: Mapping[str, Any], made: MadeTask, model: EngineModel) -> AskedRow:
    """A question without its metrics."""
    texts = [arguments if made.output_type != "generate_until" else arguments[:1] for arguments in entry["arguments"]]
    answers, doc = [each[0] for each in entry["resps"]], entry["doc"]
    group = doc.get("group") if isinstance(doc, Mapping) else None
    common = {
        "id": id_, "prompt": texts[0][0], "expected": text_of(entry["target"]), "values": {},
        "tokens": model.sent[tuple(texts[0])], "group": "" if group is None else str(group),
    }  # fmt: skip
    if made.output_type == "generate_until":
        return AskedRow(told=str(answers[0]), **common)
    logprobs = [float(logprob) for logprob, _ in answers]
    finite = all(map(isfinite, logprobs))
    if made.output_type == "loglikelihood":
        greedy = "" if answers[0][1] else "not "
        return AskedRow(told=f"{greedy}greedy ({logprobs[0]:.3f})", finite=finite, **common)
    count = len(texts) // 2 if "acc_mutual_info" in entry["metrics"] else len(texts)
    likeliest = int(np.argmax(logprobs[:count]))
    # Where the prompts differ and what follows does not, a choice is a prompt.
    told = texts[likeliest][0 if texts[0][1] == texts[-1][1] and count > 1 else 1].strip()
    right = len(entry["target"]) if isinstance(entry["target"], list) else 1
    expected = expected_choice(entry["target"], [text[1] for text in texts[:count]])
    return AskedRow(told=told, finite=finite, chance=min(1.0, right / count), **common | {"expected": expected})


def expected_choice(target: Any, choices: Sequence[str]) -> str:
    """The right choice in words."""
    if isinstance(target, int) and not isinstance(target, bool) and 0 <= target < len(choices):
        return choices[target].strip()
    return text_of(target)


def text_of(value: Any) -> str:
    """A value for people."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def is_number(value: Any) -> bool:
    """Whether a metric has a number for each question."""
    return isinstance(value, int | float | np.number) and not isinstance(value, complex)


def enough(samples: TaskSamples, what: str) -> TaskSamples:
    """The samples. Raises RefusalError if they are too few for a standard error, or lack the metric that is judged."""
    if len(samples.asked) < 2:
        raise RefusalError(
            "TooFewQuestions", f"{what} has {len(samples.asked)} questions, and needs two",
            "give a dataset with more rows that differ",
        )  # fmt: skip
    if any(samples.judged not in row.values for row in samples.asked):
        raise RefusalError(
            "BadTask", f"{what} gave no number for {samples.judged}", "name another of its metrics as metric"
        )  # fmt: skip
    return samples


def pack(samples: HarnessSamples) -> Arrays:
    """Arrays: samples [bytes of JSON], tokens [of all questions], lengths [of each]."""
    asked = [row for task in samples.tasks.values() for row in task.asked]
    plain = asdict(samples)
    for task in plain["tasks"].values():
        for row in task["asked"]:
            del row["tokens"]
    data = json.dumps(plain).encode(errors="surrogatepass")
    return {
        "samples": np.frombuffer(data, dtype=np.uint8),
        "tokens": np.array([token for row in asked for token in row.tokens], dtype=np.int32),
        "lengths": np.array([len(row.tokens) for row in asked], dtype=np.int64),
    }


def unpack(arrays: Mapping[str, npt.NDArray[Any]]) -> HarnessSamples:
    """The inverse of pack. Raises KeyError or ValueError if the arrays are something else."""
    ends = np.cumsum(arrays["lengths"])
    if int(ends[-1]) != len(arrays["tokens"]):
        raise ValueError("the token ids do not fit the questions")
    tokens = iter([each.tolist() for each in np.split(arrays["tokens"], ends[:-1])])
    try:
        plain = json.loads(arrays["samples"].tobytes())
        tasks = {
            name: TaskSamples(**task | {"asked": [AskedRow(tokens=next(tokens), **row) for row in task["asked"]]})
            for name, task in plain.pop("tasks").items()
        }
        return HarnessSamples(tasks=tasks, **plain)
    except (TypeError, AttributeError, StopIteration) as error:
        raise ValueError(f"the samples are not what was written: {error}") from error

"""Tasks of lm-evaluation-harness, made of a description and of rows from the store.

Only what task_config knows is handed over. Templates are rendered in Jinja's sandbox. A task that the library brings
may use functions of the library's own to shape its rows, and none to score answers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from lowbit.api.suites.harness import ResolvedTask
from lowbit.worker.data.task_config import METRICS, TEMPLATES, bad_task, check_config, read_description
from lowbit.worker.data.task_rows import DrawnRows, draw_rows, read_rows, whole
from lowbit.worker.errors import named
from lowbit.worker.refuse import EngineError, RefusalError

SEED: Final = 1234
"""Of the examples that a prompt shows: lm-evaluation-harness's own."""
SHAPING: Final = ("process_docs", *TEMPLATES)
"""What functions of the library's own may do in its tasks."""
REPORTED: Final = ("perplexity",)
"""Metrics that are no share, and so judge nothing."""


@dataclass(frozen=True)
class MadeTask:
    """A task that is ready to be asked."""

    name: str
    task: Any
    """lm-evaluation-harness's ConfigurableTask."""
    drawn: DrawnRows
    judged: str
    """Key of the metric that is judged: its name and filter."""
    output_type: str
    shots: int
    longest: int | None
    """Longest answer in tokens, where the task says so."""


def version() -> str:
    """lm-evaluation-harness's."""
    return metadata.version("lm-eval")


def make_task(settings: ResolvedTask, suite: str, dataset: Callable[[str], Path], samples: int) -> MadeTask:
    """The task with its rows. dataset: a file of the store by its digest. Raises RefusalError."""
    what = f"suite {suite}, task {settings.name}"
    functions: dict[str, Any] = {}
    if settings.config is not None:
        config = read_description(dataset(settings.config), what)
    else:
        config, functions = shipped(settings.name, what)
    judged = judged_of(config, settings, what)
    drawn = draw_rows(dataset(settings.dataset), f"the dataset of {what}", settings.dataset, samples)
    splits = {"test": drawn.rows}
    if settings.fewshot is not None:
        # All of them, in the file's order: the sampler first_n takes the first.
        splits["fewshot"] = every_row(dataset(settings.fewshot), f"the examples of {what}")
    shots = settings.num_fewshot if settings.num_fewshot is not None else int(config.get("num_fewshot", 0))
    if shots and "fewshot" not in splits and not config.get("fewshot_config", {}).get("samples"):
        raise bad_task(what, f"shows {shots} examples, and has none", "give rows as fewshot, or write numFewshot: 0")
    asked = {**config, **functions, "task": settings.name, "num_fewshot": shots}
    with in_words(what, "cannot be made of its description and its rows"):
        task = configured(asked, splits)
    longest = config.get("generation_kwargs", {}).get("max_gen_toks")
    return MadeTask(settings.name, task, drawn, judged, config["output_type"], shots, longest)


def every_row(path: Path, what: str) -> list[dict[str, Any]]:
    """All rows of a file."""
    return whole([dict(record.fields) for record in read_rows(path, what)])


def configured(config: Mapping[str, Any], splits: Mapping[str, list[dict[str, Any]]]) -> Any:
    """lm-evaluation-harness's task of a description and its rows."""
    library = quiet_library()
    from datasets import Dataset, DatasetDict

    # In memory: the library's reader of JSON files would take texts that look like dates for dates.
    data = DatasetDict({name: Dataset.from_list(rows) for name, rows in splits.items()})
    task = library.ConfigurableTask(
        config={
            **config, "custom_dataset": lambda **_: data, "test_split": "test",
            "fewshot_split": "fewshot" if "fewshot" in splits else None,
        }
    )  # fmt: skip
    task.set_fewshot_seed(SEED)
    return task


@cache
def quiet_library() -> Any:
    """The module of lm-evaluation-harness with its tasks, which logs errors only and renders in a sandbox."""
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    from jinja2 import StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment
    from lm_eval import utils
    from lm_eval.api import task

    sandbox = SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
    sandbox.filters["regex_replace"] = utils.regex_replace
    utils.env = sandbox
    return task


@cache
def index() -> Mapping[str, Any]:
    """The tasks that lm-evaluation-harness brings, by name. Takes seconds."""
    quiet_library()
    import lm_eval.tasks
    from lm_eval.tasks._index import TaskIndex

    found: Mapping[str, Any] = TaskIndex().build([Path(lm_eval.tasks.__file__).parent])
    return found


def shipped(name: str, what: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The description of a task that lm-evaluation-harness brings, and its functions that shape rows.

    Raises RefusalError if there is none, or if it needs what Lowbit does not do.
    """
    quiet_library()
    from lm_eval.tasks._index import Kind
    from lm_eval.tasks._yaml_loader import load_yaml

    entry = index().get(name)
    if entry is None:
        action = "write the name of one of its tasks (lm-eval ls tasks), or describe the task in config"
        raise bad_task(what, f"lm-evaluation-harness {version()} brings no such task", action)
    if entry.kind is not Kind.TASK or entry.yaml_path is None:
        raise bad_task(what, "is no single task", "name each of its tasks, or describe one in config")
    try:
        with in_words(what, "cannot be read"):
            config = dict(load_yaml(entry.yaml_path))
    except RefusalError as error:
        if isinstance(error.__cause__, ModuleNotFoundError):
            action = "describe the task in config, without it"
            raise bad_task(what, f"needs what Lowbit's image has not: {error.__cause__}", action) from error
        raise
    functions = {key: config.pop(key) for key in SHAPING if callable(config.get(key))}
    for key in ("dataset_kwargs", "process_docs"):
        config.pop(key, None)
    config |= {key: "{{0}}" for key in functions if key in TEMPLATES}
    return check_config(paired_metrics(config, what), what), functions


def paired_metrics(config: Mapping[str, Any], what: str) -> dict[str, Any]:
    """The description without metrics that cannot be paired. Raises RefusalError if there is no other."""
    asked, known = config.get("metric_list"), METRICS.get(str(config.get("output_type", "generate_until")), ())
    if not isinstance(asked, list):
        return dict(config)
    kept = [one for one in asked if isinstance(one, dict) and one.get("metric") in known]
    if asked and not kept:
        names = ", ".join(str(one.get("metric")) for one in asked if isinstance(one, dict))
        problem = f"has only metrics without a number for each question ({names})"
        raise bad_task(what, problem, "describe the task in config, with another metric")
    return {**config, "metric_list": kept}


def judged_of(config: Mapping[str, Any], settings: ResolvedTask, what: str) -> str:
    """Key of the metric that is judged. Raises RefusalError if the task has not what is asked for."""
    metrics = [one["metric"] for one in config["metric_list"] if one["metric"] not in REPORTED]
    filters = [one["name"] for one in config.get("filter_list", [])] or ["none"]
    for asked, known, word in ((settings.metric, metrics, "metric"), (settings.filter, filters, "filter")):
        if asked is not None and asked not in known:
            raise bad_task(what, f"has no {word} {asked} that could be judged", f"write one of {', '.join(known)}")
    if not metrics:
        raise bad_task(what, "has no metric that is a share of right answers", "add the metric acc")
    return key_of(settings.metric or metrics[0], settings.filter or filters[0])


def key_of(metric: str, filter_: str) -> str:
    """A metric's key: with its filter, if that is not the only one."""
    return metric if filter_ == "none" else f"{metric}, {filter_}"


@contextmanager
def in_words(what: str, problem: str) -> Iterator[None]:
    """Raise RefusalError for whatever breaks in the library on this task's description or rows."""
    try:
        yield
    except (EngineError, RefusalError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and named(error) is not None:
            raise  # the disk
        words = " ".join(f"{type(error).__name__}: {error}".split())[:400]
        action = "check that the rows have the fields that its templates name, and try it with lm-eval itself"
        raise bad_task(what, f"{problem}: {words}", action) from error

"""The YAML that describes a task to lm-evaluation-harness: what of it is taken, and what is refused.

It comes from somebody's volume, so it is data: no code (`!function`), no data from elsewhere, no metric of the hub.
Templates are Jinja; they are rendered in a sandbox (worker/suites/harness_tasks.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from lowbit.worker.refuse import RefusalError

YAML_BYTES = 1 << 20
"""Of a description, and of the same as JSON: aliases can make a short file long."""
METRICS: Final[Mapping[str, tuple[str, ...]]] = {
    "multiple_choice": ("acc", "acc_norm", "acc_bytes", "acc_mutual_info", "exact_match"),
    "loglikelihood": ("acc", "perplexity"),
    "generate_until": ("exact_match",),
}
"""By output type: metrics with a number for each question, which can be paired."""
DEFAULT_METRICS: Final[Mapping[str, tuple[str, ...]]] = {
    "multiple_choice": ("acc", "acc_norm"), "loglikelihood": ("perplexity", "acc"), "generate_until": ("exact_match",),
}  # fmt: skip
"""Those of a task that names none."""
FILTERS: Final = ("regex", "multi_choice_regex", "remove_whitespace", "take_first", "lowercase", "uppercase", "map")
TEMPLATES: Final = ("doc_to_text", "doc_to_target", "doc_to_choice")
KEYS: Final = frozenset({
    "output_type", *TEMPLATES, "description", "target_delimiter", "fewshot_delimiter", "fewshot_config", "num_fewshot",
    "metric_list", "generation_kwargs", "filter_list", "gen_prefix", "repeats",
})  # fmt: skip
"""What is handed to lm-evaluation-harness."""
IGNORED: Final = frozenset({
    "task", "task_alias", "tag", "group", "dataset_path", "dataset_name", "training_split", "validation_split",
    "test_split", "fewshot_split", "should_decontaminate", "doc_to_decontamination_query", "metadata",
})  # fmt: skip
"""What the manifest says instead, or nothing asks for."""
GENERATION: Final = ("until", "do_sample", "temperature", "max_gen_toks")
UNUSED: Final = ("top_p", "top_k", "weight_by_size")
"""Options that say nothing where answers are greedy and no task is averaged with others."""
FEWSHOT: Final = frozenset({"sampler", "samples", "fewshot_delimiter", "target_delimiter", "gen_prefix", *TEMPLATES})
METRIC_OPTIONS: Final = frozenset({
    "metric", "aggregation", "higher_is_better", "ignore_case", "ignore_punctuation", "ignore_numbers",
    "regexes_to_ignore",
})  # fmt: skip
AGGREGATIONS: Final = ("mean", "nanmean", "median", "perplexity")
INSTEAD: Final[Mapping[str, str]] = {
    "include": "write what it includes into this file",
    "class": "describe the task by templates",
    "process_docs": "write the rows as the templates need them",
    "process_results": "use the metrics " + ", ".join(dict.fromkeys(sum(METRICS.values(), ()))),
    "custom_dataset": "give the rows as the task's dataset",
    "dataset_kwargs": "leave it out: the rows come from the task's dataset in the manifest",
    "use_prompt": "write the template as doc_to_text",
    "unsafe_code": "leave it out: Lowbit runs no code that a model has written",
    "doc_to_image": "leave it out: prompts are texts",
    "doc_to_audio": "leave it out: prompts are texts",
}
"""What to write instead of a key that is refused."""


class NoCodeError(Exception):
    """A description asks for a function."""


class Loader(yaml.SafeLoader):
    """Plain data only."""


def _no_code(_: Loader, node: yaml.Node) -> Any:
    raise NoCodeError(str(getattr(node, "value", "")))


Loader.add_constructor("!function", _no_code)


def bad_task(what: str, problem: str, action: str) -> RefusalError:
    """The refusal of a task."""
    return RefusalError("BadTask", f"{what}: {problem}", action)


def write_description(path: Path, target: Path, what: str) -> Path:
    """Read a task's YAML, check it, and write it to target as one line of JSON. Raises RefusalError."""
    data = path.read_bytes()
    if len(data) > YAML_BYTES:
        raise bad_task(what, f"has {len(data)} bytes", f"write at most {YAML_BYTES}: rows belong into the dataset")
    config = check_config(parse(data, what), what)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(as_json(config, what) + "\n", encoding="utf-8")
    return target


def read_description(path: Path, what: str) -> dict[str, Any]:
    """What write_description wrote, checked again: the store is not this process's own."""
    return check_config(parse(path.read_bytes(), what), what)


def parse(data: bytes, what: str) -> dict[str, Any]:
    """The YAML as plain data. Raises RefusalError."""
    try:
        value = yaml.load(data, Loader)  # noqa: S506 - a safe loader
    except NoCodeError as error:
        raise bad_task(
            what, f"runs code (!function {error})",
            "write templates instead: doc_to_text, doc_to_target and doc_to_choice, and rows that need no code",
        ) from error  # fmt: skip
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        words = " ".join(str(error).split())[:300]
        raise bad_task(what, f"is not YAML of plain data: {words}", "check it with lm-eval") from error
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise bad_task(what, "is no mapping", "write keys such as doc_to_text and doc_to_target")
    return value


def as_json(config: Mapping[str, Any], what: str) -> str:
    """The description as one line of JSON. Raises RefusalError if it is no JSON, or too long."""
    size, parts = 0, []
    try:
        for part in json.JSONEncoder(sort_keys=True, allow_nan=False).iterencode(config):
            parts.append(part)
            size += len(part)
            if size > YAML_BYTES:
                raise bad_task(what, f"has more than {YAML_BYTES} bytes as JSON", "write it without aliases")
    except (TypeError, ValueError, RecursionError) as error:
        raise bad_task(
            what, f"has a value that JSON does not have: {error}", "write texts, numbers and lists"
        ) from error
    return "".join(parts)


def check_config(config: Mapping[str, Any], what: str) -> dict[str, Any]:
    """What of a description is handed to lm-evaluation-harness. Raises RefusalError for all that is not known."""
    for key in sorted(set(config) - KEYS - IGNORED):
        raise bad_task(what, f"has {key}", INSTEAD.get(key, "leave it out"))
    kept = {key: value for key, value in config.items() if key in KEYS and value is not None}
    output = kept.get("output_type", "generate_until")
    if output not in METRICS:
        action = f"write one of {', '.join(METRICS)}; for perplexity use the suite perplexity"
        raise bad_task(what, f"has output_type: {output}", action)
    for key in ("doc_to_text", "doc_to_target", *(["doc_to_choice"] if output == "multiple_choice" else [])):
        if key not in kept:
            raise bad_task(what, f"has no {key}", "write a template, or the name of a field of the rows")
    if kept.get("repeats", 1) != 1:
        raise bad_task(what, "answers a question several times", "write repeats: 1, or use the suite generation")
    kept["output_type"] = output
    kept["metric_list"] = _metrics(kept.get("metric_list"), output, what)
    kept["generation_kwargs"] = _generation(kept.get("generation_kwargs", {}), output, what)
    kept["filter_list"] = _filters(kept.get("filter_list"), what)
    kept["fewshot_config"] = _fewshot(kept.get("fewshot_config", {}), what)
    shots = kept.get("num_fewshot", 0)
    if not isinstance(shots, int) or isinstance(shots, bool) or not 0 <= shots <= 64:
        raise bad_task(what, f"has num_fewshot: {shots}", "write a number from 0 to 64")
    return {key: value for key, value in kept.items() if value not in (None, {}, [])}


def _metrics(asked: Any, output: str, what: str) -> list[dict[str, Any]]:
    known = METRICS[output]
    if asked is None:
        return [{"metric": name} for name in DEFAULT_METRICS[output]]
    for metric in _objects(asked, "metric_list", what):
        name = metric.get("metric")
        if name not in known or metric.get("hf_evaluate"):
            problem = f"asks for the metric {name}, which has no number for each question that could be paired"
            raise bad_task(what, problem, f"for {output} write one of {', '.join(known)}")
        _only(without(metric), METRIC_OPTIONS, f"metric {name}", what)
        if metric.get("aggregation", "mean") not in AGGREGATIONS:
            raise bad_task(
                what, f"metric {name} has the aggregation {metric['aggregation']}", "write aggregation: mean"
            )
    return [without(metric) for metric in asked]


def _generation(asked: Any, output: str, what: str) -> dict[str, Any]:
    if output != "generate_until":
        return {}
    (kwargs,) = map(without, _objects([asked], "generation_kwargs", what))
    _only(kwargs, frozenset(GENERATION), "generation_kwargs", what)
    if kwargs.get("do_sample") or kwargs.get("temperature") not in (None, 0, "0", "0.0"):
        raise bad_task(
            what, "draws answers by chance", "write do_sample: false; for drawn answers use suite generation"
        )
    length = kwargs.get("max_gen_toks", 256)
    if not isinstance(length, int) or not 1 <= length <= 32_768:
        raise bad_task(what, f"has max_gen_toks: {length}", "write a number from 1 to 32768")
    until = kwargs.get("until", [])
    ends = [until] if isinstance(until, str) else until
    if not isinstance(ends, list) or not all(isinstance(end, str) and end for end in ends):
        raise bad_task(what, "has an until that is no list of texts", 'write until: ["\\n"], say')
    return {**kwargs, **({"until": ends} if "until" in kwargs else {})}


def _filters(asked: Any, what: str) -> list[dict[str, Any]] | None:
    if asked is None:
        return None
    for pipeline in _objects(asked, "filter_list", what):
        if not isinstance(pipeline.get("name"), str):
            raise bad_task(what, "has a filter without a name", "write name: strict-match, say")
        for step in _objects(pipeline.get("filter"), f"filter {pipeline['name']}", what):
            if step.get("function") not in FILTERS:
                problem = f"filter {pipeline['name']} has the function {step.get('function')}"
                raise bad_task(what, problem, f"write one of {', '.join(FILTERS)}")
    return list(asked)


def _fewshot(asked: Any, what: str) -> dict[str, Any]:
    (config,) = _objects([asked], "fewshot_config", what)
    config = {key: value for key, value in config.items() if key not in ("split", "fewshot_indices")}
    _only(config, FEWSHOT, "fewshot_config", what)
    if config.get("sampler", "default") not in ("default", "first_n"):
        raise bad_task(what, f"has the sampler {config['sampler']}", "write default or first_n")
    return config


def without(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options but those that say nothing."""
    return {key: value for key, value in options.items() if key not in UNUSED}


def _objects(values: Any, name: str, what: str) -> list[dict[str, Any]]:
    if not isinstance(values, list) or not all(isinstance(each, dict) for each in values):
        raise bad_task(what, f"has a {name} of another form", "write it as lm-evaluation-harness documents it")
    return values


def _only(value: Mapping[str, Any], known: frozenset[str], name: str, what: str) -> None:
    for key in sorted(set(map(str, value)) - known):
        raise bad_task(what, f"{name} has {key}", f"leave it out; known are {', '.join(sorted(known))}")

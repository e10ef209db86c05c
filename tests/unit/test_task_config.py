"""A task's YAML is somebody's data: templates and names pass, code and foreign data are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from lowbit.worker.data.task_config import METRICS, YAML_BYTES, check_config, parse, write_description
from lowbit.worker.refuse import RefusalError

PLAIN: dict[str, Any] = {
    "task": "words", "output_type": "multiple_choice", "doc_to_text": "{{question}}", "doc_to_target": "answer",
    "doc_to_choice": "choices",
}  # fmt: skip
SPOKEN: dict[str, Any] = {"output_type": "generate_until", "doc_to_text": "{{n}}", "doc_to_target": "{{sum}}"}


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "task.yaml"
    path.write_text(text)
    return write_description(path, tmp_path / "out" / "task.json", "the description of task words").read_text()


def test_a_description_is_stored_as_one_line_of_what_is_handed_over(tmp_path: Path) -> None:
    more = {"dataset_path": "somebody/words", "test_split": "test", "tag": ["mine"], "metadata": {"version": 1.0}}
    line = write(tmp_path, yaml.safe_dump(PLAIN | more))
    assert line.count("\n") == 1
    stored = json.loads(line)
    assert set(stored) == {*PLAIN, "metric_list"} - {"task"}
    assert [metric["metric"] for metric in stored["metric_list"]] == ["acc", "acc_norm"]
    assert check_config(stored, "again") == stored, "the worker reads it as prepare wrote it"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("process_docs: !function utils.process_docs", "runs code .!function utils.process_docs"),
        ("doc_to_text: !function os.system", "runs code"),
        ("a: !!python/object/apply:os.system ['id']", "is not YAML of plain data"),
        ("a: !!python/name:os.system ''", "is not YAML of plain data"),
        ("[1, 2]", "is no mapping"),
        ("a: [", "is not YAML"),
        ("include: other.yaml", "has include"),
        ("a: &a [*a]", "has a|is not YAML"),
    ],
)
def test_what_is_no_plain_description_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(RefusalError, match=words) as refused:
        write(tmp_path, text)
    assert str(refused.value).startswith("the description of task words")
    assert refused.value.refusal.action


@pytest.mark.parametrize(
    ("change", "words", "action"),
    [
        ({"process_docs": "utils.f"}, "has process_docs", "write the rows as the templates need them"),
        ({"process_results": "utils.f"}, "has process_results", "use the metrics acc"),
        ({"custom_dataset": "utils.f"}, "has custom_dataset", "give the rows"),
        ({"dataset_kwargs": {"trust_remote_code": True}}, "has dataset_kwargs", "the rows come from"),
        ({"use_prompt": "promptsource:all"}, "has use_prompt", "doc_to_text"),
        ({"unsafe_code": True}, "has unsafe_code", "no code"),
        ({"surprise": 1}, "has surprise", "leave it out"),
        ({"output_type": "loglikelihood_rolling"}, "has output_type: loglikelihood_rolling", "suite perplexity"),
        ({"doc_to_target": None}, "has no doc_to_target", "write a template"),
        ({"doc_to_choice": None}, "has no doc_to_choice", "write a template"),
        ({"repeats": 4}, "answers a question several times", "suite generation"),
        ({"num_fewshot": -1}, "has num_fewshot: -1", "from 0 to 64"),
        ({"metric_list": [{"metric": "f1"}]}, "asks for the metric f1", "acc_norm"),
        ({"metric_list": [{"metric": "acc", "hf_evaluate": True}]}, "asks for the metric acc", "acc"),
        ({"metric_list": [{"metric": "acc", "module": "os"}]}, "metric acc has module", "leave it out"),
        ({"metric_list": [{"metric": "acc", "aggregation": "f1"}]}, "has the aggregation f1", "mean"),
        ({"metric_list": "acc"}, "has a metric_list of another form", "documents it"),
        ({"filter_list": [{"name": "a", "filter": [{"function": "custom"}]}]}, "has the function custom", "regex"),
        ({"fewshot_config": {"sampler": "utils.Sampler"}}, "has the sampler utils.Sampler", "first_n"),
        ({"fewshot_config": {"process_docs": "f"}}, "fewshot_config has process_docs", "leave it out"),
        (SPOKEN | {"generation_kwargs": {"do_sample": True}}, "draws answers by chance", "suite generation"),
        (SPOKEN | {"generation_kwargs": {"temperature": 0.7}}, "draws answers by chance", "suite generation"),
        (SPOKEN | {"generation_kwargs": {"max_gen_toks": 0}}, "has max_gen_toks: 0", "from 1"),
        (SPOKEN | {"generation_kwargs": {"until": 3}}, "has an until", "until"),
        (SPOKEN | {"generation_kwargs": {"structured_outputs": {}}}, "has structured_outputs", "leave"),
    ],
)  # fmt: skip
def test_each_thing_that_is_not_known_is_refused_with_what_to_write(
    change: dict[str, Any], words: str, action: str
) -> None:
    with pytest.raises(RefusalError, match=words) as refused:
        check_config(PLAIN | change, "task words")
    assert action in refused.value.refusal.action


def test_aliases_cannot_make_a_short_file_long(tmp_path: Path) -> None:
    lines = ["a0: &a0 [1,1,1,1,1,1,1,1,1,1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    bomb = yaml.safe_dump(PLAIN) + "fewshot_config:\n  samples:\n" + "".join(f"  - {line}\n" for line in lines)
    with pytest.raises(RefusalError, match=f"has more than {YAML_BYTES} bytes as JSON"):
        write(tmp_path, bomb)


def test_every_metric_that_is_taken_has_a_name_for_its_kind_of_output() -> None:
    for output, names in METRICS.items():
        metrics = [{"metric": name} for name in names]
        assert check_config(PLAIN | {"output_type": output, "metric_list": metrics}, "task")["metric_list"] == metrics


def test_plain_data_is_read() -> None:
    assert parse(b"a: 1\nb: [x]\n", "task") == {"a": 1, "b": ["x"]}

"""The largest result that the types allow reaches the operator whole, in a termination message of 4 KB."""

from __future__ import annotations

import base64
import json
import random
import string
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lowbit.api.calibration import Calibration
from lowbit.api.documents import EXIT_REFUSED, EvaluateResult, PrepareResult
from lowbit.api.evaluation import Evaluation
from lowbit.api.logged import LINE_LIMIT, LOGGED_LIMIT, MOST_PARTS, LoggedResult, join, split
from lowbit.api.paths import TERMINATION_LIMIT, UNPACKED_LIMIT
from lowbit.api.status import EvaluationSummary, MeanStatistics, Measurement, SpeedSummary
from lowbit.api.suites import metrics
from lowbit.api.termination import TerminationMessage
from lowbit.observe.jobviews import parse_termination
from lowbit.observe.views import read_result
from lowbit.worker.__main__ import fitting, write_termination
from tests.unit.api_inputs import prepared


def most(model: Any, field: str) -> int:
    """The longest that a list may be."""
    return int(next(item.max_length for item in model.model_fields[field].metadata if hasattr(item, "max_length")))


MOST_SUITES = most(Evaluation, "suites")
MOST_DATASETS = most(Calibration, "datasets")


def name(chance: random.Random, length: int = 63) -> str:
    return "".join(chance.choices(string.ascii_lowercase + string.digits, k=length))


def digest(chance: random.Random) -> str:
    return "sha256:" + chance.randbytes(32).hex()


def measurements(chance: random.Random, suite: str) -> list[Measurement]:
    found = []
    for metric in metrics():
        numbers = [f"{chance.uniform(0, 1) * 10 ** chance.randint(-6, 6):.6g}" for _ in range(3)]
        mean = MeanStatistics(value=numbers[0], standard_error=numbers[1], skewness=numbers[2])
        found.append(Measurement(suite=suite, metric=metric, count=100_000, mean=mean))
    return found


def evaluated(suites: int, seed: int, slices: int = 0) -> TerminationMessage:
    """A candidate's result, with some numbers for each class; no two names or numbers have anything in common."""
    chance = random.Random(seed)
    rows = [row for _ in range(suites) for row in measurements(chance, name(chance))]
    rows += [row.model_copy(update={"slice": f"class-{n}"}) for n in range(slices) for row in rows[:: len(metrics())]]
    speed = [
        SpeedSummary(concurrency=n, tokens_per_second="123456.7", time_to_first_token_seconds="0.1234")
        for n in (1, 4096)
    ]
    summary = EvaluationSummary(
        measurements=rows,
        speed=speed,
        report_digest=digest(chance),
        report_path="evaluations/eval-0123456789/report.html",
    )
    return TerminationMessage(
        evaluate=EvaluateResult(evaluation="eval-0123456789", summary=summary, seconds=43_199.9)
    )  # fmt: skip


def written(message: TerminationMessage, folder: Path) -> str:
    write_termination(message, folder / "message")
    return (folder / "message").read_text()


def told(message: TerminationMessage, folder: Path) -> TerminationMessage | None:
    """What the operator makes of a result: of the termination message, and of the log where that says so."""
    log = ["a line for people", "{}"]
    code, short = fitting(0, message, log.append)
    assert code == 0
    log.append("a warning at the very end")
    text = written(short, folder)
    assert len(text.encode()) <= TERMINATION_LIMIT
    seen = parse_termination(text)
    if seen is None or seen.logged is None:
        return seen
    assert all(len(line) <= LINE_LIMIT for line in log)
    return read_result("\n".join(log), seen.logged).message


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("slices", [0, 200])
def test_an_evaluation_of_as_many_suites_as_are_allowed_comes_back_whole(
    seed: int, slices: int, tmp_path: Path
) -> None:
    message = evaluated(MOST_SUITES, seed, slices)
    assert told(message, tmp_path) == message


@given(lines=st.lists(st.integers(0, 20), max_size=4), changed=st.sampled_from(["cut", "other", "damaged"]))
def test_a_result_in_a_log_that_is_not_whole_is_no_result(lines: list[int], changed: str) -> None:
    logged, log = split(evaluated(MOST_SUITES, 0, 20).model_dump_json(by_alias=True))
    assert join("\n".join(reversed(log)), logged), "whatever their order"
    if changed == "cut":
        log = [line for number, line in enumerate(log) if number and number not in lines]
    elif changed == "other":
        logged = logged.model_copy(update={"digest": "0" * 64})
    else:
        log[0] = log[0].replace("A", "B").replace("a", "A")
    with pytest.raises(ValueError, match=r"the log|log is"):
        join("\n".join(log), logged)


def unwanted(line: str) -> None:
    raise AssertionError(f"written to the log: {line}")


def found(length: int, datasets: int = MOST_DATASETS) -> TerminationMessage:
    """What prepare says of as many datasets as are allowed, their names so long, without anything in common."""
    chance = random.Random(1)
    keys = [f"calibration/{name(chance, length)}" for _ in range(datasets)]
    keys += [f"evaluation/{name(chance, length)}" for _ in range(MOST_SUITES)]
    found_ = {key: digest(chance) for key in keys}
    return TerminationMessage(
        prepare=PrepareResult(source=digest(chance), facts=prepared().facts, datasets=found_)
    )  # fmt: skip


@pytest.mark.parametrize("length", [16, 63])
def test_what_prepare_finds_of_as_many_datasets_as_are_allowed_comes_back_whole(length: int, tmp_path: Path) -> None:
    message = found(length)
    assert told(message, tmp_path) == message


def test_what_prepare_finds_of_a_few_datasets_needs_no_log() -> None:
    message = found(16, datasets=4)
    assert fitting(0, message, unwanted) == (0, message)


def test_a_result_that_cannot_be_told_is_refused_and_not_cut_off() -> None:
    code, message = fitting(0, evaluated(MOST_SUITES, 0, 2000), unwanted)
    assert code == EXIT_REFUSED
    assert message.refusal is not None
    assert message.refusal.reason == "ResultTooLong"


def test_a_result_that_fits_is_left_readable(tmp_path: Path) -> None:
    whole = evaluated(1, 0).result(EvaluateResult)
    assert whole is not None
    summary = whole.summary.model_copy(update={"measurements": whole.summary.measurements[:8]})
    message = TerminationMessage(evaluate=whole.model_copy(update={"summary": summary}))
    assert json.loads(written(message, tmp_path))["evaluate"]["evaluation"] == "eval-0123456789"


@pytest.mark.parametrize(
    "packed",
    [
        "no base64",
        base64.b64encode(b"not deflated").decode(),
        base64.b64encode(zlib.compress(b"no json")).decode(),
        base64.b64encode(zlib.compress(b'{"evaluate": {"evaluation": "cut off"}}')[:-8]).decode(),
        base64.b64encode(zlib.compress(b" " * (UNPACKED_LIMIT + 1))).decode(),
    ],
    ids=["base64", "deflate", "json", "cut", "bomb"],
)
def test_a_packed_message_that_is_damaged_is_no_result(packed: str) -> None:
    assert parse_termination(json.dumps({"packed": packed})) is None
    with pytest.raises(ValidationError):
        TerminationMessage.model_validate({"packed": packed})


def test_a_result_that_packs_well_but_unpacks_to_more_than_is_taken_goes_to_the_log(tmp_path: Path) -> None:
    """A candidate that equals its original has the same numbers in every class."""
    row = measurements(random.Random(0), "same")[0]
    rows = [row.model_copy(update={"slice": f"class-{n % 10}"}) for n in range(600)]
    summary = EvaluationSummary(measurements=rows, speed=[])
    message = TerminationMessage(evaluate=EvaluateResult(evaluation="eval-1", summary=summary, seconds=1))
    assert len(message.text().encode()) <= TERMINATION_LIMIT
    assert told(message, tmp_path) == message


def test_a_packed_message_that_is_nested_too_deep_is_no_result() -> None:
    packed = base64.b64encode(zlib.compress(b"[" * 60_000)).decode()
    assert parse_termination(json.dumps({"packed": packed})) is None


def test_a_pod_cannot_have_the_operator_read_without_end() -> None:
    assert parse_termination('{"logged": {"digest": "x", "parts": 1000000000}}') is None
    assert parse_termination('{"logged": {"digest": "x", "parts": 0}}') is None
    noise = base64.b64encode(random.Random(0).randbytes(LOGGED_LIMIT * 3 // 4)).decode()
    assert split(noise[:LOGGED_LIMIT])[0].parts <= MOST_PARTS, "the longest result that there may be fits"


def test_a_result_in_the_log_that_names_another_one_is_no_result() -> None:
    inner = TerminationMessage(logged=LoggedResult(digest="x", parts=1)).model_dump_json(
        by_alias=True, exclude_none=True
    )
    logged, lines = split(inner)
    assert read_result("\n".join(lines), logged).message is None

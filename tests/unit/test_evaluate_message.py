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
from pydantic import ValidationError

from lowbit.api.calibration import Calibration
from lowbit.api.documents import EXIT_REFUSED, EvaluateResult, PrepareResult
from lowbit.api.evaluation import Evaluation
from lowbit.api.paths import TERMINATION_LIMIT, UNPACKED_LIMIT
from lowbit.api.status import Estimate, EvaluationSummary, FidelitySummary, SpeedSummary
from lowbit.api.termination import TerminationMessage
from lowbit.observe.views import parse_termination
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


def estimate(chance: random.Random) -> Estimate:
    numbers = [f"{chance.uniform(0, 1) * 10 ** chance.randint(-6, 6):.6g}" for _ in range(2)]
    return Estimate(value=numbers[0], standard_error=numbers[1], count=100_000)


def evaluated(suites: int, seed: int) -> TerminationMessage:
    """A candidate's result; no two names or numbers have anything in common."""
    chance = random.Random(seed)
    fidelity = [
        FidelitySummary(
            suite=name(chance), samples=100_000, tokens=51_100_000, perplexity=estimate(chance),
            kl_divergence=estimate(chance), log_perplexity_ratio=estimate(chance), top1_agreement=estimate(chance),
            covered_mass=f"{chance.random():.6g}",
        )
        for _ in range(suites)
    ]  # fmt: skip
    speed = [
        SpeedSummary(concurrency=n, tokens_per_second="123456.7", time_to_first_token_seconds="0.1234")
        for n in (1, 4096)
    ]
    summary = EvaluationSummary(
        fidelity=fidelity,
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


@pytest.mark.parametrize("seed", range(20))
def test_an_evaluation_of_as_many_suites_as_are_allowed_fits_and_comes_back_whole(seed: int, tmp_path: Path) -> None:
    message = evaluated(MOST_SUITES, seed)
    text = written(message, tmp_path)
    assert len(text.encode()) <= TERMINATION_LIMIT
    assert parse_termination(text) == message


def found(length: int) -> TerminationMessage:
    """What prepare says of as many datasets as are allowed, their names so long, without anything in common."""
    chance = random.Random(1)
    keys = [f"calibration/{name(chance, length)}" for _ in range(MOST_DATASETS)]
    keys += [f"evaluation/{name(chance, length)}" for _ in range(MOST_SUITES)]
    datasets = {key: digest(chance) for key in keys}
    return TerminationMessage(
        prepare=PrepareResult(source=digest(chance), facts=prepared().facts, datasets=datasets)
    )  # fmt: skip


def test_what_prepare_finds_of_as_many_datasets_as_are_allowed_fits_too(tmp_path: Path) -> None:
    message = found(16)
    text = written(message, tmp_path)
    assert len(text.encode()) <= TERMINATION_LIMIT
    assert parse_termination(text) == message
    assert fitting(0, message) == (0, message)


def test_a_result_that_cannot_be_told_is_refused_and_not_cut_off() -> None:
    code, message = fitting(0, found(63))
    assert code == EXIT_REFUSED
    assert message.refusal is not None
    assert message.refusal.reason == "ResultTooLong"


def test_a_result_that_fits_is_left_readable(tmp_path: Path) -> None:
    message = evaluated(2, 0)
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

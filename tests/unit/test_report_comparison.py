"""With evaluation.compare: All a report shows its candidate beside the original and those that were judged before."""

from __future__ import annotations

from pathlib import Path

import pytest

from lowbit.api.documents import OtherCandidate
from lowbit.api.modelevaluation import EvaluatedModel
from lowbit.naming.canonical import digest
from lowbit.naming.store_keys import report_key
from lowbit.worker.report.comparison import ComparedRow, Interval, chart, sections
from tests.unit.evaluation_bench import ARTIFACT, CANDIDATE, ENGINE, ORIGINAL, Bench, make_bench
from tests.unit.fake_engine import FakeEngine, damaged

SECOND = "sha256:" + "e" * 64
MUCH_WORSE = damaged(ORIGINAL, 2.0)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path)


def first_one(**changes: object) -> OtherCandidate:
    known = OtherCandidate(
        name="gptq-int8-g64", evaluation="eval-1", model=EvaluatedModel(kind="Artifact", digest=ARTIFACT),
        runtime_key=digest("runtime", ENGINE), bytes=140_000_000, verdict="Passed",
    )  # fmt: skip
    return known.model_copy(update=changes)


async def second_report(bench: Bench, *others: OtherCandidate) -> str:
    await bench.both(CANDIDATE)
    document = bench.document(
        baseline="baseline-1", evaluation="eval-2", model=EvaluatedModel(kind="Artifact", digest=SECOND),
        candidate="gptq-int4-g64", others=list(others),
    )  # fmt: skip
    await bench.run(FakeEngine(MUCH_WORSE), document)
    return (bench.store.read(report_key("eval-2")) or b"").decode()


async def test_the_report_of_the_second_candidate_shows_the_first_and_the_original(bench: Bench) -> None:
    page = await second_report(bench, first_one())
    assert "All candidates" in page
    for part in ("original", "gptq-int8-g64", "gptq-int4-g64 (this report)", "140.0 MB", "269.1 MB", "1.92", "Passed"):
        assert part in page
    assert "fidelity: KL divergence by size in GB" in page


async def test_a_report_with_nothing_beside_it_has_no_comparison(bench: Bench) -> None:
    assert "All candidates" not in await second_report(bench)


@pytest.mark.parametrize(
    "changes", [{"evaluation": "eval-gone"}, {"model": EvaluatedModel(kind="Artifact", digest="sha256:" + "9" * 64)}]
)
async def test_a_result_that_is_missing_or_of_something_else_is_left_out(
    bench: Bench, changes: dict[str, object]
) -> None:
    page = await second_report(bench, first_one(**changes))
    assert "gptq-int8-g64" not in page
    assert "gptq-int4-g64 (this report)" in page


def test_the_table_has_a_row_for_each_and_says_where_nothing_was_measured() -> None:
    kl = Interval(0.112, 0.09, 0.131)
    rows = [ComparedRow("original", 2_000_000_000), ComparedRow("int4", 500_000_000, {"chat: KL": kl}, "Failed")]
    table, plot = sections(rows)
    assert list(table.rows[0]) == ["original", "2.00 GB", "1.00", "–", "–", "–", "–"]
    assert list(table.rows[1]) == ["int4", "500.0 MB", "4.00", "Failed", "0.112 [0.09, 0.131]", "–", "–"]
    assert plot.title == "chat: KL"


@pytest.mark.parametrize("bounds", [(0.1, 0.1), (float("-inf"), float("inf")), (0.0, 1.0)])
def test_a_chart_can_be_drawn_of_any_bounds(bounds: tuple[float, float]) -> None:
    rows = [ComparedRow("original", 10**9), ComparedRow("<int4>", 10**8, {"KL": Interval(0.1, *bounds)})]
    drawn = chart("KL", rows)
    assert drawn.startswith("<svg")
    assert "&lt;int4&gt;" in drawn
    assert "nan" not in drawn


def test_a_chart_of_nothing_is_empty() -> None:
    assert chart("KL", [ComparedRow("original", 10**9)]) == ""

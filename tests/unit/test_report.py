"""report.json, and what is rendered from it: everything is escaped, nothing is fetched, page and text say the same."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
from html import unescape

import pytest

from lowbit.api.modelevaluation import Place
from lowbit.report import html, text, words
from lowbit.report.assess import with_verdict
from lowbit.report.model import ModuleRow, Report, Section
from lowbit.report.quantlog import by_depth, by_kind, quant_log
from lowbit.worker.report import plots
from lowbit.worker.report.modules import module_plots
from lowbit.worker.report.samples import CUT, SHOWN, TEXT, compared_lines, shown_samples
from lowbit.worker.suites.base import ComparedSample
from tests.unit import report_inputs as inputs
from tests.unit.report_inputs import EVIL

FACTS = (
    "Failed", "Specificity of class fraud is 0.047 lower", "8 bits", "needs work", "excellent", "gptq-int4-g128",
    "0.02964 to 0.03276", "14.61", "801", "68", "mlp.down_proj", "15.23 GB", "5.58 GB", "1410.0", "29 min", "0.78",
    "fraud-rl", "60", "seed 42", "quantization gptq_marlin", "line-0", "without 3 lines",
)  # fmt: skip


@pytest.mark.parametrize("render", [html.render, text.render], ids=["page", "text"])
def test_page_and_text_have_the_same_facts(render: object) -> None:
    assert callable(render)
    shown = " ".join(render(inputs.report()).split())
    assert [fact for fact in FACTS if fact.lower() not in shown.lower()] == []


def test_json_reads_back_whole_and_a_newer_field_is_no_error() -> None:
    report = inputs.report()
    assert Report.model_validate_json(report.model_dump_json(by_alias=True)) == report
    assert Report.model_validate(report.model_dump(mode="json", by_alias=True) | {"new": 1}) == report


def test_nothing_of_a_model_or_a_dataset_is_markup() -> None:
    report = inputs.report(
        inputs.record(message=EVIL), notes=[EVIL],
        subject=inputs.report().subject.model_copy(update={"quantized_model": EVIL}),
        modules=[ModuleRow(name=EVIL, layer=0, kind=EVIL, loss=1.0, seconds=1.0)],
    )  # fmt: skip
    drawn = report.model_copy(update={"plots": module_plots(report.modules)})
    page = html.render(drawn)
    assert len(drawn.plots) == 2
    assert page.count("<script") == 1
    assert "<img" not in page
    assert EVIL not in page


def page_policy(page: str) -> str:
    found = re.search(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)
    assert found is not None
    return unescape(found[1])


def test_the_page_asks_for_nothing_and_its_policy_lets_one_script_run() -> None:
    report = inputs.report()
    page = html.render(report.model_copy(update={"plots": module_plots(report.modules)}))
    links = re.findall(r'(?:src|href|action)="([^"#]*)', page)
    assert [link[:21] for link in links if link] == ["data:text/csv;base64,"]
    assert not re.findall(r"@import|url\((?!#)|<link|<iframe|<object", page)
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    policy = page_policy(page)
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_a_models_answer_does_not_steer_the_terminal_and_lines_have_eighty_columns() -> None:
    sample = inputs.samples()[0].model_copy(update={"candidate": "a\x1b[2Jb\x07\x9b31m\u202egpj"})
    shown = text.render(inputs.report(samples=[sample]))
    assert not re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", shown)
    assert max(map(len, shown.splitlines())) <= 80


def confused(classes: int) -> Section:
    """A confusion of classes, each taken for itself and for the next one."""
    labels = [f"department-{number}" for number in range(classes)]
    told = {0: "90 / 70", 1: "10 / 30"}
    cells = [[told.get((column - line) % classes, "0 / 0") for column in range(classes)] for line in range(classes)]
    rows = [[label, *line] for label, line in zip(labels, cells, strict=True)]
    return Section(title="Confusion: mail", text="Original / candidate.", header=["", *labels], rows=rows)


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_the_text_shows_which_classes_were_taken_for_which_however_many_there_are(classes: int) -> None:
    shown = text.render(inputs.report(sections=[confused(classes)]))
    assert max(map(len, shown.splitlines())) <= 80
    part = shown[shown.index("CONFUSION: MAIL") : shown.index("QUANTIZATION BY KIND")]
    assert len(part.splitlines()) <= 2 * classes + 10, "a few lines"
    for number in range(classes):
        (line,) = (line for line in part.splitlines() if re.match(rf"department-{number}\b.*90 / 70", line))
        assert "10 / 30" in line


def test_the_present_verdict_replaces_the_one_of_the_store_with_its_remedy() -> None:
    stored = inputs.report()
    assert "when this was measured" in words.judged(stored)
    now = with_verdict(stored, inputs.record("Passed", inputs.check(), message="KLDivergence is at most 0.05"), [])
    for shown in (html.render(now), text.render(now)):
        assert "passed" in shown.lower()
        assert "The ModelRevision" in shown
        assert "Next: 8 bits" not in shown
        assert "margin of 0.02" not in shown


def test_a_report_of_what_was_evaluated_again_says_so_and_where_its_verdict_is() -> None:
    again = inputs.report().subject.model_copy(update={"place": Place(device="NVIDIA-L4", image="vllm@sha256:1")})
    for shown in (html.render(inputs.report(subject=again)), text.render(inputs.report(subject=again))):
        told = " ".join(shown.split())
        assert "Evaluated again" in told and "NVIDIA-L4" in told and "vllm@sha256:1" in told
        assert "status.judgedAgain of the ModelRevision" in told
        assert "kubectl lowbit report" not in told, "it shows the first evaluation"
    assert "Evaluated again" not in html.render(inputs.report()) + text.render(inputs.report())


def test_a_report_without_thresholds_or_of_an_original_claims_no_verdict() -> None:
    bare = inputs.report(judgement=None)
    assert (words.verdict(bare), bare.remedy) == ("Not judged", None)
    subject = bare.subject.model_copy(update={"baseline": None, "recipe": None})
    original = inputs.report(judgement=None, subject=subject, classes=[], samples=[], modules=[], calibration=None)
    assert (words.verdict(original), original.grades, original.remedy) == ("Original", [], None)
    assert "candidates are compared with it" in html.render(original)
    assert "candidates are compared with it" in " ".join(text.render(original).split())


def test_the_quantizers_log_is_a_csv_a_row_for_each_module() -> None:
    rows = [*inputs.modules(2), ModuleRow(name="=cmd()", kind="=cmd()", rounded=True)]
    table = list(csv.DictReader(io.StringIO(quant_log(rows))))
    assert len(table) == 15
    first = table[0]
    assert (first["layer"], first["module"], first["kind"]) == ("0", "layers.0.self_attn.q_proj", "self_attn.q_proj")
    assert float(first["seconds"]) == rows[0].seconds
    assert float(first["loss"]) == pytest.approx(rows[0].loss)
    assert (table[-1]["module"], table[-1]["loss"], table[-1]["rounded"]) == ("'=cmd()", "", "true")


def test_modules_are_summed_up_by_depth_and_by_kind() -> None:
    rows = inputs.modules(24)
    assert [group.name for group in by_depth(rows)] == [str(layer) for layer in range(24)]
    kinds = by_kind(rows)
    assert kinds[0].name == "mlp.down_proj", "the largest mean loss first"
    assert kinds[0].worst is not None and kinds[0].worst.layer == 17
    assert sum(group.count for group in kinds) == len(rows)
    assert sum(group.seconds or 0 for group in kinds) == pytest.approx(sum(row.seconds or 0 for row in rows))


def compared(number: int, *, flipped: bool = False, score: float = 0.0, answer: str = "a") -> ComparedSample:
    return ComparedSample(f"{number}", "prompt", answer, answer, flipped=flipped, score=score)


def test_flipped_samples_and_the_worst_are_shown_and_every_one_is_counted() -> None:
    many = [compared(n, flipped=n % 2 == 0, score=n / 5000) for n in range(5000)]
    rows, counts = shown_samples({"fraud": many, "fidelity": []})
    assert len(rows) == SHOWN
    assert (counts[0].all, counts[0].flipped, counts[0].shown, len(counts)) == (5000, 2500, SHOWN, 1)
    assert [row.id for row in rows[:2]] == ["4998", "4996"]
    assert next(row.id for row in rows if not row.flipped) == "4999"
    assert compared_lines({"fraud": many}).count(b"\n") == 5000


def test_a_report_stays_small_however_long_the_answers_are() -> None:
    many = [compared(n, answer="x\x00\ud800" * 100_000) for n in range(1000)]
    rows, _ = shown_samples({"a": many, "b": many})
    whole = inputs.report(samples=rows)
    assert rows[0].original.endswith(CUT) and len(rows[0].original) == TEXT + len(CUT)
    assert len(whole.model_dump_json().encode()) < 10_000_000
    assert b"\x00" not in html.render(whole).encode()


def test_a_plot_has_the_pages_colours_and_no_fixed_size() -> None:
    svg = plots.histogram([0.001, 0.2, float("nan")], 1e-6, "KL $divergence_", mean=0.1)
    assert "var(--series-1)" in svg and "var(--muted)" in svg
    assert not re.findall(r"#0000|<metadata|DejaVu|<!--|<\?xml|mathdefault", svg)
    assert "KL $divergence_" in svg
    assert svg == plots.histogram([0.001, 0.2, float("nan")], 1e-6, "KL $divergence_", mean=0.1)
    assert plots.histogram([], 1e-6, "x") == plots.lines({"a": [(0, 0.0)]}, "x", "y") == plots.bars([]) == ""

"""What is evaluated on is not calibrated on, however it is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbit.data.overlap import ALIKE, refuse_shared, runs, shared_texts, similarity
from lowbit.worker.data.datasets import Record
from lowbit.worker.data.prepared import prepare_datasets
from lowbit.worker.refuse import RefusalError
from lowbit.worker.store.pvc import PVCStore
from tests.unit import worker_inputs as inputs

TEXT = (
    "The keeper of the lighthouse wrote down every ship that passed, its flag, its course and the state of the sea, "
    "and after forty years his books filled a whole wall of the house."
)
NEAR = (
    TEXT.replace("forty", "fifty"),
    TEXT.upper(),
    TEXT.replace(" ", "  ").replace(",", ", "),
    TEXT + " Nobody ever read them.",
)
OTHER = "A glacier looks still, yet stakes that were planted across the ice form a curve after a single summer."


def overlap(calibration: list[str], evaluation: list[str]) -> list[tuple[int, int]]:
    found = shared_texts(
        {"talk": [Record(n, text=text) for n, text in enumerate(calibration, start=1)]},
        {"fidelity": [Record(n, text=text) for n, text in enumerate(evaluation, start=1)]},
    )
    return [(each.line, each.suite_line) for each in found]


@pytest.mark.parametrize("near", NEAR)
def test_a_near_duplicate_is_found(near: str) -> None:
    assert overlap([OTHER, near], [TEXT]) == [(2, 1)]


def test_a_chat_is_compared_by_what_is_said() -> None:
    chat = Record(1, messages=({"role": "user", "content": "Tell me."}, {"role": "assistant", "content": TEXT}))
    found = list(shared_texts({"talk": [chat]}, {"fidelity": [Record(1, text=NEAR[0])]}))
    assert [(each.dataset, each.suite) for each in found] == [("talk", "fidelity")]


ANSWER = "It is raining in Paris today, and the wind comes from the north with some force."


def said(asked: str, answered: str) -> Record:
    roles = (("user", asked), ("assistant", answered))
    return Record(1, messages=tuple({"role": role, "content": content} for role, content in roles))


@pytest.mark.parametrize(
    ("calibration", "evaluation"),
    [
        (Record(1, text=TEXT), said(TEXT.upper(), ANSWER)),
        (said("Go on", NEAR[0]), Record(1, text=TEXT)),
    ],
    ids=["the prompt of an SFT record", "an answer"],
)
def test_what_is_said_in_a_chat_is_found_as_a_text_too(calibration: Record, evaluation: Record) -> None:
    assert len(list(shared_texts({"talk": [calibration]}, {"fidelity": [evaluation]}))) == 1


def test_labels_templates_and_system_prompts_that_both_sides_have_are_no_overlap() -> None:
    """A label is the answer of many; what several records of a dataset say tells none of them."""

    def chat(number: int) -> Record:
        asked = f"{number * 7919} euros were paid at a shop with the number {number * 104729} in the night, by card."
        label = "This payment is no fraud, as far as the given data can say."
        messages = [("system", TEXT), ("user", asked), ("assistant", label)]
        return Record(number, messages=tuple({"role": role, "content": said} for role, said in messages))

    label = Record(1, text="This payment is no fraud, as far as the given data can say.")
    assert list(shared_texts({"talk": [label]}, {"fidelity": [chat(2), chat(3)]})) == []


def test_texts_without_words_and_without_spaces_are_compared_too() -> None:
    assert overlap(["!!! ??? ... --- ***", "🙂🙂🙂"], ["*** --- ...", "🙃🙃🙃"]) == []
    chinese = "灯塔的看守人记下了每一艘经过的船只，它的旗帜、航向和海面的状况，四十年后他的书摆满了整面墙。"
    assert overlap([chinese.replace("四十", "五十")], [chinese]) == [(1, 1)]
    assert overlap(["冰川看起来静止不动，然而插在冰面上的标杆在一个夏天之后就形成了一条曲线。"], [chinese]) == []


def test_texts_on_the_same_subject_are_not_the_same() -> None:
    assert overlap([OTHER, "The lighthouse keeper never wrote a book, but he counted the ships."], [TEXT]) == []


words = st.lists(st.sampled_from("abcdefghij"), min_size=1, max_size=30).map(" ".join)


@given(calibration=st.lists(words, max_size=8), evaluation=st.lists(words, max_size=8))
def test_only_what_is_really_alike_is_named_and_equal_texts_always_are(
    calibration: list[str], evaluation: list[str]
) -> None:
    found = dict(overlap(calibration, evaluation))
    for line, other in found.items():
        pair = (Record(1, text=calibration[line - 1]), Record(1, text=evaluation[other - 1]))
        assert similarity(runs(pair[0]), runs(pair[1])) >= ALIKE
    for line, text in enumerate(calibration, start=1):
        assert text not in evaluation or line in found


def test_the_refusal_names_both_lines_and_what_to_write() -> None:
    found = shared_texts({"talk": [Record(4, text=TEXT)]}, {"fidelity": [Record(3, text=NEAR[0])]})
    with pytest.raises(RefusalError) as error:
        refuse_shared(list(found))
    refusal = error.value.refusal
    assert refusal.reason == "DataOverlap"
    assert "line 3 of the evaluation data of suite fidelity" in refusal.message
    assert "line 4 of the calibration dataset talk" in refusal.message
    assert "calibration.overlap: Remove" in refusal.action


def test_what_is_removed_is_another_dataset_and_is_counted(tmp_path: Path) -> None:
    store, mounts = PVCStore(tmp_path / "store"), inputs.write_places(tmp_path)
    folder = mounts.config_maps / "texts"
    plain = prepare_datasets(inputs.spec(), store, mounts)
    inputs.write_lines(folder / "calibration.jsonl", [*inputs.texts(0, 10), {"text": NEAR[0]}, {"text": NEAR[1]}])
    inputs.write_lines(folder / "holdout.jsonl", [*inputs.texts(100, 260), {"text": TEXT}])
    refuse = inputs.spec()
    assert refuse.calibration is not None
    with pytest.raises(RefusalError, match="2 such lines"):
        prepare_datasets(refuse, store, mounts)
    remove = refuse.model_copy(update={"calibration": refuse.calibration.model_copy(update={"overlap": "Remove"})})
    found = prepare_datasets(remove, store, mounts)
    assert found.removed == {"talk": 2}
    assert read(store, found.digests["calibration/talk"]) == read(store, plain.digests["calibration/talk"])


def read(store: PVCStore, digest: str) -> list[object]:
    """A dataset in the store."""
    return [json.loads(line) for line in store.dataset(digest).read_text().splitlines() if line]

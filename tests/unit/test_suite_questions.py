"""Lines of a dataset as questions, and the answers to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lowbit.worker.data.questions import DrawnQuestions, Question, QuestionSet, draw_questions
from lowbit.worker.engines.base import Prompt, Reply, Sampling, ToolCall
from lowbit.worker.engines.vllm import connect
from lowbit.worker.progress import Progress
from lowbit.worker.refuse import RefusalError
from lowbit.worker.suites import answers
from lowbit.worker.suites.answers import Answered, Answers, Asker
from tests.unit.evaluation_bench import ORIGINAL
from tests.unit.fake_engine import MODEL, FakeEngine, serve


def user(text: str, **fields: Any) -> dict[str, Any]:
    """A line that asks."""
    return {"messages": [{"role": "user", "content": text}], **fields}


def drawn(folder: Path, lines: list[Any], count: int = 100, **names: Any) -> DrawnQuestions:
    """The questions of these lines."""
    path = folder / "questions.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return draw_questions(QuestionSet("the dataset of suite tasks", path, "Auto", "seed", **names), count)


def test_a_line_says_what_is_asked_what_is_right_and_of_which_kind_it_is(tmp_path: Path) -> None:
    (one,) = drawn(tmp_path, [user("two and two?", expected=4, category="sums", group="a")]).questions
    (other,) = drawn(tmp_path, [{"text": "1 + 1 =", "expected": "2"}]).questions
    assert (one.expected, one.category, one.group) == (4, "sums", "a")
    assert one.prompt == Prompt(messages=({"role": "user", "content": "two and two?"},))
    assert other.prompt == Prompt(text="1 + 1 =")
    assert (other.expected, other.category, other.group) == ("2", "", "")


def test_other_names_of_fields_are_those_of_the_suite(tmp_path: Path) -> None:
    lines = [user("two and two?", answer="four", kind=True)]
    (one,) = drawn(tmp_path, lines, expected_field="answer", category_field="kind").questions
    assert (one.expected, one.category) == ("four", "true")


def test_the_answer_at_the_end_of_a_chat_is_expected_and_not_shown_to_the_model(tmp_path: Path) -> None:
    chat = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "good day"}]
    (one,) = drawn(tmp_path, [{"messages": chat}]).questions
    assert one.expected == "good day"
    assert one.prompt == Prompt(messages=({"role": "user", "content": "hello"},))
    (told,) = drawn(tmp_path, [{"messages": chat, "expected": "hi"}]).questions
    assert told.expected == "hi"
    assert told.id == one.id, "the same is asked"


def test_the_same_question_counts_once(tmp_path: Path) -> None:
    lines = [user("why  so?", expected="x"), user("why so?\n", expected="x"), user("what?", expected="y")]
    found = drawn(tmp_path, lines)
    assert (len(found.questions), found.lines, found.duplicates) == (2, 3, 1)


def test_two_answers_to_one_question_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusalError, match="line 3: asks the same as line 1, and expects another answer"):
        drawn(tmp_path, [user("a?", expected=1), user("b?", expected=1), user("a?", expected=2)])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({"messages": [{"role": "assistant", "content": "hello"}]}, "asks nothing"),
        ({"text": "  "}, "asks nothing"),
        (user("a?", category=["x"]), "has a field category that is no name"),
        (user("a?", group={"x": 1}), "has a field group that is no name"),
        ({"text": "\ud800"}, "has half of a character"),
        ({"messages": json.dumps([{"role": "user", "content": "\ud800"}])}, "is no text"),
    ],
)
def test_a_line_that_asks_nothing_is_named(tmp_path: Path, line: Any, words: str) -> None:
    with pytest.raises(RefusalError, match=f"the dataset of suite tasks, line 2: {words}"):
        drawn(tmp_path, [{"text": "first?"} if "text" in line else user("first?"), line])


def test_questions_are_drawn_by_chance_and_the_same_each_time(tmp_path: Path) -> None:
    lines = [user(f"number {number}?", expected=number) for number in range(60)]
    first = [question.expected for question in drawn(tmp_path, lines, 20).questions]
    assert len(first) == 20
    assert first != sorted(first)
    assert first == [question.expected for question in drawn(tmp_path, lines, 20).questions]
    more = [question.expected for question in drawn(tmp_path, lines, 30).questions]
    assert more[:20] == first, "more questions keep those that were asked"


REPLY = Reply("yes é", "Stop", 5, 2, (ToolCall("look", "{}"),), "thinking")


def answered(number: int, **more: Any) -> Answered:
    """An answer to a question."""
    prompt = Prompt(messages=({"role": "user", "content": f"{number}?"},), tools=({"type": "function"},))
    return Answered(Question(f"q{number}", prompt, {"a": [1]}, "sums", "g", number), [1, 2], (REPLY, REPLY), **more)


def test_answers_are_stored_as_they_were() -> None:
    before = Answers([answered(1, logprobs=(-1.5, -0.25)), answered(2)], 5, 3)
    arrays = answers.pack(before)
    assert all(array.dtype != object for array in arrays.values())
    assert answers.unpack(arrays) == before
    assert answers.texts(before) == [[1, 2], [1, 2]]


@pytest.mark.parametrize("damage", [b"[]", b"{}", b"[1]", b"broken", b'[{"question": 3}]', b"[{}]"])
def test_stored_answers_that_are_something_else_are_damaged(damage: bytes) -> None:
    import numpy as np

    arrays = answers.pack(Answers([answered(1)], 1, 0)) | {"answered": np.frombuffer(damage, dtype=np.uint8)}
    with pytest.raises((ValueError, KeyError)):
        answers.unpack(arrays)


def test_both_models_are_paired_by_question_whatever_the_order() -> None:
    original, candidate = Answers([answered(1), answered(2)], 2, 0), Answers([answered(2), answered(1)], 2, 0)
    assert [(a.question.id, b.question.id) for a, b in answers.pair(original, candidate)] == [
        ("q1", "q1"),
        ("q2", "q2"),
    ]
    with pytest.raises(ValueError, match="same questions"):
        answers.pair(original, Answers([answered(1), answered(3)], 2, 0))


async def ask(engine: FakeEngine, folder: Path, lines: list[Any], room: int | None = None) -> list[Answered]:
    """Ask the questions of these lines."""
    progress = Progress("evaluate", write=lambda _: None)
    questions = sorted(drawn(folder, lines).questions, key=lambda question: question.line)
    async with serve(engine) as url, connect(MODEL, url) as client:

        async def one(question: Question, tokens: list[int]) -> Answered:
            return Answered(question, tokens, (await client.answer(question.prompt, Sampling(8)),))

        asker = Asker(client, "the dataset of suite tasks", room, progress)
        return await answers.ask_all(questions, one, asker)


async def test_all_questions_are_asked_in_order(tmp_path: Path) -> None:
    engine = FakeEngine(ORIGINAL, say=lambda body: body["messages"][0]["content"].replace("w", "W"))
    found = await ask(engine, tmp_path, [user(f"w{n}") for n in range(40)])
    assert [one.replies[0].text for one in found] == [f"W{n}" for n in range(40)]
    assert [one.tokens for one in found] == [[n] for n in range(40)]


@pytest.mark.parametrize("line", [user("w1 w2 w3"), {"messages": [{"role": "judge", "content": "w1"}]}])
async def test_a_question_that_cannot_be_asked_is_named_by_its_line(tmp_path: Path, line: dict[str, Any]) -> None:
    with pytest.raises(RefusalError, match="the dataset of suite tasks, line 2: ") as refused:
        await ask(FakeEngine(ORIGINAL), tmp_path, [user("w1"), line], room=2)
    assert refused.value.refusal.reason == "BadDataset"

"""evaluation.showcase: what both models answer to the manifest's prompts, side by side, and what serves afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import ValidationError

from lowbit.api.documents import EXIT_REFUSED, AskDocument, PVCStoreAccess, StoreAccess
from lowbit.api.showcase import ServedShowcase, Showcase
from lowbit.api.termination import Refusal, TerminationMessage
from lowbit.decide.reconcile import decide
from lowbit.naming.canonical import digest
from lowbit.naming.store_keys import report_key
from lowbit.schema.check import check_manifest
from lowbit.state.plan import Create
from lowbit.worker import ask
from lowbit.worker.refuse import RefusalError
from tests.unit.evaluation_bench import ENGINE, ORIGINAL, Bench, make_bench
from tests.unit.fake_engine import MODEL, FakeEngine, serve
from tests.unit.life import NAME, condition, status
from tests.unit.world import World, spec

PROMPTS: list[dict[str, Any]] = [
    {"name": "fox", "text": "w1 w2 w3"},
    {"name": "greeting", "messages": [{"role": "user", "content": "w5 w6"}]},
]
SHOWCASE = {"prompts": PROMPTS, "outputTokens": 8}


def engine(*said: str) -> FakeEngine:
    made = FakeEngine(ORIGINAL)
    made.say = lambda body: said[0] if "messages" in body else said[1]
    return made


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path)


async def test_the_report_shows_both_answers_side_by_side(bench: Bench) -> None:
    protocol = bench.protocol().model_copy(update={"showcase": Showcase.model_validate(SHOWCASE)})
    await bench.run(engine("Good morning.", "It jumps."), bench.document(protocol))
    await bench.run(engine("Good evening.", "It sleeps."), bench.document(protocol, baseline="baseline-1"))
    page = (bench.store.read(report_key("eval-1")) or b"").decode()
    for part in ("Showcase", "fox", "w1 w2 w3", "user: w5 w6", "Good morning.", "Good evening.", "It jumps.",
                 "It sleeps."):  # fmt: skip
        assert part in page
    assert [each.text for each in bench.stored("eval-1").showcase] == ["It sleeps.", "Good evening."]


async def test_the_sampling_is_that_of_a_client_of_serving(bench: Bench) -> None:
    protocol = bench.protocol().model_copy(update={"showcase": Showcase.model_validate(SHOWCASE)})
    asked = engine("Hello.", "It jumps.")
    await bench.run(asked, bench.document(protocol))
    shown = [each for each in asked.asked if each["max_tokens"] == 8]
    assert len(shown) == 2
    assert not any(name in each for each in shown for name in ("temperature", "top_p", "top_k"))


async def test_a_prompt_that_the_engine_refuses_fails_nothing(bench: Bench) -> None:
    protocol = bench.protocol().model_copy(update={"showcase": Showcase.model_validate(SHOWCASE)})
    refusing = FakeEngine(ORIGINAL)
    refusing.say = lambda body: None
    result = await bench.run(refusing, bench.document(protocol))
    assert result.summary.measurements
    assert all(each.refused for each in bench.stored("baseline-1").showcase)


async def test_without_a_showcase_nothing_is_asked_or_shown(bench: Bench) -> None:
    await bench.both()
    assert bench.stored("eval-1").showcase == []
    assert "Showcase" not in (bench.store.read(report_key("eval-1")) or b"").decode()


async def test_without_a_showcase_a_protocol_has_the_hash_that_it_had(bench: Bench) -> None:
    protocol = bench.protocol()
    assert "showcase" not in protocol.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    shown = protocol.model_copy(update={"showcase": Showcase.model_validate(SHOWCASE)})
    assert digest("protocol", protocol) != digest("protocol", shown)


def with_showcase(showcase: Any, **changes: Any) -> dict[str, Any]:
    whole = spec(**changes)
    return whole | {"evaluation": whole["evaluation"] | {"showcase": showcase}}


@pytest.mark.parametrize(
    "prompt", [{"name": "a"}, {"name": "a", "text": "x", "messages": [{"role": "user", "content": "x"}]}]
)
def test_a_prompt_is_a_text_or_a_chat(prompt: dict[str, Any]) -> None:
    manifest = {"apiVersion": "lowbit.dev/v1alpha1", "kind": "QuantizedModel", "metadata": {"name": NAME},
                "spec": with_showcase({"prompts": [prompt]})}  # fmt: skip
    (finding,) = check_manifest(manifest).findings
    assert "exactly one of messages and text" in finding.message


def test_there_are_at_most_thirty_two() -> None:
    with pytest.raises(ValidationError):
        Showcase.model_validate({"prompts": [{"name": f"p{n}", "text": "x"} for n in range(33)]})


def ask_jobs(world: World) -> list[str]:
    return [name for kind, name in world.created if kind == "Job" and name.startswith(f"{NAME}-ask-")]


def test_what_serves_is_asked_after_its_rollout(world: World) -> None:
    world.apply_model(NAME, with_showcase(SHOWCASE))
    ready: list[bool] = []

    def look() -> None:
        if ask_jobs(world):
            ready.append(condition(world, "Ready")["status"] == "True")

    world.settle(NAME, after=look)
    assert ready
    assert all(ready), "Ready does not wait for it"
    assert len(ask_jobs(world)) == 1
    shown = status(world)["showcase"]
    assert shown["revision"] == status(world)["current"]["name"]
    assert shown["answered"] == 2


def test_the_status_does_not_wait_for_the_job_to_be_taken(world: World) -> None:
    """A quota or a policy that refuses it: the model serves, and says so."""
    made: dict[str, bool] = {}

    def look() -> None:
        snapshot = world.snapshot(NAME)
        assert snapshot is not None
        for action in decide(snapshot, world.now).actions:
            if isinstance(action, Create):
                made[action.manifest["metadata"]["name"]] = action.beside

    world.apply_model(NAME, with_showcase(SHOWCASE))
    world.settle(NAME, after=look)
    assert [name for name, beside in made.items() if beside] == ask_jobs(world)


def test_at_rest_nothing_is_asked_again(world: World) -> None:
    world.apply_model(NAME, with_showcase(SHOWCASE))
    world.settle(NAME)
    world.delete("Job", ask_jobs(world)[0])
    before = dict(world.objects)
    world.step(NAME)
    assert world.objects == before


def test_a_new_revision_is_asked_as_well(world: World) -> None:
    world.apply_model(NAME, with_showcase(SHOWCASE))
    world.settle(NAME)
    world.apply_model(NAME, with_showcase(SHOWCASE, candidates=[{"gptq": {"bits": 8}}]))
    world.settle(NAME)
    assert len(ask_jobs(world)) == 2
    assert status(world)["showcase"]["revision"] == status(world)["current"]["name"]


def reach_asking(world: World) -> str:
    """Until the ask Job is there; its name."""
    for _ in range(60):
        world.step(NAME)
        if jobs := ask_jobs(world):
            return jobs[0]
        world.act()
    raise AssertionError("nothing is asked")


@pytest.mark.parametrize(
    "changed",
    [with_showcase(SHOWCASE, serving=None), with_showcase(SHOWCASE, candidates=[{"gptq": {"bits": 8}}]), spec()],
    ids=["no serving", "another revision", "no showcase"],
)
def test_a_job_whose_answers_nobody_wants_any_more_is_given_up(world: World, changed: dict[str, Any]) -> None:
    """Else it would ask, under the name of the former revision, what serves instead of it."""
    world.apply_model(NAME, with_showcase(SHOWCASE))
    asking = reach_asking(world)
    world.apply_model(NAME, changed)
    for _ in range(200):
        world.step(NAME)
        if ("Job", asking) not in world.objects:
            break
        others = [name for name in world.names("Job") if name != asking and not world.objects["Job", name]["status"]]
        for name in others:
            world.finish_job(name)
        if not others and ("Deployment", NAME) in world.objects:
            world.roll_out(NAME)
    assert ("Job", asking) not in world.objects
    world.settle(NAME)
    assert condition(world, "Ready")["status"] == "True"


@pytest.mark.parametrize("changes", [{"serving": None}, {"serving": {"replicas": 0}}])
def test_where_nothing_serves_nothing_is_asked(world: World, changes: dict[str, Any]) -> None:
    world.apply_model(NAME, with_showcase(SHOWCASE, **changes))
    world.settle(NAME)
    assert ask_jobs(world) == []


def test_without_a_showcase_no_job_is_made(world: World) -> None:
    world.apply_model(NAME, spec())
    world.settle(NAME)
    assert ask_jobs(world) == []
    assert "showcase" not in status(world)


def test_a_job_that_fails_makes_nothing_less_ready(world: World) -> None:
    world.apply_model(NAME, with_showcase(SHOWCASE))
    reach_asking(world)
    refusal = Refusal(reason="NoAPIKey", message="the Secret has no key", action="Add it.")
    world.finish_job(ask_jobs(world)[0], TerminationMessage(refusal=refusal), code=EXIT_REFUSED)
    world.settle(NAME)
    assert condition(world, "Ready")["status"] == "True"
    assert condition(world, "Stalled") is None
    assert status(world)["lastFailure"]["reason"] == "NoAPIKey"
    assert len(ask_jobs(world)) == 1


def test_the_key_is_a_file_and_never_in_the_document(world: World) -> None:
    serving = {"replicas": 1, "apiKeySecretRef": {"name": "chat-key", "key": "token"}}
    world.apply_model(NAME, with_showcase(SHOWCASE, serving=serving))
    world.settle(NAME)
    template = world.objects["Job", ask_jobs(world)[0]]["spec"]["template"]
    (secret,) = [each["secret"] for each in template["spec"]["volumes"] if "secret" in each]
    assert secret["secretName"] == "chat-key"
    assert [item["key"] for item in secret["items"]] == ["token"]
    assert '"apiKey":"chat-key/token"' in template["metadata"]["annotations"]["lowbit.dev/document"]
    assert "nvidia.com/gpu" not in str(template["spec"]["containers"])


async def asks(bench: Bench, url: str, secrets: Path, **changes: Any) -> ServedShowcase:
    document = AskDocument(
        store=StoreAccess(pvc=PVCStoreAccess()), url=url, served_name=MODEL, engine=ENGINE,
        showcase=Showcase.model_validate(SHOWCASE), revision="chat-1", key="f" * 64, evaluation="eval-1",
        baseline="baseline-1",
    ).model_copy(update=changes)  # fmt: skip
    return ask.write(document, bench.store, await ask.ask(document, ask.read_key(document, secrets)))


async def test_the_answers_of_what_serves_stand_beside_those_of_before(bench: Bench, tmp_path: Path) -> None:
    protocol = bench.protocol().model_copy(update={"showcase": Showcase.model_validate(SHOWCASE)})
    await bench.run(engine("Good morning.", "It jumps."), bench.document(protocol))
    await bench.run(engine("Good evening.", "It sleeps."), bench.document(protocol, baseline="baseline-1"))
    async with serve(engine("Good evening.", "<b>It barks.")) as url:
        shown = await asks(bench, url, tmp_path)
    assert (shown.answered, shown.refused, shown.same) == (2, 0, 1)
    page = (bench.store.read(shown.path) or b"").decode()
    for part in ("original", "evaluated", "served", "It jumps.", "It sleeps.", "&lt;b&gt;It barks."):
        assert part in page


async def test_it_goes_without_the_evaluations_results(bench: Bench, tmp_path: Path) -> None:
    async with serve(engine("Hello.", "It barks.")) as url:
        assert (await asks(bench, url, tmp_path)).same == 0


async def test_the_key_is_sent_as_a_client_sends_it(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "chat-key").mkdir()
    (tmp_path / "chat-key" / "token").write_text("secret-1\n")
    sent: list[str | None] = []
    guard = web.Application()

    async def through(request: web.Request) -> web.Response:
        sent.append(request.headers.get("Authorization"))
        return web.json_response({"choices": [{"index": 0, "finish_reason": "stop", "text": "Hi.",
                                               "message": {"role": "assistant", "content": "Hi."}}],
                                  "usage": {"prompt_tokens": 1, "completion_tokens": 1}})  # fmt: skip

    guard.router.add_post("/v1/{path:.*}", through)
    async with TestServer(guard) as server:
        shown = await asks(bench, str(server.make_url("")).rstrip("/"), tmp_path, api_key="chat-key/token")
    assert shown.answered == 2
    assert sent == ["Bearer secret-1"] * 2


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_a_key_that_is_missing_or_empty_is_refused_by_name(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "chat-key").mkdir()
        (tmp_path / "chat-key" / "token").write_text(content)
    document = AskDocument(
        store=StoreAccess(pvc=PVCStoreAccess()), url="http://x", served_name=MODEL, engine=ENGINE,
        showcase=Showcase.model_validate(SHOWCASE), revision="chat-1", key="f" * 64, api_key="chat-key/token",
    )  # fmt: skip
    with pytest.raises(RefusalError, match="the Secret chat-key has no key token"):
        ask.read_key(document, tmp_path)

"""Scenarios: what a user does in a model's life. Each waits for states, never for times, and so survives a crash."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from tests.faults.play import Play

Scenario = Callable[[Play], Awaitable[None]]
SCENARIOS: dict[str, Scenario] = {}
ALONE: dict[str, Scenario] = {}
"""What a person does to a cluster beside the operator: played without faults."""
EIGHT_BITS = [{"gptq": {"bits": 8}}]


def scenario(name: str, among: dict[str, Scenario] = SCENARIOS) -> Callable[[Scenario], Scenario]:
    def register(function: Scenario) -> Scenario:
        among[name] = function
        return function

    return register


@scenario("first-apply")
async def first_apply(play: Play) -> None:
    """From nothing to served."""
    await play.add_store()
    await play.apply("chat")
    await play.served("chat")


@scenario("failed-gate")
async def failed_gate(play: Play) -> None:
    """The first candidate fails the gate, the second is served."""
    play.actor.bad = {0}
    await play.add_store()
    await play.apply("chat")
    await play.served("chat")


@scenario("change-evaluating")
async def change_evaluating(play: Play) -> None:
    """The spec changes while the candidate is evaluated: what was begun is given up."""
    play.actor.held = lambda job: job.startswith("eval-")
    await play.add_store()
    await play.apply("chat")
    old = await play.held("eval-")
    play.actor.held = lambda job: job == old
    await play.apply("chat", candidates=EIGHT_BITS)
    await play.served("chat")


@scenario("engine-ends")
async def engine_ends(play: Play) -> None:
    """The engine does not stay up, so its Job is ended; when that is deleted, it is tried again."""
    play.actor.dying = lambda job: job.startswith("baseline-")
    await play.add_store()
    await play.apply("chat")
    await play.says("chat", "EngineCrashLoop")
    await play.settle()
    play.actor.dying = lambda job: False
    for job in play.space.of("Job"):
        if job["metadata"]["name"].startswith("baseline-"):
            await play.admin.delete("Job", play.space.name, job["metadata"]["name"])
    await play.served("chat")


@scenario("change-serving")
async def change_serving(play: Play) -> None:
    """The spec changes while a revision is served: the next one takes over once it has passed."""
    await play.add_store()
    await play.apply("chat")
    old = await play.served("chat")
    await play.apply("chat", candidates=EIGHT_BITS)
    assert await play.served("chat") != old


@scenario("rollback")
async def rollback(play: Play) -> None:
    """A former revision is pinned, and served again."""
    await play.add_store()
    await play.apply("chat")
    old = await play.served("chat")
    await play.apply("chat", candidates=EIGHT_BITS)
    assert await play.served("chat") != old
    await play.apply("chat", candidates=EIGHT_BITS, serving={"replicas": 2, "revision": old})
    assert await play.served("chat") == old


@scenario("shared-baseline")
async def shared_baseline(play: Play) -> None:
    """Two models share their baseline; the one that asked for it first goes."""
    await play.add_store()
    await play.apply("chat")
    await play.served("chat")
    await play.apply("code", candidates=EIGHT_BITS)
    await play.served("code")
    await play.delete("chat")
    await play.gone("chat")


def _delete_at(stage: str, prefix: str, reason: str) -> None:
    @scenario(f"delete-{stage}")
    async def delete(play: Play) -> None:
        play.actor.held = lambda job: prefix in job
        await play.add_store()
        await play.apply("chat")
        await play.held(prefix)
        # Otherwise a pending write would find the model gone, and a Job that is wrongly made again would go unnoticed.
        await play.says("chat", reason)
        await play.settle()
        await play.delete("chat")
        await play.gone("chat")


for _stage, _prefix, _reason in (
    ("preparing", "-prepare-", "Preparing"),
    ("quantizing", "quantize-", "Quantizing"),
    ("measuring", "baseline-", "EvaluatingBaseline"),
    ("evaluating", "eval-", "Evaluating"),
):
    _delete_at(_stage, _prefix, _reason)


@scenario("delete-at-once")
async def delete_at_once(play: Play) -> None:
    """A model is deleted as soon as its first Job runs: the operator may still have its status to write."""
    play.actor.held = lambda job: "-prepare-" in job
    await play.add_store()
    await play.apply("chat")
    await play.held("-prepare-")
    await play.delete("chat")
    await play.gone("chat")


@scenario("delete-serving")
async def delete_serving(play: Play) -> None:
    """A model that is served is deleted."""
    await play.add_store()
    await play.apply("chat")
    await play.served("chat")
    await play.delete("chat")
    await play.gone("chat")


@scenario("wiped", ALONE)
async def wiped(play: Play) -> None:
    """Every status is lost, and the Jobs that have measured: nothing is measured again, and what serves goes on."""
    await play.add_store()
    await play.apply("chat")
    await play.served("chat")
    space, before = play.space, play.space.counts("ADDED")
    for job in space.of("Job"):
        if not job["metadata"]["name"].startswith("quantize-"):
            await play.admin.delete("Job", space.name, job["metadata"]["name"])
    await play.until("the Jobs are gone", lambda: len(space.of("Job")) == 1)
    kinds = ("ModelEvaluation", "ModelRevision", "QuantizedModel")
    wiped = [(kind, each["metadata"]["name"]) for kind in kinds for each in space.of(kind)]
    for kind, name in wiped:
        await play.admin.patch(kind, space.name, name, {"status": None}, "status")
    fields = {"ModelEvaluation": "summary", "ModelRevision": "verdict", "QuantizedModel": "verdict"}

    def remembered() -> bool:
        return all(fields[kind] in space.objects[kind, name].get("status", {}) for kind, name in wiped)

    await play.until("all of it is known again", remembered)
    await play.served("chat")
    again = [name for name in space.counts("ADDED") - before if name.startswith(("Job eval-", "Job baseline-"))]
    assert not again, f"measured again: {again}"
    gone = [name for name in space.counts("DELETED") if name.startswith(("Deployment", "Service"))]
    assert not gone, f"it served no more: {gone}"


@scenario("foreign-service", ALONE)
async def foreign_service(play: Play) -> None:
    """Somebody else's Service has the name that ours would have: it is left alone, and that is said."""
    metadata = {"name": "chat", "namespace": play.space.name, "labels": {"app": "other"}}
    spec = {"selector": {"app": "other"}, "ports": [{"port": 80}]}
    await play.admin.apply({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
    await play.add_store()
    await play.apply("chat")

    def stalled() -> bool:
        conditions = play.model("chat").get("status", {}).get("conditions", ())
        return any(each["type"] == "Stalled" and each["reason"] == "NameTaken" for each in conditions)

    await play.until("it says that the name is taken", stalled)
    events = [each.type for each in play.space.history if each.kind == "Service"]
    assert events == ["ADDED"], f"somebody else's Service: {events}"


@scenario("by-hand", ALONE)
async def by_hand(play: Play) -> None:
    """What a person deletes or changes of what serves is put right."""
    await play.add_store()
    await play.apply("chat")
    await play.served("chat")
    for kind in ("Deployment", "NetworkPolicy"):
        uid = play.space.objects[kind, "chat"]["metadata"]["uid"]
        await play.admin.delete(kind, play.space.name, "chat")
        await play.until(f"the {kind} is back", partial(_another, play, kind, uid))
    await _edited_service(play)
    await play.served("chat")


@scenario("by-hand-changing", ALONE)
async def by_hand_changing(play: Play) -> None:
    """What a person changes of what serves is put right while the next revision is made, too."""
    await play.add_store()
    await play.apply("chat")
    old = await play.served("chat")
    play.actor.held = lambda job: job.startswith("quantize-")
    await play.apply("chat", candidates=EIGHT_BITS)
    await play.held("quantize-")
    await play.settle()
    await _edited_service(play)
    play.actor.let_go()
    assert await play.served("chat") != old


async def _edited_service(play: Play) -> None:
    """The Service is edited, and becomes what it was."""
    ours = play.space.objects["Service", "chat"]["spec"]["selector"]
    change = {"spec": {"selector": dict.fromkeys(ours, "other")}}
    edited = await play.admin.patch("Service", play.space.name, "chat", change)

    def put_right() -> bool:
        service = play.space.objects["Service", "chat"]
        newer = int(service["metadata"]["resourceVersion"]) > int(edited["metadata"]["resourceVersion"])
        return newer and service["spec"]["selector"] == ours

    await play.until("the Service is ours again", put_right)


def _another(play: Play, kind: str, uid: str) -> bool:
    return bool(play.space.objects.get((kind, "chat"), {"metadata": {"uid": uid}})["metadata"]["uid"] != uid)

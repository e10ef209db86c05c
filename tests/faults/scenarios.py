"""The scenarios: what a user does in a whole life. Each waits for states, never for moments, so that it goes on after a crash."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tests.faults.play import Play

Scenario = Callable[[Play], Awaitable[None]]
SCENARIOS: dict[str, Scenario] = {}
EIGHT_BITS = [{"gptq": {"bits": 8}}]


def scenario(name: str) -> Callable[[Scenario], Scenario]:
    def register(function: Scenario) -> Scenario:
        SCENARIOS[name] = function
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


def _delete_at(stage: str, prefix: str) -> None:
    @scenario(f"delete-{stage}")
    async def delete(play: Play) -> None:
        play.actor.held = lambda job: prefix in job
        await play.add_store()
        await play.apply("chat")
        await play.held(prefix)
        await play.delete("chat")
        await play.gone("chat")


for _stage, _prefix in (
    ("preparing", "-prepare-"),
    ("quantizing", "quantize-"),
    ("measuring", "baseline-"),
    ("evaluating", "eval-"),
):
    _delete_at(_stage, _prefix)


@scenario("delete-serving")
async def delete_serving(play: Play) -> None:
    """A model that is served is deleted."""
    await play.add_store()
    await play.apply("chat")
    await play.served("chat")
    await play.delete("chat")
    await play.gone("chat")

"""The Lease, with an API server of a few lines and a clock of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from lowbit.app.lease import LeaderElection, Terms
from lowbit.kube.errors import AlreadyExists, Conflict, Forbidden, KubeError, NotFound, Unavailable
from lowbit.watching.ended import HistoryLost


class Leases:
    """One Lease and its resourceVersion."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.down = False
        self.refused: KubeError | None = None
        self.answers_late: Callable[[], None] = lambda: None

    def _up(self) -> None:
        if self.refused is not None:
            raise self.refused
        if self.down:
            raise Unavailable(0, "NoAnswer", "no answer")

    async def get(self, _kind: str, _namespace: str, _name: str) -> dict[str, Any]:
        self._up()
        if self.lease is None:
            raise NotFound(404, "NotFound", "no Lease")
        return self.lease

    async def create(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        self._up()
        if self.lease is not None:
            raise AlreadyExists(409, "AlreadyExists", "there is one")
        return self._store(manifest)

    async def replace(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        self._up()
        self.answers_late()
        if self.lease is None:
            raise NotFound(404, "NotFound", "no Lease")
        if manifest["metadata"]["resourceVersion"] != str(self.version):
            raise Conflict(409, "Conflict", "another version")
        return self._store(manifest)

    def _store(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        self.version += 1
        metadata = {**manifest["metadata"], "resourceVersion": str(self.version)}
        self.lease = {**manifest, "metadata": metadata}
        return self.lease


class World:
    def __init__(self) -> None:
        self.now = 100.0
        self.leases = Leases()
        self.told: list[bool] = []
        """What on_leading was told."""

    def candidate(self, identity: str) -> LeaderElection:
        terms = Terms("default", "lowbit-operator", identity, duration=15, renew_deadline=10, retry=2)
        kube: Any = self.leases
        return LeaderElection(kube, terms, lambda: self.now, lambda: datetime(2026, 1, 1, tzinfo=UTC), self.told.append)


@pytest.fixture
def world() -> World:
    return World()


async def test_the_first_one_leads_and_the_second_waits(world: World) -> None:
    first, second = world.candidate("first"), world.candidate("second")
    await first.step()
    await second.step()
    assert first.permit() and first.leading.is_set()
    assert not second.permit() and not second.leading.is_set()


async def test_a_leader_that_renews_is_never_replaced(world: World) -> None:
    first, second = world.candidate("first"), world.candidate("second")
    for _ in range(100):
        await first.step()
        await second.step()
        assert first.permit() and not second.permit()
        world.now += 2


async def test_a_silent_leader_has_stopped_before_another_one_starts(world: World) -> None:
    first, second = world.candidate("first"), world.candidate("second")
    await first.step()
    for _ in range(40):
        await second.step()
        assert not (first.permit() and second.permit())
        world.now += 0.5
    assert second.permit()


async def test_a_lease_that_has_ended_is_taken_at_its_end_and_not_at_the_next_attempt(world: World) -> None:
    first, second = world.candidate("first"), world.candidate("second")
    await first.step()
    began = world.now
    await second.step()
    while not second.permit():
        wait = second.until_next()
        assert 0 < wait <= 2
        world.now += wait
        await second.step()
    assert world.now == pytest.approx(began + 15)
    assert second.until_next() == 2


async def test_a_leader_that_cannot_reach_the_api_server_stops_in_time(world: World) -> None:
    leader = world.candidate("first")
    await leader.step()
    world.leases.down = True
    world.now += 9
    await leader.step()
    assert leader.permit()
    world.now += 1
    await leader.step()
    assert not leader.permit() and not leader.leading.is_set()
    world.leases.down = False
    await leader.step()
    assert leader.permit()


async def test_a_lease_that_was_given_up_is_taken_at_once(world: World) -> None:
    first, second = world.candidate("first"), world.candidate("second")
    await first.step()
    await second.step()
    await first.release()
    assert not first.permit()
    await second.step()
    assert second.permit()
    assert world.leases.lease is not None and world.leases.lease["spec"]["leaseTransitions"] == 1


async def test_a_leader_whose_lease_was_taken_does_not_write(world: World) -> None:
    first, second = world.candidate("first"), world.candidate("second")
    await first.step()
    await second.step()
    world.now += 16
    await second.step()
    await first.step()
    assert second.permit() and not first.permit()


async def test_clocks_of_two_nodes_need_not_agree(world: World) -> None:
    """renewTime is never compared with our own clock: what counts is how long we saw no change."""
    first, second = world.candidate("first"), world.candidate("second")
    await first.step()
    assert world.leases.lease is not None
    world.leases.lease["spec"]["renewTime"] = "1999-01-01T00:00:00.000000Z"
    await second.step()
    assert not second.permit()


async def test_it_is_known_since_when_the_api_server_answers(world: World) -> None:
    leader = world.candidate("first")
    began = leader.answering_since
    for _ in range(3):
        await leader.step()
        world.now += 2
    assert leader.answering_since == began
    world.leases.down = True
    world.now += 60
    await leader.step()
    world.leases.down = False
    world.now += 1
    await leader.step()
    assert leader.answering_since == leader.last_answer == world.now


async def test_what_was_let_go_while_a_renewal_was_late_is_taken_up_again(world: World) -> None:
    """Between the deadline and the late answer no write is permitted: keys that came then must not be lost."""
    leader = world.candidate("first")
    await leader.step()
    permitted: list[bool] = []

    def pass_time() -> None:
        world.now += 6
        permitted.append(leader.permit())

    world.now += 5
    world.leases.answers_late = pass_time
    await leader.step()
    assert permitted == [False]
    assert leader.permit()
    assert world.told == [True, True]
    world.leases.answers_late = lambda: None
    world.now += 2
    await leader.step()
    assert world.told == [True, True]


async def test_a_lease_that_was_deleted_is_made_again(world: World) -> None:
    leader = world.candidate("first")
    await leader.step()
    world.leases.lease = None
    await leader.step()
    assert not leader.permit(), "another may have it by now"
    await leader.step()
    assert leader.permit()
    assert world.told == [True, False, True]


@pytest.mark.parametrize("kept", [True, False], ids=["with-the-lease", "without-it"])
async def test_after_a_restore_of_etcd_nothing_is_written_and_the_operator_ends(world: World, kept: bool) -> None:
    """By whoever sees it: the leader, or one that waits."""
    leader, other = world.candidate("first"), world.candidate("second")
    await leader.step()
    await other.step()
    snapshot, version = world.leases.lease, world.leases.version
    for _ in range(5):
        world.now += 2
        await leader.step()
        await other.step()
    world.leases.lease, world.leases.version = (snapshot if kept else None), version
    with pytest.raises(HistoryLost, match="etcd was restored"):
        await until_seen(leader)
    assert not leader.permit()
    if kept:
        with pytest.raises(HistoryLost):
            await until_seen(other)
    assert not other.permit()


async def until_seen(candidate: LeaderElection) -> None:
    for _ in range(3):
        await candidate.step()


async def test_why_the_lease_cannot_be_had_is_known_until_it_can(world: World) -> None:
    """So that /readyz can say it: whose rights are missing has no other way to tell."""
    leader = world.candidate("first")
    world.leases.refused = Forbidden(403, "Forbidden", "get Lease default/lowbit-operator: leases is forbidden")
    world.now += 20
    await leader.step()
    assert "leases is forbidden" in leader.error
    assert leader.silence() == 20
    world.leases.refused = None
    await leader.step()
    assert leader.error == "" and leader.silence() == 0

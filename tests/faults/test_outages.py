"""Outages in their short forms: `make faults` has the long ones."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from hack.cluster.apiserver import ApiServer
from tests.faults.away import gone, killed, unavailable
from tests.faults.lost_lease import lease_deleted, lease_taken
from tests.faults.pair import leader_stopped, points, standby_waits
from tests.faults.restored import restored, restored_before_a_change, restored_before_a_deletion
from tests.faults.rights import all_rights_taken, one_right_taken
from tests.faults.stage import Known, Stage, build, on_stage
from tests.faults.storms import conflict_storm, fight

SECONDS = 3.0
"""How long the API server is away here: five times as long as a leader may write without it."""


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Known]:
    """One API server for all outages."""
    with ApiServer() as server:
        yield build(server, tmp_path_factory.mktemp("outages"))


@pytest.fixture
async def stage(known: Known) -> AsyncIterator[Stage]:
    async with on_stage(known) as made:
        yield made


async def test_an_api_server_that_is_killed_again_and_again_changes_nothing_in_the_end(stage: Stage) -> None:
    assert await killed(stage, 3) == []


async def test_an_api_server_that_is_gone_for_long_is_waited_for(stage: Stage) -> None:
    assert await gone(stage, SECONDS) == []


async def test_an_api_server_that_answers_503_for_long_is_waited_for(stage: Stage) -> None:
    assert await unavailable(stage, SECONDS) == []


async def test_after_a_restore_of_etcd_in_the_middle_of_a_life_it_goes_on_from_there(stage: Stage) -> None:
    assert await restored(stage, "create:jobs:quantize-", "patch:deployments:chat") == []


async def test_after_a_restore_to_before_a_change_what_was_served_then_is_served_again(stage: Stage) -> None:
    assert await restored_before_a_change(stage) == []


async def test_after_a_restore_to_before_a_deletion_what_is_there_again_is_served(stage: Stage) -> None:
    assert await restored_before_a_deletion(stage) == []


async def test_a_standby_takes_nothing_from_a_leader_that_renews(stage: Stage) -> None:
    assert await standby_waits(stage) == []


@pytest.mark.parametrize("late", [False, True], ids=["while-another-leads", "when-all-is-done"])
@pytest.mark.parametrize("where", range(4))
async def test_a_leader_that_was_stopped_writes_nothing_when_another_leads(
    stage: Stage, where: int, late: bool
) -> None:
    """At the beginning of a life and at its end; what was under way arrives then and changes nothing."""
    scenario = "rollback" if late else "change-serving"
    # Of the QuantizedModel's statuses one may be written where the clean run had two.
    writes = [each for each in await points(stage, scenario) if "quantizedmodels/status" not in each]
    assert await leader_stopped(stage, scenario, writes[(len(writes) - 1) * where // 3], late=late) == []


@pytest.mark.parametrize("where", [0, -1], ids=["at-its-first-write", "at-its-last-write"])
async def test_a_leader_whose_lease_another_takes_stops_and_takes_it_back_when_that_one_is_silent(
    stage: Stage, where: int
) -> None:
    # A status less is written now and then: two changes that come together need one.
    writes = [each for each in await points(stage, "first-apply") if "quantizedmodels/status" not in each]
    assert await lease_taken(stage, writes[where]) == []


async def test_a_lease_that_was_deleted_is_made_again(stage: Stage) -> None:
    writes = await points(stage, "first-apply")
    assert await lease_deleted(stage, writes[len(writes) // 2]) == []


async def test_rights_that_are_taken_away_are_told_of_and_it_goes_on_when_they_are_back(stage: Stage) -> None:
    assert await all_rights_taken(stage) == []


async def test_one_right_that_is_missing_is_told_of_on_the_object_and_it_goes_on_when_it_is_there(stage: Stage) -> None:
    assert await one_right_taken(stage) == []


async def test_in_a_storm_of_conflicts_a_model_gets_served_all_the_same(stage: Stage) -> None:
    assert await conflict_storm(stage) == []


async def test_somebody_who_edits_what_is_ours_is_undone_and_not_fought_with_in_a_loop(stage: Stage) -> None:
    assert await fight(stage) == []

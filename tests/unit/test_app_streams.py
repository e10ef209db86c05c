"""When a watch stream counts as dead. The clock is the test's own."""

from __future__ import annotations

import pytest

from lowbit.watching.streams import OPEN_LIMIT, REOPENED, RETRY_LIMIT, WatchStreams

JOBS, PODS = "/apis/batch/v1/jobs", "/api/v1/pods"
ALWAYS = float("-inf")
"""The API server has answered since for ever."""


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def streams(clock: Clock) -> WatchStreams:
    made = WatchStreams(clock)
    made.expect((JOBS, PODS))
    return made


def open_both(streams: WatchStreams) -> None:
    for path in (JOBS, PODS):
        streams.attempted(path)
        streams.opened(path)


def test_the_store_counts_as_filled_only_when_every_stream_was_open(streams: WatchStreams) -> None:
    streams.opened(PODS)
    assert JOBS in str(streams.pending()) and PODS not in str(streams.pending())
    streams.opened(JOBS)
    assert streams.pending() is None


def test_streams_that_are_opened_anew_in_time_are_alive(streams: WatchStreams, clock: Clock) -> None:
    for _ in range(50):
        open_both(streams)
        clock.now += REOPENED
        assert streams.trouble(ALWAYS) is None


def test_one_stream_that_is_not_opened_anew_is_dead_and_is_named(streams: WatchStreams, clock: Clock) -> None:
    open_both(streams)
    clock.now += OPEN_LIMIT - 1
    streams.opened(PODS)
    assert streams.trouble(ALWAYS) is None
    clock.now += 2
    assert JOBS in str(streams.trouble(ALWAYS))


def test_a_stream_that_was_never_open_is_dead_after_the_same_time(streams: WatchStreams, clock: Clock) -> None:
    streams.opened(PODS)
    clock.now += OPEN_LIMIT + 1
    streams.opened(PODS)
    assert JOBS in str(streams.trouble(ALWAYS))


def test_a_refused_stream_is_alive_while_somebody_tries_again(streams: WatchStreams, clock: Clock) -> None:
    open_both(streams)
    for _ in range(5):
        clock.now += 40
        streams.attempted(JOBS)
        streams.refused(JOBS)
        assert streams.trouble(ALWAYS) is None
    clock.now += RETRY_LIMIT + 1
    assert "nobody has tried again" in str(streams.trouble(ALWAYS))
    streams.attempted(JOBS)
    streams.opened(JOBS)
    assert streams.trouble(ALWAYS) is None


def test_nobody_is_blamed_for_the_time_in_which_the_api_server_was_down(streams: WatchStreams, clock: Clock) -> None:
    open_both(streams)
    streams.refused(JOBS)
    clock.now += 3600
    assert streams.trouble(answering_since=clock.now) is None
    answering_since = clock.now
    clock.now += OPEN_LIMIT + 1
    assert streams.trouble(answering_since) is not None


def test_what_is_not_expected_is_not_looked_at(streams: WatchStreams, clock: Clock) -> None:
    streams.attempted("/apis/monitoring.coreos.com/v1/podmonitors")
    streams.refused("/apis/monitoring.coreos.com/v1/podmonitors")
    open_both(streams)
    clock.now += RETRY_LIMIT + 1
    assert streams.trouble(ALWAYS) is None

"""However events come, the store ends as etcd is."""

from __future__ import annotations

from hypothesis import given, settings

from tests.faults.views import DELIVERIES, HISTORIES, LISTS, Delivery, Lists, deliver


@settings(max_examples=2000, deadline=None)
@given(HISTORIES, DELIVERIES, LISTS)
def test_however_events_come_the_store_ends_as_etcd_is(
    steps: list[tuple[str, bool]], deliveries: list[Delivery], lists: list[Lists]
) -> None:
    deliver(steps, deliveries, lists)

"""Time by role is processor time: waiting is no work."""

from __future__ import annotations

from privateyes.engines.local.clock import RoleClock
from privateyes.engines.local.message_log import Endpoint


def test_what_is_read_inside_is_added_to_the_role() -> None:
    readings = iter([10.0, 12.5, 20.0, 21.0])
    clock = RoleClock(lambda: next(readings))
    for _ in range(2):
        with clock.work_of(Endpoint.HUB):
            pass
    assert clock.seconds == {Endpoint.HUB: 3.5, Endpoint.CLIENT: 0.0, Endpoint.AGGREGATOR: 0.0}


def test_work_that_fails_is_work() -> None:
    readings = iter([1.0, 3.0])
    clock = RoleClock(lambda: next(readings))
    try:
        with clock.work_of(Endpoint.CLIENT):
            raise KeyError
    except KeyError:
        pass
    assert clock.seconds[Endpoint.CLIENT] == 2.0

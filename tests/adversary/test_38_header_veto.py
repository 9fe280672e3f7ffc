"""38. One client makes up the group key's check value, the hash of K_sid or an origin: the others' round goes on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from privateyes.aggregation import hub
from privateyes.errors import AbortError

VETOER = 4


def _made_up(world, name: str):
    header = world.submissions[VETOER].header
    changed = replace(header, **{name: bytes([7]) * 32}).signed_by(world.client_keys[VETOER], world.sid)
    return [*world.headers[: VETOER - 1], changed]


@pytest.mark.parametrize("name", ["group_check", "session_key_hash", "origin"])
def test_the_hub_passes_the_largest_group_on_and_the_vetoer_is_left_out(world, name) -> None:
    world.run(to="submit")
    headers = hub.one_kind(_made_up(world, name))
    assert [header.client for header in headers] == [1, 2, 3]
    world.vote(everywhere=headers)
    world.finish_from("commit")
    average = world.check(1)
    assert average.roster == (1, 2, 3)
    assert average.total_weight == world.ideal(1, 2, 3).total_weight


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("group_check", "different group keys"), ("session_key_hash", "different group keys")],
)
def test_without_grouping_every_aggregator_refuses_the_whole_roster(world, name, complaint) -> None:
    world.run(to="submit")
    headers = _made_up(world, name)
    world.vote(everywhere=headers)
    with pytest.raises(AbortError, match=complaint):
        world.commit(everywhere=headers)


def test_of_two_groups_of_one_size_the_one_with_the_smaller_numbers_is_taken_whatever_the_order(world) -> None:
    world.run(to="submit")
    headers = [
        replace(header, group_check=bytes([header.client % 2]) * 32).signed_by(
            world.client_keys[header.client], world.sid
        )
        for header in world.headers
    ]
    for order in (headers, headers[::-1]):
        assert sorted(header.client for header in hub.one_kind(order)) == [1, 3]
    assert hub.one_kind([]) == []

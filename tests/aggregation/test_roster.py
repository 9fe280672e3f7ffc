"""Rosters are what every aggregator voted for, and their digests bind everything."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privateyes.aggregation.messages import NO_SESSION, Header
from privateyes.aggregation.roster import (
    intersect,
    require_one_kind_of_header,
    require_size,
    result_digest,
    roster_digest,
    transcript_digest,
)
from privateyes.errors import AbortError

ENTRIES = st.dictionaries(st.integers(1, 6), st.sampled_from([b"a", b"b"])).map(
    lambda entries: tuple(sorted(entries.items()))
)


@given(st.lists(ENTRIES, min_size=1, max_size=4))
def test_the_intersection_holds_exactly_the_common_pairs_in_order(votes) -> None:
    common = intersect(votes)
    assert list(common) == sorted(set(common))
    for entry in {entry for vote in votes for entry in vote}:
        assert (entry in common) == all(entry in vote for vote in votes)


@pytest.mark.parametrize(("size", "fits"), [(0, False), (1, False), (2, True), (4, True), (5, False)])
def test_a_roster_lies_within_the_manifests_bounds(make_world, size, fits) -> None:
    manifest = make_world(n=2, m=4).manifest
    entries = tuple((i, bytes(32)) for i in range(size))
    if fits:
        require_size(entries, manifest)
        return
    with pytest.raises(AbortError, match=f"a roster of {size}"):
        require_size(entries, manifest)


def test_the_roster_digest_binds_session_group_key_and_entries() -> None:
    base = roster_digest(b"s", b"k", ((1, b"a"), (2, b"b")))
    others = {
        roster_digest(b"t", b"k", ((1, b"a"), (2, b"b"))),
        roster_digest(b"s", b"l", ((1, b"a"), (2, b"b"))),
        roster_digest(b"s", b"k", ((1, b"a"),)),
        roster_digest(b"s", b"k", ((1, b"b"), (2, b"a"))),
        roster_digest(b"s", b"k", ((2, b"b"), (1, b"a"))),
        roster_digest(b"s", b"k", ((1, b"a"), (3, b"b"))),
    }
    assert len(others | {base}) == 7


def test_the_transcript_binds_roster_and_commitments_in_order() -> None:
    digests = {
        transcript_digest(b"s", b"r", [b"0", b"1"]),
        transcript_digest(b"s", b"r", [b"1", b"0"]),
        transcript_digest(b"s", b"r", [b"01"]),
        transcript_digest(b"s", b"q", [b"0", b"1"]),
        transcript_digest(b"t", b"r", [b"0", b"1"]),
    }
    assert len(digests) == 5


def test_the_result_binds_transcript_sum_and_roster_size() -> None:
    digests = {
        result_digest(b"s", b"t", b"z", 3),
        result_digest(b"s", b"t", b"z", 4),
        result_digest(b"s", b"t", b"y", 3),
        result_digest(b"s", b"u", b"z", 3),
        result_digest(b"r", b"t", b"z", 3),
    }
    assert len(digests) == 5


def _header(client: int, **changes) -> Header:
    plain = Header(bytes(32), client, bytes(32), bytes([1]) * 32, bytes([2]) * 32, (), bytes(32), NO_SESSION)
    return replace(plain, **changes)


def test_headers_that_differ_in_what_a_client_does_alone_make_one_roster() -> None:
    require_one_kind_of_header([_header(1)])
    require_one_kind_of_header([_header(1), _header(2, nonce=bytes([3]) * 32, share_hash=bytes([4]) * 32)])
    again = {"origin": bytes([5]) * 32}
    require_one_kind_of_header([_header(1, **again), _header(2, **again)])


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"group_check": bytes(32)}, "different group keys"),
        ({"session_key_hash": bytes(32)}, "different group keys"),
        ({"origin": bytes([5]) * 32}, "mixes fresh updates"),
    ],
)
def test_a_roster_of_two_kinds_of_headers_is_refused(changes, problem) -> None:
    for headers in ([_header(1), _header(2, **changes)], [_header(1, **changes), _header(2), _header(3)]):
        with pytest.raises(AbortError, match=problem) as refusal:
            require_one_kind_of_header(headers)
        assert refusal.value.remedy


def test_updates_of_two_sessions_are_not_sent_again_together() -> None:
    with pytest.raises(AbortError, match="mixes fresh updates"):
        require_one_kind_of_header([_header(1, origin=bytes([5]) * 32), _header(2, origin=bytes([6]) * 32)])


def test_no_vote_is_no_empty_roster() -> None:
    with pytest.raises(AbortError, match="there is no vote"):
        intersect([])
    assert intersect([()]) == ()

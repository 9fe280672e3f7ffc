"""Identifiers separate what differs; key chains only go forward."""

from __future__ import annotations

import pytest

from privateyes.aggregation.keys import (
    MAX_JUMP,
    GroupKey,
    KeyChain,
    session_id,
    session_key_hash,
    setup_id,
    share_stream,
)
from privateyes.crypto.field import COMPACT
from privateyes.crypto.streams import scratch_words
from privateyes.errors import RefusedError

SETUP, KEY = bytes([1]) * 32, bytes([2]) * 32


def test_a_session_id_changes_with_task_epoch_round_and_state() -> None:
    def sid(manifest=b"m", epoch=1, number=2, state=b"s"):
        return session_id(setup_id(manifest, epoch), number, state)

    assert sid() == sid()
    assert len({sid(), sid(manifest=b"n"), sid(epoch=2), sid(number=3), sid(state=b"t")}) == 5


def test_a_chain_advances_in_one_jump_as_in_many_steps() -> None:
    chain = KeyChain(0, KEY)
    steps = chain
    for number in range(1, 8):
        steps = steps.advance_to(number, SETUP)
    assert steps == chain.advance_to(7, SETUP)
    assert chain.advance_to(0, SETUP) == chain
    assert len({chain.advance_to(n, SETUP).round_key(SETUP) for n in range(8)}) == 8


def test_round_keys_are_not_chain_keys() -> None:
    chain = KeyChain(0, KEY)
    assert chain.round_key(SETUP) not in (KEY, chain.advance_to(1, SETUP).key)


def test_a_chain_does_not_go_back() -> None:
    with pytest.raises(RefusedError, match="keys are erased"):
        KeyChain(5, KEY).advance_to(4, SETUP)


def test_a_chain_does_not_jump_too_far() -> None:
    assert KeyChain(3, KEY).advance_to(3 + MAX_JUMP, SETUP).next_round == 3 + MAX_JUMP
    with pytest.raises(RefusedError, match="more than 1024"):
        KeyChain(3, KEY).advance_to(4 + MAX_JUMP, SETUP)


def test_what_comes_from_the_group_key_depends_on_it_and_on_the_epoch() -> None:
    base = GroupKey(SETUP, 1, KEY)
    others = [GroupKey(SETUP, 2, KEY), GroupKey(bytes(32), 1, KEY), GroupKey(SETUP, 1, bytes(32))]
    assert len({group.check_value() for group in (base, *others)}) == 4
    assert len({group.state_id(b"s") for group in (base, *others)}) == 4
    assert len({base.session_key(b"1"), base.session_key(b"2"), others[2].session_key(b"1")}) == 3
    assert base.state_id(b"s") != base.state_id(b"t")
    assert session_key_hash(b"1", KEY) != session_key_hash(b"2", KEY)


def test_a_share_stream_is_of_one_client_aggregator_session_and_nonce() -> None:
    def read(key=KEY, sid=b"s", client=1, aggregator=1, nonce=b"n"):
        stream = share_stream(COMPACT, key, sid, client, aggregator, nonce, scratch_words(COMPACT))
        return stream.read(8).tobytes()

    assert read() == read()
    others = [read(key=SETUP), read(sid=b"t"), read(client=2), read(aggregator=2), read(nonce=b"m")]
    assert len({read(), *others}) == 6


def test_no_repr_shows_a_key() -> None:
    for holder in (KeyChain(0, KEY), GroupKey(SETUP, 1, KEY)):
        assert repr(KEY) not in repr(holder)
        assert KEY.hex() not in repr(holder)

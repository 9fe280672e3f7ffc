"""Identifiers separate what differs; key chains only go forward."""

from __future__ import annotations

import pytest

from privateyes.aggregation.keys import (
    MAX_EPOCH,
    MAX_JUMP,
    MAX_ROUND,
    GroupKey,
    KeyChain,
    session_id,
    session_key_hash,
    setup_id,
    share_stream,
)
from privateyes.crypto.field import COMPACT
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.statement import digest
from privateyes.crypto.streams import scratch_words
from privateyes.errors import RefusedError

SETUP, KEY = bytes([1]) * 32, bytes([2]) * 32
FIRST, SECOND = bytes([3]) * 1216, bytes([4]) * 1216


def test_a_set_up_id_changes_with_manifest_epoch_leader_and_every_key() -> None:
    def made(manifest=b"m", epoch=1, leader=1, keys=(FIRST, SECOND)):
        return setup_id(manifest, epoch, leader, keys)

    assert made() == made()
    others = [
        made(manifest=b"n"), made(epoch=2), made(leader=2), made(keys=(SECOND, FIRST)), made(keys=(FIRST, FIRST)),
        made(keys=(FIRST,)), made(keys=(FIRST, SECOND, SECOND)), made(epoch=0), made(keys=()),
    ]  # fmt: skip
    assert len({made(), *others}) == len(others) + 1


def test_the_ids_are_the_digests_that_the_protocol_writes_down() -> None:
    parts = (b"m", 7, 2, 1, FIRST, 2, SECOND)
    assert setup_id(b"m", 7, 2, (FIRST, SECOND)) == digest(Label.SETUP_ID, Role.ALL, b"", *parts)
    assert session_id(SETUP, 4, b"s") == digest(Label.SESSION_ID, Role.ALL, SETUP, 4, b"s")


def test_a_set_up_id_tells_apart_which_aggregator_has_which_key() -> None:
    """With the keys alone in a row, one of 2432 bytes would be as good as two."""
    assert setup_id(b"m", 1, 1, [FIRST + SECOND]) != setup_id(b"m", 1, 1, [FIRST, SECOND])


def test_a_session_id_changes_with_set_up_round_and_state() -> None:
    def sid(setup=SETUP, number=2, state=b"s"):
        return session_id(setup, number, state)

    assert sid() == sid()
    assert len({sid(), sid(setup=KEY), sid(number=3), sid(state=b"t")}) == 4


def test_a_chain_advances_in_one_jump_as_in_many_steps() -> None:
    chain = KeyChain(0, KEY)
    steps = chain
    for number in range(1, 8):
        steps = steps.advance_to(number, SETUP)
    assert steps == chain.advance_to(7, SETUP)
    assert chain.advance_to(0, SETUP) == chain
    assert len({chain.advance_to(n, SETUP).round_key(SETUP) for n in range(8)}) == 8


def test_chains_and_round_keys_are_of_one_set_up() -> None:
    chain = KeyChain(0, KEY)
    assert chain.advance_to(1, SETUP).key != chain.advance_to(1, KEY).key
    assert chain.round_key(SETUP) != chain.round_key(KEY)


def test_round_keys_are_not_chain_keys() -> None:
    chain = KeyChain(0, KEY)
    assert chain.round_key(SETUP) not in (KEY, chain.advance_to(1, SETUP).key)


def test_a_chain_does_not_go_back() -> None:
    assert KeyChain(5, KEY).advance_to(5, SETUP).next_round == 5
    with pytest.raises(RefusedError, match="keys are erased"):
        KeyChain(5, KEY).advance_to(4, SETUP)


def test_a_chain_does_not_jump_too_far() -> None:
    assert MAX_JUMP == 64
    assert KeyChain(3, KEY).advance_to(3 + MAX_JUMP, SETUP).next_round == 3 + MAX_JUMP
    with pytest.raises(RefusedError, match="more than 64"):
        KeyChain(3, KEY).advance_to(4 + MAX_JUMP, SETUP)


def test_what_comes_from_the_group_key_depends_on_it_and_on_the_set_up() -> None:
    base = GroupKey(SETUP, KEY)
    others = [GroupKey(bytes(32), KEY), GroupKey(SETUP, bytes(32))]
    assert len({group.check_value() for group in (base, *others)}) == 3
    assert len({group.state_id(b"s") for group in (base, *others)}) == 3
    assert len({base.session_key(b"1"), base.session_key(b"2"), others[1].session_key(b"1")}) == 3
    assert base.state_id(b"s") != base.state_id(b"t")
    assert session_key_hash(b"1", KEY) != session_key_hash(b"2", KEY)
    assert session_key_hash(b"1", KEY) != session_key_hash(b"1", SETUP)


def test_only_clients_can_test_a_guess_of_a_sealed_state_and_everyone_one_of_a_public_state() -> None:
    guesses = {GroupKey(SETUP, key, sealed=True).state_id(b"s") for key in (KEY, bytes(32))}
    assert len(guesses) == 2
    public = {GroupKey(SETUP, key, sealed=False).state_id(b"s") for key in (KEY, bytes(32))}
    assert len(public) == 1
    assert not guesses & public
    assert public != {GroupKey(bytes(32), KEY, sealed=False).state_id(b"s")}
    assert public != {GroupKey(SETUP, KEY, sealed=False).state_id(b"t")}


def test_a_share_stream_is_of_one_client_aggregator_session_and_nonce() -> None:
    def read(key=KEY, sid=b"s", client=1, aggregator=1, nonce=b"n"):
        stream = share_stream(COMPACT, key, sid, client, aggregator, nonce, scratch_words(COMPACT))
        return stream.read(8).tobytes()

    assert read() == read()
    others = [read(key=SETUP), read(sid=b"t"), read(client=2), read(aggregator=2), read(nonce=b"m")]
    assert len({read(), *others}) == 6


def test_rounds_fit_eight_bytes_and_epochs_what_a_store_takes() -> None:
    assert (MAX_ROUND, MAX_EPOCH) == (2**64 - 1, 2**63 - 1)


def test_no_repr_shows_a_key() -> None:
    for holder in (KeyChain(0, KEY), GroupKey(SETUP, KEY)):
        assert repr(KEY) not in repr(holder)
        assert KEY.hex() not in repr(holder)

"""What is refused while a set-up is made: foreign keys, second keys, keys that do not open, set-ups that come back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from privateyes.aggregation.messages import (
    ANNOUNCE,
    BIND,
    AggregatorKey,
    ClientKey,
    HubRequest,
    SealedGroupKey,
    SealedState,
    SealedStreamKey,
    Voucher,
)
from vectors import sealing
from vectors.acting_setup import SetupActor, honest, played
from vectors.cast import state_of
from vectors.refusals_client import written_state
from vectors.script import Table
from vectors.values import refusal, require

REFUSED, MALFORMED = {"error": "RefusedError"}, {"error": "MalformedError"}
ZERO = bytes(32)
Calls = list[dict[str, Any]]
Setting = tuple[str, dict[str, int], Calls, dict[str, Any] | None]

AGGREGATOR, LEADER, CLIENT, NEWCOMER = {"aggregator": 1}, {"client": 1}, {"client": 2}, {"client": 4}
OFFERED: Calls = [{"do": "offer"}]
BOUND: Calls = [*OFFERED, {"do": "bind"}]
START: dict[str, Any] = {"do": "start"}


def make(table: Table) -> list[dict[str, Any]]:
    """Every case is played before it is written, and must end as a person wrote down; null is success."""
    makers = (_offers, _keys, _binding, _stream_keys, _starting, _beginning, _sealing, _leading, _group_keys, _states,
              _client_starts, _giving)  # fmt: skip
    return [_written(case, table) for maker in makers for case in maker()]


def _written(case: Setting, table: Table) -> dict[str, Any]:
    about, party, calls, expected = case
    written = [table.written(call) for call in calls]
    actor = SetupActor(party, table.messages)
    actor.perform(written[:-1])
    if expected is None:
        actor.perform(written[-1:])
    else:
        require(expected, refusal(lambda: actor.perform(written[-1:])), about)
    return {"about": about, "party": party, "calls": written, "expected": expected}


def _setup(epoch: int = 1) -> bytes:
    return played()[epoch].keys.id


def _by_aggregator(message: Any, aggregator: int, context: bytes | None = None) -> Any:
    cast, _ = sealing.set_ups()
    return cast.by_aggregator(message, aggregator, cast.manifest.digest() if context is None else context)


def _by_client(message: Any, client: int, context: bytes | None = None) -> Any:
    cast, _ = sealing.set_ups()
    return cast.by_client(message, client, _setup() if context is None else context)


def _altered(sealed: bytes) -> bytes:
    return sealed[:-1] + bytes([sealed[-1] ^ 1])


# An aggregator


def _offers() -> Iterator[Setting]:
    for about, changes in (
        ("a negative epoch", {"label": "-1"}), ("an epoch of 64 bits", {"label": str(2**63)}),
        ("a leader that the manifest does not pin", {"leader": 3}), ("client 0 as leader", {"leader": 0}),
    ):  # fmt: skip
        yield f"offer: {about}", AGGREGATOR, [{"do": "offer", **changes}], REFUSED
    yield "offer: the largest epoch", AGGREGATOR, [{"do": "offer", "label": str(2**63 - 1)}], None
    yield "offer: epoch 0", AGGREGATOR, [{"do": "offer", "label": "0"}], None


def _keys() -> Iterator[Setting]:
    """n keys make one set-up, for an aggregator as for a client."""
    (one, two), (request,) = honest(1, AggregatorKey), honest(1, HubRequest)

    def two_changed(signer: int = 2, **changes: Any) -> list[Any]:
        return [one, _by_aggregator(replace(two, **changes), signer)]

    third = [_by_aggregator(replace(message, leader=3), message.aggregator) for message in (one, two)]
    cases: list[tuple[str, list[Any], dict[str, Any] | None]] = [
        ("both keys", [one, two], None),
        ("in another order", [two, one], None),
        ("one is missing", [one], REFUSED),
        ("none", [], REFUSED),
        ("one twice", [one, one], REFUSED),
        ("one too many", [one, two, two], REFUSED),
        ("an unknown aggregator", two_changed(aggregator=3), REFUSED),
        ("aggregator 0", two_changed(aggregator=0), REFUSED),
        ("another epoch", two_changed(epoch=2), REFUSED),
        ("another leader", two_changed(leader=2), REFUSED),
        ("a leader that the manifest does not pin, in all", third, REFUSED),
        ("no signature", [one, replace(two, signature=bytes(64))], MALFORMED),
        ("signed by another aggregator", two_changed(1), MALFORMED),
        ("signed in the set-up's context", [one, _by_aggregator(two, 2, _setup())], MALFORMED),
        ("another key, not signed", [one, replace(two, public_key=one.public_key)], MALFORMED),
    ]
    begin = {"do": "begin", "state": _initial()}
    for about, keys, expected in cases:
        yield f"bind, the keys: {about}", AGGREGATOR, [*OFFERED, {"do": "bind", "messages": [*keys, request]}], expected
        yield f"bind, the keys: {about}", CLIENT, [begin, {"do": "bind", "messages": keys}], expected


def _initial() -> dict[str, Any]:
    return written_state(sealing.set_ups()[0].state)


def _binding() -> Iterator[Setting]:
    cast, _ = sealing.set_ups()
    keys, (request,) = honest(1, AggregatorKey), honest(1, HubRequest)
    again = _by_aggregator(replace(keys[0], public_key=honest(2, AggregatorKey)[0].public_key), 1)
    other = [again, keys[1]]
    for about, asked, expected in (
        ("without a signature", replace(request, signature=bytes(64)), MALFORMED),
        ("signed by a client", _by_client(request, 1), MALFORMED),
        ("signed by an aggregator", _by_aggregator(request, 2, _setup()), MALFORMED),
        ("to announce", cast.request(ANNOUNCE, _setup(), 0, ZERO), REFUSED),
        ("to bind another set-up", cast.request(BIND, ZERO, 0, ZERO), REFUSED),
        ("signed for another set-up", request.signed_by(cast.hub_key, ZERO), MALFORMED),
    ):
        calls = [*OFFERED, {"do": "bind", "messages": [*keys, asked]}]
        yield f"bind, the request: {about}", AGGREGATOR, calls, expected
    bind_other = {"do": "bind", "messages": [*other, request]}
    yield "bind: the request is for the set-up of other keys", AGGREGATOR, [*OFFERED, bind_other], REFUSED
    (later,) = honest(2, HubRequest)
    bind_later = {"do": "bind", "messages": [*honest(2, AggregatorKey), later]}
    yield (
        "bind: another key in this aggregator's name than the one it offers",
        AGGREGATOR,
        [*OFFERED, bind_later],
        REFUSED,
    )
    yield "bind: a second time", AGGREGATOR, [*BOUND, {"do": "bind"}], REFUSED
    yield "bind: after the start", AGGREGATOR, [*BOUND, START, {"do": "bind"}], REFUSED
    calls = [*BOUND, *BOUND]
    yield "bind: the current set-up, with its key brought back", AGGREGATOR, calls, REFUSED
    calls = [*BOUND, START, {"do": "offer", "epoch": 2}, {"do": "bind"}, {"do": "offer", "epoch": 1}, {"do": "bind"}]
    yield "bind: an earlier set-up, with its key brought back", AGGREGATOR, calls, REFUSED


def _stream_keys() -> Iterator[Setting]:
    good = honest(1, SealedStreamKey, client=1, aggregator=1)[0]
    second = honest(1, SealedStreamKey, client=2, aggregator=1)[0]

    def signed(client: int = 1, **changes: Any) -> Any:
        return _by_client(replace(good, **changes), client)

    cases: list[tuple[str, list[Any], dict[str, Any] | None]] = [
        ("a sealed stream key", [good], None),
        ("of two clients", [good, second], None),
        ("a second key of one client", [good, good], REFUSED),
        ("a client that is not in the manifest", [_by_client(replace(good, client=5), 1)], REFUSED),
        ("client 0", [_by_client(replace(good, client=0), 1)], REFUSED),
        ("a key for another aggregator", [signed(aggregator=2)], REFUSED),
        ("a key of another set-up", [signed(setup=ZERO)], REFUSED),
        ("no signature", [replace(good, signature=bytes(64))], MALFORMED),
        ("signed by another client", [signed(2)], MALFORMED),
        ("signed under another set-up", [_by_client(good, 1, ZERO)], MALFORMED),
        ("client 1's sealed key replayed as client 2's", [_by_client(replace(good, client=2), 2)], MALFORMED),
        ("an altered sealed key, signed", [signed(sealed=_altered(good.sealed))], MALFORMED),
    ]
    for about, messages, expected in cases:
        calls = [*BOUND, *({"do": "receive", "messages": [message]} for message in messages)]
        yield f"receive: {about}", AGGREGATOR, calls, expected
    receive = {"do": "receive"}
    yield "receive: after the start", AGGREGATOR, [*BOUND, START, receive], REFUSED
    later: Calls = [{"do": "offer", "epoch": 2}, {"do": "bind"}]
    yield "receive: another set-up was bound since", AGGREGATOR, [*BOUND, *later, {**receive, "epoch": 1}], REFUSED
    yield "receive: before the set-up is bound", AGGREGATOR, [*BOUND, later[0], receive], REFUSED


def _starting() -> Iterator[Setting]:
    later: Calls = [{"do": "offer", "epoch": 2}, {"do": "bind"}]
    yield "start: a set-up without clients", AGGREGATOR, [*BOUND, START], None
    yield "start: a second time", AGGREGATOR, [*BOUND, START, START], REFUSED
    yield "start: before the set-up is bound", AGGREGATOR, [*BOUND, later[0], START], REFUSED
    yield "start: another set-up was bound since", AGGREGATOR, [*BOUND, *later, {**START, "epoch": 1}], REFUSED
    yield "key: after the start", AGGREGATOR, [*BOUND, START, {"do": "key"}], REFUSED


# A client


def _client(*calls: dict[str, Any], state: dict[str, Any] | None = None) -> Calls:
    """A client that begins with the pinned state and knows the aggregators' keys."""
    return [{"do": "begin", "state": state or _initial()}, {"do": "bind"}, *calls]


READY: Calls = [{"do": "seal"}, {"do": "receive_group_key"}]


def _beginning() -> Iterator[Setting]:
    other = {**_initial(), "digest": ZERO.hex()}
    yield "begin: another state than the pinned one", CLIENT, [{"do": "begin", "state": other}], REFUSED
    counted = {**_initial(), "counter": 1}
    yield "begin: the pinned state, counted as a later one", CLIENT, [{"do": "begin", "state": counted}], REFUSED
    calls = [*_client(*READY, START), {"do": "begin", "epoch": 2, "state": _initial()}]
    yield "begin: the pinned state, though it has one", CLIENT, calls, REFUSED
    yield "bind: a second time", CLIENT, _client({"do": "bind"}), REFUSED
    calls = [*_client(*READY, START), {"do": "begin", "epoch": 1}, {"do": "bind"}]
    yield "bind: a set-up that it started before", CLIENT, calls, REFUSED
    for do in ("key", "seal", "receive_group_key"):
        calls = [{"do": "begin", "state": _initial()}, {"do": do}]
        yield f"{do}: before the aggregators' keys are known", CLIENT, calls, REFUSED
    calls = [{"do": "begin", "state": _initial()}, {"do": "lead"}]
    yield "lead: before the aggregators' keys are known", LEADER, calls, REFUSED
    yield "key: after the start", CLIENT, _client(*READY, START, {"do": "key"}), REFUSED


def _sealing() -> Iterator[Setting]:
    yield "seal: a second time", CLIENT, _client({"do": "seal"}, {"do": "seal"}), REFUSED
    for about, secrets in (
        ("one secret for two aggregators", ["00" * 32]), ("a secret too many", ["00" * 32] * 3),
        ("a secret of 31 bytes", ["00" * 32, "00" * 31]), ("a secret of 33 bytes", ["00" * 33, "00" * 32]),
        ("no secrets", []),
    ):  # fmt: skip
        yield f"seal: {about}", CLIENT, _client({"do": "seal", "secrets": secrets}), MALFORMED
    one, two = honest(1, AggregatorKey)
    for about, public in (
        ("a point of small order", two.public_key[:-32] + ZERO),
        ("an ML-KEM key that is not reduced", b"\xff" * len(two.public_key)),
    ):
        keys = [one, _by_aggregator(replace(two, public_key=public), 2)]
        calls = [{"do": "begin", "state": _initial()}, {"do": "bind", "messages": keys}, {"do": "seal"}]
        yield f"seal: {about}, signed", CLIENT, calls, MALFORMED


def _leading() -> Iterator[Setting]:
    one, two = honest(1, ClientKey)[:2]

    def changed(signer: int = 2, **changes: Any) -> Any:
        return _by_client(replace(two, **changes), signer)

    small = two.public_key[:-32] + ZERO
    cases: list[tuple[str, list[Any], dict[str, Any] | None]] = [
        ("two keys", [one, two], None),
        ("nobody's key", [], None),
        ("a key of another set-up", [one, changed(setup=ZERO)], REFUSED),
        ("a client that is not in the manifest", [one, changed(1, client=5)], REFUSED),
        ("client 0", [one, changed(1, client=0)], REFUSED),
        ("no signature", [one, replace(two, signature=bytes(64))], MALFORMED),
        ("signed by another client", [one, changed(3)], MALFORMED),
        ("signed under another set-up", [one, _by_client(two, 2, ZERO)], MALFORMED),
        ("a point of small order, signed", [one, changed(public_key=small)], MALFORMED),
    ]
    for about, keys, expected in cases:
        yield f"lead: {about}", LEADER, _client({"do": "lead", "messages": keys}), expected
    misfiled = {"do": "lead", "messages": [one, two], "filed_under": [1, 3]}
    yield "lead: a key filed under another client", LEADER, _client(misfiled), REFUSED
    yield "lead: a client that is not this set-up's leader", CLIENT, _client({"do": "lead"}), REFUSED
    yield "lead: a second time", LEADER, _client({"do": "lead"}, {"do": "lead"}), REFUSED
    started = _client({"do": "seal"}, {"do": "lead"}, {"do": "receive_group_key"}, START, {"do": "lead"})
    yield "lead: after the start, when the first group key is forgotten", LEADER, started, REFUSED
    for about, secret in (("no group key", ""), ("a group key of 31 bytes", "00" * 31)):
        yield f"lead: {about}", LEADER, _client({"do": "lead", "secret": secret}), MALFORMED
    own = honest(1, SealedGroupKey, recipient=1)
    receive = {"do": "receive_group_key", "messages": own}
    yield "receive_group_key: the leader's own", LEADER, _client({"do": "lead"}, receive), None
    calls = _client({"do": "lead", "secret": "00" * 32}, receive)
    yield "receive_group_key: not the one that the leader made", LEADER, calls, REFUSED


def _group_keys() -> Iterator[Setting]:
    good = honest(1, SealedGroupKey, recipient=2)[0]

    def signed(signer: int = 1, **changes: Any) -> Any:
        return _by_client(replace(good, **changes), signer)

    stream_key = honest(1, SealedStreamKey, client=2, aggregator=1)[0].sealed
    cases: list[tuple[str, list[Any], dict[str, Any] | None]] = [
        ("the leader's group key", [good], None),
        ("a second one", [good, good], REFUSED),
        ("of a client that is not the leader", [signed(3, leader=3)], REFUSED),
        ("of the second of the pinned leaders, who does not lead this set-up", [signed(2, leader=2)], REFUSED),
        ("for another recipient", [signed(recipient=3)], REFUSED),
        ("of another set-up", [signed(setup=ZERO)], REFUSED),
        ("signed by another client", [signed(3)], MALFORMED),
        ("no signature", [replace(good, signature=bytes(64))], MALFORMED),
        ("signed under another set-up", [_by_client(good, 1, ZERO)], MALFORMED),
        ("a stream key's sealing in its place, signed", [signed(sealed=stream_key)], MALFORMED),
        ("an altered sealed key, signed", [signed(sealed=_altered(good.sealed))], MALFORMED),
    ]
    for about, messages, expected in cases:
        receive = [{"do": "receive_group_key", "messages": [message]} for message in messages]
        yield f"receive_group_key: {about}", CLIENT, _client(*receive), expected


def _states() -> Iterator[Setting]:
    """One client of four may be corrupt, so two others must vouch."""
    (good,), (one, two) = honest(1, SealedState), honest(1, Voucher)

    def signed(signer: int = 1, **changes: Any) -> Any:
        return _by_client(replace(good, **changes), signer)

    def voucher(client: int, signer: int | None = None, **changes: Any) -> Any:
        return _by_client(replace(one, client=client, **changes), signer or client)

    cases: list[tuple[str, list[Any], dict[str, Any] | None]] = [
        ("a newcomer's training state", [one, two, good], None),
        ("for another recipient", [one, two, signed(recipient=2)], REFUSED),
        ("of another set-up", [one, two, signed(setup=ZERO)], REFUSED),
        ("from a client that is not in the manifest", [one, two, signed(sender=5)], REFUSED),
        ("from client 0", [one, two, signed(sender=0)], REFUSED),
        ("signed by another client", [one, two, signed(2)], MALFORMED),
        ("no signature", [one, two, replace(good, signature=bytes(64))], MALFORMED),
        ("client 1's sealed state replayed as client 2's", [one, two, signed(2, sender=2)], MALFORMED),
        ("an altered sealed state, signed", [one, two, signed(sealed=_altered(good.sealed))], MALFORMED),
        ("nobody vouches for it", [good], REFUSED),
        ("one client vouches, and one may be corrupt", [one, good], REFUSED),
        ("one client vouches twice", [one, one, good], REFUSED),
        ("the newcomer itself is one of two", [one, voucher(4), good], REFUSED),
        ("nobody in the manifest is one of two", [one, voucher(5, 2), good], REFUSED),
        ("another state is vouched for", [one, voucher(2, state_id=ZERO), good], REFUSED),
        ("a voucher of another set-up", [one, voucher(2, setup=ZERO), good], REFUSED),
        ("a voucher signed by another client", [one, voucher(2, 3), good], MALFORMED),
        ("a voucher without a signature", [one, replace(two, signature=bytes(64)), good], MALFORMED),
        ("vouched for by two others", [voucher(2), voucher(3), good], None),
        ("a bad voucher beside two good ones counts for nothing", [one, two, voucher(3, state_id=ZERO), good], None),
    ]
    joins: Calls = [{"do": "begin"}, {"do": "bind"}, {"do": "seal"}]
    for about, messages, expected in cases:
        calls = [*joins, {"do": "receive_group_key"}, {"do": "receive_state", "messages": messages}]
        yield f"receive_state: {about}", NEWCOMER, calls, expected
    yield "receive_state: before the group key", NEWCOMER, [*joins, {"do": "receive_state"}], REFUSED
    started: Calls = [*joins, {"do": "receive_group_key"}, {"do": "receive_state"}, START]
    jumps: Calls = [{"do": "begin", "epoch": 2}, {"do": "bind"}, *READY]
    taken = {"do": "receive_state"}
    yield "receive_state: a client jumps to a later state", NEWCOMER, [*started, *jumps, taken], None
    same = {**taken, "counter": 0}
    yield (
        "receive_state: a client does not jump to a state as late as its own",
        NEWCOMER,
        [*started, *jumps, same],
        REFUSED,
    )


def _client_starts() -> Iterator[Setting]:
    later = written_state(state_of(b"a state of its own", 6))
    joins: Calls = [{"do": "begin"}, {"do": "bind"}, *READY]
    yield "start: with all keys", CLIENT, _client(*READY, START), None
    yield "start: a second time", CLIENT, _client(*READY, START, START), REFUSED
    yield "start: no stream keys were sealed", CLIENT, _client({"do": "receive_group_key"}, START), REFUSED
    yield "start: no group key came", CLIENT, _client({"do": "seal"}, START), REFUSED
    yield "start: a newcomer without a training state", NEWCOMER, [*joins, START], REFUSED
    again: Calls = [{"do": "begin", "epoch": 2}, {"do": "bind"}, *READY]
    yield (
        "start: its memory is missing",
        CLIENT,
        [*_client(*READY, START), *again, {**START, "without_memory": True}],
        REFUSED,
    )
    yield "start: the next set-up, a second time", CLIENT, [*_client(*READY, START), *again, START, START], REFUSED
    yield "start: the next set-up", CLIENT, [*_client(*READY, START), *again, START], None
    calls = [
        *joins,
        {"do": "receive_state"},
        START,
        *again,
        {"do": "receive_state"},
        {"do": "move_on", "state": later},
        START,
    ]
    yield "start: it moved beyond the state that it was given", NEWCOMER, calls, REFUSED
    twice = [*_client(*READY), {"do": "begin", "epoch": 2, "state": _initial()}, {"do": "bind"}, *READY, START]
    yield "start: a new client has started another set-up since", CLIENT, [*twice, {**START, "epoch": 1}], REFUSED


def _giving() -> Iterator[Setting]:
    (key,) = honest(1, ClientKey, client=4)
    started = _client(*READY, START)
    give = {"do": "give_state"}

    def newcomer(signer: int = 4, **changes: Any) -> dict[str, Any]:
        return {**give, "messages": [_by_client(replace(key, **changes), signer)]}

    cases: list[tuple[str, dict[str, Any], dict[str, Any] | None]] = [
        ("its own state", give, None),
        ("another state", {**give, "state_bytes": "00"}, REFUSED),
        ("to a key of another set-up", newcomer(setup=ZERO), REFUSED),
        ("to a key of the next set-up", {**give, "messages": honest(2, ClientKey, client=4)}, REFUSED),
        ("to a client that is not in the manifest", newcomer(1, client=5), REFUSED),
        ("to client 0", newcomer(1, client=0), REFUSED),
        ("to a key that another client signed", newcomer(3), MALFORMED),
        ("to a key without a signature", {**give, "messages": [replace(key, signature=bytes(64))]}, MALFORMED),
        ("to a point of small order, signed", newcomer(public_key=key.public_key[:-32] + ZERO), MALFORMED),
    ]
    for about, call, expected in cases:
        yield f"give_state: {about}", CLIENT, [*started, call], expected

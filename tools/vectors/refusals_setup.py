"""What is refused while an epoch is set up: keys of others, second keys, keys that do not open."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

from privateyes.aggregation.keys import GroupKey
from privateyes.aggregation.messages import (
    AggregatorKey,
    ClientKey,
    Message,
    SealedGroupKey,
    SealedState,
    SealedStreamKey,
    Voucher,
)
from privateyes.aggregation.setup import AggregatorSetup, ClientSetup
from vectors import sealing
from vectors.cast import Cast
from vectors.values import refusal, require, secret

REFUSED, MALFORMED = {"error": "RefusedError"}, {"error": "MalformedError"}


def make() -> dict[str, Any]:
    """Receiving and sealing, with the frozen sealings of sealing.json."""
    cast = Cast(sealing.PLOT)
    return {
        "manifest": cast.manifest.to_toml(),
        "epoch": 1,
        "client_signing_keys": [key.secret_bytes() for key in cast.client_keys.values()],
        "aggregator_signing_keys": [key.secret_bytes() for key in cast.aggregator_keys.values()],
        "state_digest": cast.state_digest,
        "aggregator_1_receives": [_received(cast, *case) for case in _stream_keys(cast)],
        "client_2_receives": [_group_received(cast, *case) for case in _group_keys(cast)],
        "client_3_receives_a_state": [_state_received(cast, *case) for case in _states(cast)],
        "client_2_seals_to": [_sealed_to(cast, *case) for case in _aggregator_keys(cast)],
        "leader_seals_to": [_led(cast, *case) for case in _client_keys(cast)],
    }


def _case(about: str, messages: list[Message], expected: dict[str, Any] | None, call: Any) -> dict[str, Any]:
    out = {"about": about, "messages": [message.to_bytes() for message in messages]}
    if expected is None:
        call()
        return {**out, "expected": None}
    return {**out, "expected": require(expected, refusal(call), about)}


def aggregator_setup(cast: Cast) -> AggregatorSetup:
    """Aggregator 1 with the key to which the first frozen key is sealed."""
    own = AggregatorSetup(cast.manifest, 1, cast.aggregator_keys[1], 1, None)
    own._unsealing = sealing.recipient("aggregator 1")
    return own


def client_setup(cast: Cast, number: int = 2) -> ClientSetup:
    """A client with the key to which the second frozen key is sealed."""
    own = ClientSetup(cast.manifest, number, cast.client_keys[number], 1, cast.state_digest)
    own._unsealing = sealing.recipient("client 2")
    return own


def _stream_keys(cast: Cast) -> list[tuple[str, list[Message], dict[str, Any] | None]]:
    good = SealedStreamKey(1, 1, 1, sealing.frozen()["stream key"])

    def signed(client: int = 1, **changes: Any) -> Message:
        message: Message = cast.by_client(replace(good, **changes), client, cast.setup)
        return message

    foreign = cast.by_client(good, 1, bytes(32))
    return [
        ("a sealed stream key", [signed()], None),
        ("a second key of one client", [signed(), signed()], REFUSED),
        ("a client that is not in the manifest", [cast.by_client(replace(good, client=9), 1, cast.setup)], REFUSED),
        ("a key for another aggregator", [signed(aggregator=2)], REFUSED),
        ("a key of another epoch", [signed(epoch=2)], REFUSED),
        ("no signature", [good], MALFORMED),
        ("signed by another client", [signed(2)], MALFORMED),
        ("signed under another set-up", [foreign], MALFORMED),
        ("client 1's sealed key replayed as client 2's",
         [cast.by_client(replace(good, client=2), 2, cast.setup)], MALFORMED),
        ("an altered sealed key, signed", [signed(sealed=good.sealed[:-1] + bytes([good.sealed[-1] ^ 1]))], MALFORMED),
    ]  # fmt: skip


def _received(cast: Cast, about: str, messages: list[Message], expected: dict[str, Any] | None) -> dict[str, Any]:
    own = aggregator_setup(cast)
    for message in messages[:-1]:
        own.receive(message)  # type: ignore[arg-type]
    return _case(about, messages, expected, lambda: own.receive(messages[-1]))  # type: ignore[arg-type]


def _group_keys(cast: Cast) -> list[tuple[str, list[Message], dict[str, Any] | None]]:
    good = SealedGroupKey(1, 1, 2, sealing.frozen()["group key"])

    def signed(signer: int = 1, **changes: Any) -> Message:
        message: Message = cast.by_client(replace(good, **changes), signer, cast.setup)
        return message

    return [
        ("the leader's group key", [signed()], None),
        ("a second group key", [signed(), signed()], REFUSED),
        ("of a client that is not the leader", [signed(3, leader=3)], REFUSED),
        ("for another recipient", [signed(recipient=3)], REFUSED),
        ("of another epoch", [signed(epoch=2)], REFUSED),
        ("signed by another client", [signed(3)], MALFORMED),
        ("no signature", [good], MALFORMED),
        ("the stream key's sealing in its place, signed", [signed(sealed=sealing.frozen()["stream key"])], MALFORMED),
    ]


def _group_received(cast: Cast, about: str, messages: list[Message], expected: dict[str, Any] | None) -> dict[str, Any]:
    own = client_setup(cast)
    for message in messages[:-1]:
        own.receive_group_key(message)  # type: ignore[arg-type]
    return _case(about, messages, expected, lambda: own.receive_group_key(messages[-1]))  # type: ignore[arg-type]


def newcomer_setup(cast: Cast) -> ClientSetup:
    """Client 3, without a training state, with the key to which the frozen state is sealed."""
    own = ClientSetup(cast.manifest, 3, cast.client_keys[3], 1, None)
    own._unsealing = sealing.recipient("client 3")
    return own


def _states(cast: Cast) -> list[tuple[str, list[Message], dict[str, Any] | None]]:
    good = SealedState(1, 1, 3, sealing.frozen()["training state"])

    def signed(signer: int = 1, **changes: Any) -> Message:
        message: Message = cast.by_client(replace(good, **changes), signer, cast.setup)
        return message

    key = cast.by_client(SealedGroupKey(1, 1, 3, sealing.frozen()["newcomer's group key"]), 1, cast.setup)
    group = GroupKey(cast.setup, 1, secret("sealing/group key"), cast.manifest.sealed)
    state_id = group.state_id(hashlib.sha256(secret("sealing/state", 50)).digest())

    def voucher(client: int, signer: int | None = None, **changes: Any) -> Message:
        message = replace(Voucher(1, client, state_id), **changes)
        vouched: Message = cast.by_client(message, signer or client, cast.setup)
        return vouched

    holder = voucher(2)
    unsigned = Voucher(1, 2, state_id)
    return [
        ("a newcomer's training state", [key, holder, signed()], None),
        ("a second training state", [key, holder, signed(), signed()], REFUSED),
        ("before the group key", [holder, signed()], REFUSED),
        ("for another recipient", [key, holder, signed(recipient=2)], REFUSED),
        ("of another epoch", [key, holder, signed(epoch=2)], REFUSED),
        ("from a client that is not in the manifest", [key, holder, signed(sender=4)], REFUSED),
        ("signed by another client", [key, holder, signed(2)], MALFORMED),
        ("no signature", [key, holder, good], MALFORMED),
        ("client 1's sealed state replayed as client 2's", [key, holder, signed(2, sender=2)], MALFORMED),
        ("nobody vouches for it", [key, signed()], REFUSED),
        ("only the newcomer itself vouches for it", [key, voucher(3), signed()], REFUSED),
        ("vouched for by nobody in the manifest", [key, voucher(4, 2), signed()], REFUSED),
        ("another state is vouched for", [key, voucher(2, state_id=bytes(32)), signed()], REFUSED),
        ("a voucher of another epoch", [key, voucher(2, epoch=2), signed()], REFUSED),
        ("a voucher signed by another client", [key, voucher(2, 1), signed()], MALFORMED),
        ("a voucher without a signature", [key, unsigned, signed()], MALFORMED),
    ]


def _state_received(cast: Cast, about: str, messages: list[Message], expected: dict[str, Any] | None) -> dict[str, Any]:
    own = newcomer_setup(cast)
    vouchers: list[Voucher] = []

    def receive(message: Message) -> None:
        if isinstance(message, Voucher):
            vouchers.append(message)
        elif isinstance(message, SealedGroupKey):
            own.receive_group_key(message)
        elif isinstance(message, SealedState):
            own.receive_state(message, vouchers, lambda state: hashlib.sha256(state).digest())

    for message in messages[:-1]:
        receive(message)
    return _case(about, messages, expected, lambda: receive(messages[-1]))


def _aggregator_keys(cast: Cast) -> list[tuple[str, list[Message], dict[str, Any]]]:
    public = sealing.recipient("aggregator 1").public_bytes

    def key(aggregator: int, signer: int | None = None, **changes: Any) -> Message:
        message = replace(AggregatorKey(1, aggregator, public), **changes)
        signed: Message = cast.by_aggregator(message, signer or aggregator, cast.setup)
        return signed

    one, two = key(1), key(2)
    return [
        ("one is missing", [one], REFUSED),
        ("one twice", [one, one], REFUSED),
        ("one too many", [one, two, two], REFUSED),
        ("another epoch", [one, key(2, epoch=2)], REFUSED),
        ("signed by another aggregator", [one, key(2, 1)], MALFORMED),
        ("a point of small order", [one, key(2, public_key=public[:-32] + bytes(32))], MALFORMED),
        ("an ML-KEM key that is not reduced", [one, key(2, public_key=b"\xff" * len(public))], MALFORMED),
    ]


def _sealed_to(cast: Cast, about: str, messages: list[Message], expected: dict[str, Any]) -> dict[str, Any]:
    own, secrets = client_setup(cast), [bytes(32), bytes(32)]
    return _case(about, messages, expected, lambda: own.seal_stream_keys(messages, secrets))  # type: ignore[arg-type]


def _client_keys(cast: Cast) -> list[tuple[str, list[Message], dict[str, Any]]]:
    public = sealing.recipient("client 2").public_bytes

    def key(client: int, signer: int | None = None, **changes: Any) -> Message:
        message = replace(ClientKey(1, client, public), **changes)
        signed: Message = cast.by_client(message, signer or client, cast.setup)
        return signed

    return [
        ("another epoch", [key(1), key(2, epoch=2)], REFUSED),
        ("a client that is not in the manifest", [key(1), key(4, 1)], REFUSED),
        ("signed by another client", [key(1), key(2, 3)], MALFORMED),
        ("a point of small order", [key(1), key(2, public_key=public[:-32] + bytes(32))], MALFORMED),
    ]


def _led(cast: Cast, about: str, messages: list[Message], expected: dict[str, Any]) -> dict[str, Any]:
    own = client_setup(cast, 1)
    keys: dict[int, Any] = {message.client: message for message in messages}  # type: ignore[attr-defined]
    return _case(about, messages, expected, lambda: own.lead(keys, bytes(32)))

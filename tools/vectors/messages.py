"""messages.json: every message's bytes, signed statement and signature; and bytes that are no message."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from privateyes.aggregation import messages
from privateyes.aggregation.messages import (
    BIND,
    Abort,
    AggregatorKey,
    Agreement,
    Announcement,
    ClientKey,
    Closing,
    Complaint,
    Delivery,
    Disclosure,
    Header,
    HubCommitment,
    HubRequest,
    HubSum,
    Message,
    Opening,
    Origin,
    ResultSignature,
    RosterCommitment,
    SealedGroupKey,
    SealedState,
    SealedStreamKey,
    Signed,
    Submission,
    Vote,
    Voucher,
)
from privateyes.crypto.bulk import BulkHash
from privateyes.crypto.sealing import SEALED_KEY_BYTES, SEALING_OVERHEAD_BYTES, SEALING_PUBLIC_KEY_BYTES
from privateyes.crypto.signature import SigningKey
from vectors.cast import Cast, Plot
from vectors.values import elements, numbers, refusal, require, secret

VERSION_1 = Path(__file__).parent.parent.parent / "vectors" / "inputs" / "version_1.json"
LAST_OF_VERSION_1 = 24
KEY, CONTEXT = SigningKey(secret("messages/signing key")), secret("messages/context")


def _digest(name: str) -> bytes:
    return secret(f"messages/{name}")


def every_message(cast: Cast) -> list[Message]:
    """One of each kind, with a share in the task's field."""
    sid, setup, field = CONTEXT, CONTEXT, cast.field
    count = cast.manifest.share_elements
    share = np.array([0, field.prime - 1, *elements(field.prime, "messages/share", count - 2)], dtype=field.dtype)
    entries = tuple((i, _digest(f"header {i}")) for i in (1, 2, 4))
    digests = tuple(_digest(f"commitment {s}") for s in range(3))
    signatures = tuple(secret(f"messages/signature {s}", 64) for s in range(2))
    sealed = secret("messages/sealed", SEALED_KEY_BYTES)
    public = secret("messages/public key", SEALING_PUBLIC_KEY_BYTES)
    header = Header(sid, 3, _digest("nonce"), _digest("kc"), _digest("ksid"), digests[:2], _digest("share hash"))
    again = replace(header, origin=_digest("origin"))
    opening = Opening(sid, 2, _digest("salt"), share)
    opening = replace(opening, signature=_signed(opening.receipt(cast.manifest.bulk_hash)).signature)
    total = HubSum(sid, share)
    delivery = Delivery(sid, _digest("kc"), entries, digests, signatures, share)
    plain = [
        AggregatorKey(2**64 - 1, 2**32 - 1, 65_535, public), ClientKey(setup, 2**32 - 1, public),
        SealedStreamKey(setup, 1, 2, sealed), SealedGroupKey(setup, 1, 4, sealed),
        SealedState(setup, 1, 4, sealed[:SEALING_OVERHEAD_BYTES]), SealedState(setup, 1, 4, sealed),
        Voucher(setup, 3, _digest("state id")), HubRequest(1, setup, 2**40, _digest("state id")),
        HubRequest(BIND, setup, 0, bytes(32)), Announcement(setup, 2, 2**64 - 1, _digest("state id")), header, again,
        Vote(sid, 1, entries), Vote(sid, 1, ()), RosterCommitment(sid, 2, _digest("rho"), _digest("commitment")),
        Agreement(sid, 1, _digest("transcript")), ResultSignature(sid, 1, _digest("result")), Complaint(sid, 3, 5),
        Closing(sid, 2, 0), Closing(sid, 2, 1), Disclosure(sid, 3, _digest("result"), _digest("session key")),
        Abort(sid, 2, 4),
    ]  # fmt: skip
    signed = [_signed(message) for message in plain]
    unsigned = [HubCommitment(sid, _digest("hub")), Origin(sid, _digest("kc"), entries)]
    bulk = [Submission(_signed(header), share), opening, total, delivery]
    receipts = [message.receipt(cast.manifest.bulk_hash) for message in (opening, total, delivery)]
    return [*signed, *unsigned, *bulk, *receipts]


def _signed(message: Any) -> Any:
    return message.signed_by(KEY, CONTEXT)


def _written(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return numbers(value)
    if isinstance(value, Message):
        return {field.name: _written(getattr(value, field.name)) for field in fields(value)}  # type: ignore[arg-type]
    if isinstance(value, int):
        return str(value)
    if isinstance(value, tuple):
        return [[str(item[0]), item[1]] if isinstance(item, tuple) else item for item in value]
    return value


def _positive(message: Message, bulk: BulkHash) -> dict[str, Any]:
    out = {"message": type(message).__name__, "kind": message.kind, "fields": _written(message)}
    signed = message.receipt(bulk) if isinstance(message, Opening) else message
    if isinstance(signed, Signed):
        out["signed_statement"] = signed.signed_statement(CONTEXT)
    return {**out, "bytes": message.to_bytes()}


def _without_64(message: Message) -> str:
    known = message.kind - 64 <= LAST_OF_VERSION_1
    return "a message of protocol version 1" if known else "its number without the 64, which version 1 did not have"


def _malformed(message: Message, cast: Cast) -> list[tuple[str, bytes]]:
    data = message.to_bytes()
    cases = [
        ("nothing", b""),
        ("only the kind", data[:1]),
        ("another kind", bytes([65 + (message.kind - 64) % 26]) + data[1:]),
        ("kind 0", b"\0" + data[1:]),
        (_without_64(message), bytes([message.kind - 64]) + data[1:]),
        ("kind 64", bytes([64]) + data[1:]),
        ("kind 91, which nobody knows", bytes([91]) + data[1:]),
        ("the last byte is missing", data[:-1]),
        ("the first byte is missing", data[1:]),
        ("a byte too many", data + b"\0"),
    ]
    if hasattr(message, "share"):
        start, size = _share_offset(message, cast), cast.field.element_bytes
        end = start + cast.manifest.share_elements * size

        def word(position: int, value: int) -> bytes:
            at = start + position * size
            return data[:at] + value.to_bytes(size, "little") + data[at + size :]

        cases += [
            ("a share whose first word is p", word(0, cast.prime)),
            ("a share whose last word is p + 1", word(cast.manifest.share_elements - 1, cast.prime + 1)),
            ("a share with the largest word", word(1, 2 ** (8 * size) - 1)),
            ("a share with a word too few", data[: end - size] + data[end:]),
            ("a share with a word too many", data[:end] + bytes(size) + data[end:]),
        ]
    if hasattr(message, "entries") or hasattr(message, "roster"):
        cases += _bad_rosters(message, data)
    if isinstance(message, SealedState):
        cases += [
            ("a sealed text shorter than the overhead of sealing", data[:41] + (1135).to_bytes(8, "big") + data[49:]),
            ("a sealed text that is shorter than its count", data[:41] + (2**40).to_bytes(8, "big") + data[49:]),
            ("the largest count", data[:41] + b"\xff" * 8 + data[49:]),
        ]
    if isinstance(message, Header | Delivery):
        cases += _bad_lists(message, data)
    if isinstance(message, Submission):
        cases.append(("a header of protocol version 1 in it", data[:1] + bytes([Header.kind - 64]) + data[2:]))
    return cases


def _share_offset(message: Message, cast: Cast) -> int:
    size = cast.manifest.share_elements * cast.field.element_bytes
    return len(message.to_bytes()) - size - (64 if isinstance(message, Opening) else 0)


def _bad_rosters(message: Message, data: bytes) -> list[tuple[str, bytes]]:
    entries: Any = getattr(message, "entries", None) or getattr(message, "roster", ())
    if not entries:
        return [("a roster of one without its entry", data[:35] + (1).to_bytes(4, "big") + data[39:])]
    at = 35 if isinstance(message, Vote) else 65
    pieces = [client.to_bytes(4, "big") + value for client, value in entries]
    rest = data[at + 4 + 36 * len(pieces) :]

    def with_roster(count: int, *chosen: bytes) -> bytes:
        return data[:at] + count.to_bytes(4, "big") + b"".join(chosen) + rest

    one, two, three = pieces
    two_more = [client.to_bytes(4, "big") + bytes(32) for client in (5, 6)]
    return [
        ("a roster that is not sorted", with_roster(3, two, one, three)),
        ("a roster that names a client twice", with_roster(3, one, two, two)),
        ("a roster of more clients than the manifest", with_roster(5, *pieces, *two_more)),
        ("a roster that is shorter than its count", with_roster(4, *pieces)),
        ("a roster that is longer than its count", with_roster(2, *pieces)),
        ("a roster with the largest count", with_roster(2**32 - 1, *pieces)),
    ]  # fmt: skip


def _bad_lists(message: Header | Delivery, data: bytes) -> list[tuple[str, bytes]]:
    at = 1 + 32 + 4 + 3 * 32 if isinstance(message, Header) else 65 + 4 + 36 * len(message.roster)
    count = data[at]
    return [
        ("a list that is shorter than its count", data[:at] + bytes([count + 1]) + data[at + 1 :]),
        ("a list that is longer than its count", data[:at] + bytes([count - 1]) + data[at + 1 :]),
        ("a list with the largest count", data[:at] + b"\xff" + data[at + 1 :]),
    ]


def _malformed_cases(message: Message, cast: Cast) -> list[dict[str, Any]]:
    kind = type(message)
    out = []
    for about, data in _malformed(message, cast):
        got = refusal(lambda data=data: kind.from_bytes(data, cast.manifest))
        expected = require({"error": "MalformedError"}, got, f"{kind}: {about}")
        out.append({"about": about, **_edit(message.to_bytes(), data), **expected})
    return out


def _edit(data: bytes, altered: bytes) -> dict[str, Any]:
    """The bytes of ``data`` from ``from`` to ``to`` are replaced by ``by``."""
    shorter = min(len(data), len(altered))
    same = next((at for at in range(shorter) if data[at] != altered[at]), shorter)
    left = shorter - same
    tail = next((at for at in range(left) if data[-1 - at] != altered[-1 - at]), left)
    return {"from": same, "to": len(data) - tail, "by": altered[same : len(altered) - tail]}


def _bad_signatures(everything: list[Message]) -> list[dict[str, Any]]:
    message = next(message for message in everything if isinstance(message, Agreement))
    data = message.to_bytes()
    other = SigningKey(secret("messages/other key")).public_bytes
    cases = [
        ("an altered signature", data[:-1] + bytes([data[-1] ^ 1]), KEY.public_bytes, CONTEXT),
        ("an altered field", data[:40] + bytes([data[40] ^ 1]) + data[41:], KEY.public_bytes, CONTEXT),
        ("another party's key", data, other, CONTEXT),
        ("another context", data, KEY.public_bytes, bytes(32)),
        ("no signature", data[:-64] + bytes(64), KEY.public_bytes, CONTEXT),
        ("a key that is no point", data, b"\xff" * 32, CONTEXT),
    ]
    manifest = Cast(_plot("compact")).manifest
    return [
        {"about": about, "message": "Agreement", "bytes": altered, "public_key": public, "context": context,
         **require({"error": "MalformedError"}, refusal(
             lambda altered=altered, public=public, context=context:
             Agreement.from_bytes(altered, manifest).require_signature_of(public, context)), about)}
        for about, altered, public, context in cases
    ]  # fmt: skip


def _of_version_1(cast: Cast) -> list[dict[str, Any]]:
    """Whole messages of the earlier version, as its vectors had them."""
    old = json.loads(VERSION_1.read_text(encoding="utf-8"))
    out = []
    for name, text in old.items():
        kind, data = vars(messages)[name], bytes.fromhex(text)
        got = refusal(lambda kind=kind, data=data: kind.from_bytes(data, cast.manifest))
        out.append({"message": name, "bytes": data, **require({"error": "MalformedError"}, got, name)})
    return out


def _plot(field: str) -> Plot:
    bulk_hash = "blake3" if field == "compact" else "sha256"
    return Plot(f"messages-{field}", n=2, m=4, field=field, mode="sealed", submitting=(), bulk_hash=bulk_hash)


def make() -> dict[str, Any]:
    """Every kind in the compact field, those with a share in the wide one too."""
    tasks = []
    compact = every_message(Cast(_plot("compact")))
    for field in ("compact", "wide"):
        cast = Cast(_plot(field))
        listed = [message for message in every_message(cast) if field == "compact" or hasattr(message, "share")]
        tasks.append(
            {
                "manifest": cast.manifest.to_toml(),
                "messages": [
                    {**_positive(message, cast.manifest.bulk_hash), "malformed": _malformed_cases(message, cast)}
                    for message in listed
                ],
            }
        )
    return {
        "about": "messages, docs/protocol.md, Encoding of statements; integers are decimal text, bytes hexadecimal",
        "signing_key": KEY.secret_bytes(),
        "public_key": KEY.public_bytes,
        "context": CONTEXT,
        "tasks": tasks,
        "messages_of_version_1": _of_version_1(Cast(_plot("compact"))),
        "signatures_that_do_not_verify": _bad_signatures(compact),
    }

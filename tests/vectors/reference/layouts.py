"""Every message as a table: its number, what is signed, and its fields in order."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

from .manifests import Manifest
from .statements import merkle_root, statement

Values = dict[str, Any]


class Layout(NamedTuple):
    """A message; ``label`` and ``role`` are empty where nothing is signed."""

    number: int
    label: str
    role: str
    fields: tuple[tuple[str, str], ...]


def _layout(number: int, signed: str, fields: str) -> Layout:
    """``fields`` as ``name:kind`` in order; a signature comes last where something is signed."""
    label, _, role = signed.partition(" ")
    pairs = [tuple(field.split(":")) for field in fields.split()]
    if signed:
        pairs.append(("signature", "b64"))
    return Layout(number, label, role, tuple((name, kind) for name, kind in pairs))


# Kinds: u8 to u64; b32, b64, b1168 and b1216 for that many bytes; text after a count of eight bytes; l32 and l64 for
# lists of such bytes; roster; vector.
LAYOUTS = {
    "AggregatorKey": _layout(
        1, "aggregator-key aggregator", "epoch:u64 leader:u32 aggregator:u16 public_key:b1216"),
    "ClientKey": _layout(2, "client-key client", "setup:b32 client:u32 public_key:b1216"),
    "SealedStreamKey": _layout(3, "stream-key client", "setup:b32 client:u32 aggregator:u16 sealed:b1168"),
    "SealedGroupKey": _layout(4, "group-key client", "setup:b32 leader:u32 recipient:u32 sealed:b1168"),
    "SealedState": _layout(23, "sealed-state client", "setup:b32 sender:u32 recipient:u32 sealed:text"),
    "Voucher": _layout(24, "voucher client", "setup:b32 client:u32 state_id:b32"),
    "HubRequest": _layout(25, "hub-request hub", "action:u8 setup:b32 round:u64 state_id:b32"),
    "Announcement": _layout(5, "announcement aggregator", "setup:b32 aggregator:u16 round:u64 state_id:b32"),
    "Closing": _layout(17, "closing aggregator", "sid:b32 aggregator:u16 outcome:u8"),
    "Header": _layout(
        6, "header client",
        "sid:b32 client:u32 nonce:b32 group_check:b32 session_key_hash:b32 sealed_hashes:l32 share_hash:b32 "
        "origin:b32"),
    "Submission": _layout(7, "", "header:header share:vector"),
    "Origin": _layout(26, "", "sid:b32 group_check:b32 roster:roster"),
    "Vote": _layout(8, "vote aggregator", "sid:b32 aggregator:u16 entries:roster"),
    "RosterCommitment": _layout(9, "roster-commitment aggregator", "sid:b32 aggregator:u16 rho:b32 commitment:b32"),
    "HubCommitment": _layout(10, "", "sid:b32 commitment:b32"),
    "Agreement": _layout(11, "agreement aggregator", "sid:b32 aggregator:u16 transcript:b32"),
    "Opening": _layout(12, "opening aggregator", "sid:b32 aggregator:u16 salt:b32 share:vector"),
    "HubSum": _layout(13, "", "sid:b32 share:vector"),
    "ResultSignature": _layout(14, "result-signature aggregator", "sid:b32 aggregator:u16 result:b32"),
    "Delivery": _layout(15, "", "sid:b32 group_check:b32 roster:roster commitments:l32 results:l64 share:vector"),
    "Complaint": _layout(16, "complaint client", "sid:b32 client:u32 check:u8"),
    "Abort": _layout(22, "abort aggregator", "sid:b32 aggregator:u16 step:u8"),
    "Disclosure": _layout(18, "disclosure client", "sid:b32 client:u32 result:b32 session_key:b32"),
    "OpeningReceipt": _layout(19, "opening aggregator", "sid:b32 aggregator:u16 salt:b32 share_root:b32"),
    "HubSumReceipt": _layout(20, "", "sid:b32 share_root:b32"),
    "DeliveryReceipt": _layout(
        21, "", "sid:b32 group_check:b32 roster:roster commitments:l32 results:l64 share_root:b32"),
}  # fmt: skip
SEALING_OVERHEAD = 1120 + 16


def kind_byte(name: str) -> int:
    """64 plus the number."""
    return 64 + LAYOUTS[name].number


def name_of(data: bytes) -> str:
    """Which message some bytes say they are."""
    return next(name for name in LAYOUTS if kind_byte(name) == data[0])


def _written(kind: str, value: Any, manifest: Manifest) -> bytes:
    if kind[0] == "u":
        return int(value).to_bytes(int(kind[1:]) // 8, "big")
    if kind == "text":
        return len(value).to_bytes(8, "big") + value
    if kind[0] == "l":
        return bytes([len(value)]) + b"".join(value)
    if kind == "roster":
        return len(value).to_bytes(4, "big") + b"".join(client.to_bytes(4, "big") + item for client, item in value)
    if kind == "vector":
        return manifest.field.to_bytes(value)
    return write("Header", value, manifest) if kind == "header" else bytes(value)


def write(name: str, values: Values, manifest: Manifest) -> bytes:
    """The bytes of a message."""
    fields = b"".join(_written(kind, values[field], manifest) for field, kind in LAYOUTS[name].fields)
    return bytes([kind_byte(name)]) + fields


def signed_statement(name: str, values: Values, context: bytes, manifest: Manifest) -> bytes:
    """What the signature covers: all fields before it, a vector as its root."""
    layout, body = LAYOUTS[name], b""
    for field, kind in layout.fields[:-1]:
        written = _written(kind, values[field], manifest)
        body += merkle_root(written, manifest.bulk_hash) if kind == "vector" else written
    return statement(layout.label, layout.role, context, body)


class _Cursor:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        if self.at + count > len(self.data):
            raise ValueError("too short")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, count: int) -> int:
        return int.from_bytes(self.take(count), "big")


def _read(kind: str, cursor: _Cursor, manifest: Manifest) -> Any:
    if kind[0] == "u":
        return cursor.number(int(kind[1:]) // 8)
    if kind[0] == "b":
        return cursor.take(int(kind[1:]))
    if kind == "text":
        count = cursor.number(8)
        if count < SEALING_OVERHEAD:
            raise ValueError("nothing is sealed that short")
        return cursor.take(count)
    if kind[0] == "l":
        return [cursor.take(int(kind[1:])) for _ in range(cursor.number(1))]
    if kind == "header":
        return _read_fields("Header", cursor, manifest)
    if kind == "roster":
        count = cursor.number(4)
        if count > manifest.clients:
            raise ValueError("more than all clients")
        entries = [(cursor.number(4), cursor.take(32)) for _ in range(count)]
        if any(left[0] >= right[0] for left, right in pairwise(entries)):
            raise ValueError("not ascending")
        return entries
    values = manifest.field.words(cursor.take(manifest.elements * manifest.field.size))
    if any(value >= manifest.field.prime for value in values):
        raise ValueError("no element")
    return values


def _read_fields(name: str, cursor: _Cursor, manifest: Manifest) -> Values:
    if cursor.number(1) != kind_byte(name):
        raise ValueError("another kind")
    return {field: _read(kind, cursor, manifest) for field, kind in LAYOUTS[name].fields}


def read(name: str, data: bytes, manifest: Manifest) -> Values:
    """The fields of a message, strictly.

    Raises:
        ValueError: these bytes are no such message.
    """
    cursor = _Cursor(data)
    values = _read_fields(name, cursor, manifest)
    if cursor.at != len(data):
        raise ValueError("trailing bytes")
    return values

"""A second implementation of a round, from docs/protocol.md alone: plain integers, nothing imported from privateyes.

It takes what a vector round gives as secrets and inputs, plays every party, and returns the bytes of every message and
what every client accepts. Only hashing, HMAC, AES-CTR and Ed25519 come from libraries.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import struct
import tomllib
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

VERSION = "privateyes-aggregation/1"
LEAF_BYTES = 65_536

# Statements


def encode(*parts: Any) -> bytes:
    """A type byte (i, s or b), the length in eight bytes, the body; integers are eight bytes themselves."""
    out = b""
    for part in parts:
        if isinstance(part, int):
            kind, body = b"i", part.to_bytes(8, "big")
        elif isinstance(part, str):
            kind, body = b"s", part.encode("utf-8")
        else:
            kind, body = b"b", bytes(part)
        out += kind + len(body).to_bytes(8, "big") + body
    return out


def statement(label: str, role: str, context: bytes, *parts: Any) -> bytes:
    """Version, label, role, context, then the parts."""
    return encode(VERSION, label, role, context, *parts)


def digest(label: str, role: str, context: bytes, *parts: Any) -> bytes:
    """SHA-256."""
    return hashlib.sha256(statement(label, role, context, *parts)).digest()


def mac(key: bytes, label: str, role: str, context: bytes, *parts: Any) -> bytes:
    """HMAC-SHA-256."""
    return hmac.new(key, statement(label, role, context, *parts), hashlib.sha256).digest()


def derive(key: bytes, length: int, label: str, role: str, context: bytes, *parts: Any) -> bytes:
    """HKDF-SHA-256 (RFC 5869) with 32 zero bytes as salt and the statement as info."""
    extracted = hmac.new(bytes(32), key, hashlib.sha256).digest()
    info, out, block = statement(label, role, context, *parts), b"", b""
    while len(out) < length:
        block = hmac.new(extracted, block + info + bytes([len(out) // 32 + 1]), hashlib.sha256).digest()
        out += block
    return out[:length]


# Fields and streams


@dataclass(frozen=True)
class Field:
    """p = 2^bits - 1, bytes of an element, number of tags."""

    bits: int
    size: int
    tags: int

    @property
    def prime(self) -> int:
        """p."""
        return (1 << self.bits) - 1

    def to_bytes(self, values: list[int]) -> bytes:
        """Little-endian words."""
        return b"".join(value.to_bytes(self.size, "little") for value in values)

    def words(self, data: bytes) -> list[int]:
        """Little-endian words, whatever their size."""
        return [int.from_bytes(data[t : t + self.size], "little") for t in range(0, len(data), self.size)]


FIELDS = {"compact": Field(31, 4, 4), "wide": Field(61, 8, 2)}


def key_stream(count: int, key: bytes, label: str, role: str, context: bytes, *parts: Any) -> bytes:
    """AES-256-CTR: HKDF gives 32 bytes of key, then 16 bytes of initial counter."""
    material = derive(key, 48, label, role, context, *parts)
    encryptor = Cipher(AES(material[:32]), CTR(material[32:])).encryptor()
    return encryptor.update(bytes(count))


def redraw(field: Field, main: list[int], tail: list[int]) -> list[int]:
    """Masked words; the value p is replaced by the next word of the tail that is not p itself."""
    spare = (word & field.prime for word in tail)
    accepted = (word for word in spare if word != field.prime)
    masked = [word & field.prime for word in main]
    return [word if word != field.prime else next(accepted) for word in masked]


def elements(field: Field, count: int, key: bytes, label: str, role: str, context: bytes, *parts: Any) -> list[int]:
    """The first elements of a stream; sixty-four words of the tail are more than enough here."""
    main = key_stream(count * field.size, key, label, role, context, *parts)
    tail = key_stream(64 * field.size, key, f"{label}-tail", role, context, *parts)
    return redraw(field, field.words(main), field.words(tail))


def merkle_root(data: bytes) -> bytes:
    """RFC 6962, section 2.1, over leaves of 64 KiB."""
    leaves = [data[start : start + LEAF_BYTES] for start in range(0, len(data), LEAF_BYTES)]

    def tree(part: list[bytes]) -> bytes:
        if len(part) == 1:
            return hashlib.sha256(b"\x00" + part[0]).digest()
        split = 1
        while 2 * split < len(part):
            split *= 2
        return hashlib.sha256(b"\x01" + tree(part[:split]) + tree(part[split:])).digest()

    return tree(leaves) if leaves else hashlib.sha256(b"").digest()


# Tags


def tags(field: Field, session_key: bytes, sid: bytes, vector: list[int], pads: int) -> list[int]:
    """<a_l (x) b_l, vector> + pads * v_l, for every l; one stream holds a_1, then a_2, and so on."""
    count = len(vector)
    width = math.isqrt(count - 1) + 1
    height = -(-count // width)
    a = elements(field, field.tags * height, session_key, "challenge-a", "all", sid)
    b = elements(field, field.tags * width, session_key, "challenge-b", "all", sid)
    v = elements(field, field.tags, session_key, "pad", "all", sid)
    out = []
    for tag in range(field.tags):
        rows, columns = a[tag * height : (tag + 1) * height], b[tag * width : (tag + 1) * width]
        product = sum(rows[t // width] * columns[t % width] * value for t, value in enumerate(vector))
        out.append((product + pads * v[tag]) % field.prime)
    return out


# Manifest and encoding


@dataclass(frozen=True)
class Segment:
    """Coordinates with one clip and one grid."""

    start: int
    stop: int
    clip: float
    scale_bits: int


class Manifest:
    """What a round needs of a manifest that is known to be legal."""

    def __init__(self, text: str) -> None:
        table = tomllib.loads(text)
        self.table = table
        self.field = FIELDS[table["field"]]
        self.dimension, self.clip, self.scale_bits = table["dimension"], float(table["clip"]), table["scale_bits"]
        self.sealed = table["mode"] == "sealed"
        parties = [
            encode(role, party["name"], bytes.fromhex(party["public_key"]), party["organisation"])
            for role in ("aggregator", "client")
            for party in table[f"{role}s"]
        ]
        # A clip enters as its C99 hexadecimal text, with thirteen digits after the point.
        self.digest = digest(
            "manifest", "all", b"", 1, table["field"], self.dimension, self.clip.hex(), self.scale_bits,
            table["weight_max"], table["noise_bound"], table["mode"], table["roster_min"], table["roster_max"],
            table["corrupt_clients"], table["leader"], len(table["aggregators"]), len(table["clients"]), *parties,
        )  # fmt: skip

    def segments(self, plan: dict[str, Any] | None) -> list[Segment]:
        """A clip above the manifest's is cut down to it; a smaller one has a finer grid, by powers of two."""
        if plan is None:
            return [Segment(0, self.dimension, self.clip, self.scale_bits)]
        out, start = [], 0
        for length, bits in zip(plan["lengths"], plan["clips"], strict=True):
            clip = min(float32_below(float64(bits)), self.clip)
            finer = 0
            while clip * 2 ** (finer + 1) <= self.clip:
                finer += 1
            limit = max(40, self.scale_bits)
            out.append(Segment(start, start + length, clip, min(self.scale_bits + finer, limit)))
            start += length
        return out


def float32(text: str) -> float:
    """A float32 from its big-endian bytes."""
    return float(struct.unpack(">f", bytes.fromhex(text))[0])


def float64(text: str) -> float:
    """A float64 from its big-endian bytes."""
    return float(struct.unpack(">d", bytes.fromhex(text))[0])


def float64_text(value: float) -> str:
    """The big-endian bytes of a float64."""
    return struct.pack(">d", value).hex()


def float32_below(value: float) -> float:
    """The largest float32 that is no larger than a positive value."""
    packed = struct.pack(">f", value)
    nearest = float(struct.unpack(">f", packed)[0])
    if nearest <= value:
        return nearest
    below = (int.from_bytes(packed, "big") - 1).to_bytes(4, "big")
    return float(struct.unpack(">f", below)[0])


def encode_update(segments: list[Segment], delta: list[float], weight: int, words: list[int]) -> list[int]:
    """floor(w * clipped * 2^f), one more if word / 2^32 is below the fraction."""
    out = []
    for part in segments:
        for t in range(part.start, part.stop):
            clipped = max(-Fraction(part.clip), min(Fraction(part.clip), Fraction(delta[t])))
            exact = clipped * weight * 2**part.scale_bits
            below = math.floor(exact)
            out.append(below + (Fraction(words[t], 2**32) < exact - below))
    return out


# A round


class Round:
    """Every party of one vector round.

    Args:
        given: the vector; only its manifest, numbers, secrets, inputs and who saw which headers are read.
    """

    def __init__(self, given: dict[str, Any]) -> None:
        self.manifest = Manifest(given["manifest"])
        self.field, self.epoch, self.round = self.manifest.field, given["epoch"], given["round"]
        self.segments = self.manifest.segments(given["clips"])
        secrets = given["secrets"]
        self.aggregator_keys, self.client_keys = (
            {i: Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed)) for i, seed in enumerate(secrets[name], 1)}
            for name in ("aggregator_signing_keys", "client_signing_keys")
        )
        self.stream_keys, self.sealed_hashes = (
            [[bytes.fromhex(value) for value in row] for row in secrets[name]]
            for name in ("stream_keys_by_client", "sealed_hashes_by_client")
        )
        self.salts = [bytes.fromhex(salt) for salt in secrets["salts"]]
        self.setup = digest("setup-id", "all", b"", self.manifest.digest, self.epoch)
        group_key, state = bytes.fromhex(secrets["group_key"]), bytes.fromhex(secrets["state_digest"])
        self.group_check = mac(group_key, "kc", "all", self.setup, self.epoch)
        if self.manifest.sealed:
            self.state_id = mac(group_key, "state-id", "all", self.setup, self.epoch, state)
        else:
            self.state_id = digest("public-state-id", "all", self.setup, self.epoch, state)
        self.sid = digest("session-id", "all", self.setup, self.round, self.state_id)
        self.session_key = derive(group_key, 32, "sid-key", "all", self.sid)
        self.inputs = {entry["client"]: entry for entry in given["inputs"]}
        self.headers_seen = given["headers_seen"]
        self.encoded: dict[int, list[int]] = {}

    def _signed(self, key: Ed25519PrivateKey, label: str, role: str, context: bytes, body: bytes) -> bytes:
        return key.sign(statement(label, role, context, body))

    def _mask(self) -> list[int]:
        count = self.manifest.dimension + 1
        if not self.manifest.sealed:
            return [0] * count
        return elements(self.field, count, self.session_key, "mask", "all", self.sid)

    def stream(self, client: int, aggregator: int) -> list[int]:
        """stream_{i,s}."""
        chain = self.stream_keys[client - 1][aggregator - 1]
        for _ in range(self.round):
            chain = derive(chain, 32, "chain", "all", self.setup)
        round_key = derive(chain, 32, "round", "all", self.setup)
        nonce = bytes.fromhex(self.inputs[client]["nonce"])
        count = self.manifest.dimension + 1 + self.field.tags
        return elements(self.field, count, round_key, "share-stream", "client", self.sid, client, aggregator, nonce)

    def share(self, client: int) -> list[int]:
        """c_i."""
        given, p = self.inputs[client], self.field.prime
        count = self.manifest.dimension
        rounding = key_stream(4 * count, bytes.fromhex(given["rounding_key"]), "rounding", "client", b"")
        words = [int.from_bytes(rounding[4 * t : 4 * t + 4], "little") for t in range(count)]
        delta = [float32(text) for text in given["delta"]]
        self.encoded[client] = encode_update(self.segments, delta, given["weight"], words)
        plain = [*self.encoded[client], given["weight"]]
        masked = [(value + mask) % p for value, mask in zip(plain, self._mask(), strict=True)]
        whole = masked + tags(self.field, self.session_key, self.sid, masked, 1)
        for aggregator in self.aggregator_keys:
            whole = [(value - word) % p for value, word in zip(whole, self.stream(client, aggregator), strict=True)]
        return whole

    def header(self, client: int, share: list[int]) -> bytes:
        """The header without its kind byte's message around it: kind 6."""
        sealed = self.sealed_hashes[client - 1]
        body = b"".join((
            self.sid, client.to_bytes(4, "big"), bytes.fromhex(self.inputs[client]["nonce"]), self.group_check,
            digest("ksid", "all", self.sid, self.session_key), bytes([len(sealed)]), *sealed,
            digest("share-hash", "client", self.sid, client, self.field.to_bytes(share)),
        ))  # fmt: skip
        return b"\x06" + body + self._signed(self.client_keys[client], "header", "client", self.sid, body)

    def play(self) -> tuple[list[bytes], dict[int, dict[str, Any]]]:
        """Every message in order, and what every client accepts."""
        shares = {client: self.share(client) for client in self.inputs}
        headers = {client: self.header(client, share) for client, share in shares.items()}
        out = self._announcements(self.round)
        out += [b"\x07" + headers[client] + self.field.to_bytes(shares[client]) for client in self.inputs]
        hashes = {client: digest("header-hash", "client", self.sid, header) for client, header in headers.items()}
        seen = [sorted(clients) for clients in self.headers_seen]
        out += [self._by_aggregator(8, s, "vote", self._entries(clients, hashes)) for s, clients in enumerate(seen, 1)]
        roster = sorted(set(seen[0]).intersection(*seen[1:]))
        listed = [value for client in roster for value in (client, hashes[client])]
        rho = digest("roster", "all", self.sid, self.group_check, *listed)
        out += self._contributions(roster, shares, rho, self._entries(roster, hashes))
        return out, self._results(roster)

    def _contributions(
        self, roster: list[int], shares: dict[int, list[int]], rho: bytes, entries: bytes
    ) -> list[bytes]:
        field, sid = self.field, self.sid
        sums = {s: self._sum([self.stream(client, s) for client in roster]) for s in self.aggregator_keys}
        roots = {s: merkle_root(field.to_bytes(total)) for s, total in sums.items()}
        size = field.size * len(next(iter(sums.values())))
        total = self._sum([shares[client] for client in roster])
        hub = digest("hub-commitment", "hub", sid, size, merkle_root(field.to_bytes(total)))
        committed = [digest("commitment", "aggregator", sid, rho, s, self.salts[s - 1], size, roots[s]) for s in sums]
        transcript = digest("transcript", "all", sid, rho, hub, *committed)
        self.final = self._sum([total, *sums.values()])
        self.result = result = digest(
            "result", "all", sid, transcript, merkle_root(field.to_bytes(self.final)), len(roster)
        )
        out = [self._by_aggregator(9, s, "roster-commitment", rho + committed[s - 1]) for s in sums]
        out.append(b"\x0a" + sid + hub)
        out += [self._by_aggregator(11, s, "agreement", transcript) for s in sums]
        out += [self._opening(s, field.to_bytes(sums[s]), roots[s]) for s in sums]
        out.append(b"\x0d" + sid + field.to_bytes(total))
        results = [self._by_aggregator(14, s, "result-signature", result) for s in sums]
        signatures = b"".join(message[-64:] for message in results)
        lists = bytes([len(committed) + 1]) + hub + b"".join(committed) + bytes([len(results)]) + signatures
        out += [*results, b"\x0f" + sid + self.group_check + entries + lists + field.to_bytes(self.final)]
        if not self.manifest.sealed:
            out.append(self._disclosure(1))
        return (
            out + self._announcements(self.round + 1) + [self._by_aggregator(17, s, "closing", b"\x01") for s in sums]
        )

    def _announcements(self, number: int) -> list[bytes]:
        out = []
        for s, key in self.aggregator_keys.items():
            body = s.to_bytes(2, "big") + self.epoch.to_bytes(8, "big") + number.to_bytes(8, "big") + self.state_id
            out.append(b"\x05" + body + self._signed(key, "announcement", "aggregator", self.setup, body))
        return out

    def _by_aggregator(self, kind: int, s: int, label: str, rest: bytes) -> bytes:
        body = self.sid + s.to_bytes(2, "big") + rest
        return bytes([kind]) + body + self._signed(self.aggregator_keys[s], label, "aggregator", self.sid, body)

    def _opening(self, s: int, share: bytes, root: bytes) -> bytes:
        body = self.sid + s.to_bytes(2, "big") + self.salts[s - 1]
        # The signature is over the root in the vector's place.
        signature = self._signed(self.aggregator_keys[s], "opening", "aggregator", self.sid, body + root)
        return b"\x0c" + body + share + signature

    def _disclosure(self, client: int) -> bytes:
        body = self.sid + client.to_bytes(4, "big") + self.result + self.session_key
        return b"\x12" + body + self._signed(self.client_keys[client], "disclosure", "client", self.sid, body)

    def _entries(self, clients: list[int], hashes: dict[int, bytes]) -> bytes:
        pairs = b"".join(client.to_bytes(4, "big") + hashes[client] for client in clients)
        return len(clients).to_bytes(4, "big") + pairs

    def _sum(self, vectors: list[list[int]]) -> list[int]:
        return [sum(column) % self.field.prime for column in zip(*vectors, strict=True)]

    def _results(self, roster: list[int]) -> dict[int, dict[str, Any]]:
        """Step 5 from Z and K_sid alone."""
        p, count, size = self.field.prime, self.manifest.dimension + 1, len(roster)
        masked, received = self.final[:count], self.final[count:]
        if tags(self.field, self.session_key, self.sid, masked, size) != received:
            raise ValueError("the tags do not fit")
        sums = [(value - size * mask) % p for value, mask in zip(masked, self._mask(), strict=True)]
        sums = [value - p if value > p // 2 else value for value in sums]
        total_weight = sums.pop()
        mean = [
            float64_text(float(sums[t]) / (total_weight * 2.0**part.scale_bits))
            for part in self.segments
            for t in range(part.start, part.stop)
        ]
        return {
            client: {
                "client": client,
                "roster": roster,
                "counted": client in roster,
                "sum": [str(value) for value in sums],
                "total_weight": total_weight,
                "mean": mean,
            }
            for client in self.client_keys
        }

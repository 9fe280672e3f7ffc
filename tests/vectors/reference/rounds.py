"""Whole rounds: every party of one session."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from .fields import elements, key_stream, tags
from .layouts import Values, signed_statement, write
from .manifests import Manifest, encode_update, float32, float64_text
from .setups import SealingKey, group_check, setup_id, state_id
from .statements import NO_SESSION, derive, digest, merkle_root, share_hash

ANNOUNCE, CLOSING = 1, 2
OPENED = 1


class Round:
    """Every party of one vector session.

    Args:
        given: the vector; only its manifest, numbers, secrets, inputs and who saw which headers are read.
        first: where updates are sent again, the session that had them first.
    """

    def __init__(self, given: dict[str, Any], first: Round | None = None) -> None:
        self.manifest, self.first = Manifest(given["manifest"]), first
        self.field, self.number = self.manifest.field, given["round"]
        self.segments = self.manifest.segments(given["clips"])
        secrets = given["secrets"]
        self.hub_key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secrets["hub_signing_key"]))
        self.aggregator_keys, self.client_keys = (
            {i: Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed)) for i, seed in enumerate(secrets[name], 1)}
            for name in ("aggregator_signing_keys", "client_signing_keys")
        )
        self.stream_keys, self.sealed_hashes = (
            [[bytes.fromhex(value) for value in row] for row in secrets[name]]
            for name in ("stream_keys_by_client", "sealed_hashes_by_client")
        )
        self.salts = [bytes.fromhex(salt) for salt in secrets["salts"]]
        public = [SealingKey(seeds).public for seeds in secrets["aggregator_sealing_seeds"]]
        self.setup = setup_id(self.manifest.digest, given["epoch"], given["leader"], public)
        group_key, state = bytes.fromhex(secrets["group_key"]), bytes.fromhex(secrets["state_digest"])
        self.group_check = group_check(group_key, self.setup)
        self.state_id = state_id(group_key, self.setup, state, self.manifest.sealed)
        self.sid = digest("session-id", "all", self.setup, self.number, self.state_id)
        self.session_key = derive(group_key, 32, "sid-key", "all", self.sid)
        self.inputs = {entry["client"]: entry for entry in given["inputs"]}
        self.headers_seen = given["headers_seen"]
        self.encoded: dict[int, tuple[list[int], int]] = {}
        self.roster: list[tuple[int, bytes]] = []

    def _mask(self) -> list[int]:
        count = self.manifest.dimension + 1
        if not self.manifest.sealed:
            return [0] * count
        return elements(self.field, count, self.session_key, "mask", "all", self.sid)

    def stream(self, client: int, aggregator: int) -> list[int]:
        """stream_{i,s}."""
        chain = self.stream_keys[client - 1][aggregator - 1]
        for _ in range(self.number):
            chain = derive(chain, 32, "chain", "all", self.setup)
        round_key = derive(chain, 32, "round", "all", self.setup)
        nonce, count = bytes.fromhex(self.inputs[client]["nonce"]), self.manifest.elements
        return elements(self.field, count, round_key, "share-stream", "client", self.sid, client, aggregator, nonce)

    def _update(self, client: int) -> tuple[list[int], int]:
        """(q, w); of a client whose update was too long, q is its own affair and taken as it is given."""
        if self.first is not None:
            return self.first.encoded[client]
        given, count = self.inputs[client], self.manifest.dimension
        if given["shortened"]:
            return [int(value) for value in given["encoded"]], given["weight"]
        rounding = key_stream(4 * count, bytes.fromhex(given["rounding_key"]), "rounding", "client", b"")
        words = [int.from_bytes(rounding[4 * t : 4 * t + 4], "little") for t in range(count)]
        delta = [float32(text) for text in given["delta"]]
        return encode_update(self.segments, delta, given["weight"], words), given["weight"]

    def share(self, client: int) -> list[int]:
        """c_i."""
        p = self.field.prime
        self.encoded[client] = values, weight = self._update(client)
        masked = [(value + mask) % p for value, mask in zip([*values, weight], self._mask(), strict=True)]
        whole = masked + tags(self.field, self.session_key, self.sid, masked, 1)
        for aggregator in self.aggregator_keys:
            whole = [(value - word) % p for value, word in zip(whole, self.stream(client, aggregator), strict=True)]
        return whole

    # Messages

    def _signed(self, key: Ed25519PrivateKey, name: str, values: Values, context: bytes | None = None) -> bytes:
        stated = signed_statement(name, values, self.sid if context is None else context, self.manifest)
        return write(name, {**values, "signature": key.sign(stated)}, self.manifest)

    def _by_all(self, name: str, values_of: Any, context: bytes | None = None) -> list[bytes]:
        return [
            self._signed(key, name, {"sid": self.sid, "aggregator": s, **values_of(s)}, context)
            for s, key in self.aggregator_keys.items()
        ]

    def _request(self, action: int, number: int) -> bytes:
        values = {"action": action, "setup": self.setup, "round": number, "state_id": self.state_id}
        return self._signed(self.hub_key, "HubRequest", values, self.setup)

    def _announcements(self, number: int) -> list[bytes]:
        values = {"setup": self.setup, "round": number, "state_id": self.state_id}
        return [self._request(ANNOUNCE, number), *self._by_all("Announcement", lambda s: values, self.setup)]

    def header(self, client: int, share: list[int]) -> bytes:
        """With its kind byte and signature."""
        data = self.field.to_bytes(share)
        values = {
            "sid": self.sid, "client": client, "nonce": bytes.fromhex(self.inputs[client]["nonce"]),
            "group_check": self.group_check, "session_key_hash": digest("ksid", "all", self.sid, self.session_key),
            "sealed_hashes": self.sealed_hashes[client - 1],
            "share_hash": share_hash(self.sid, client, data, self.manifest.bulk_hash),
            "origin": NO_SESSION if self.first is None else self.first.sid,
        }  # fmt: skip
        return self._signed(self.client_keys[client], "Header", values)

    def origin(self) -> list[bytes]:
        """The list by which the hub names the first session."""
        if self.first is None:
            return []
        values = {"sid": self.first.sid, "group_check": self.first.group_check, "roster": self.first.roster}
        return [write("Origin", values, self.manifest)]

    def play(self) -> tuple[list[bytes], dict[int, dict[str, Any]]]:
        """Every message in order, and what every client accepts."""
        shares = {client: self.share(client) for client in self.inputs}
        headers = {client: self.header(client, share) for client, share in shares.items()}
        out = [*self._announcements(self.number), *self.origin()]
        submission = bytes([64 + 7])
        out += [submission + headers[client] + self.field.to_bytes(shares[client]) for client in self.inputs]
        hashes = {client: digest("header-hash", "client", self.sid, header) for client, header in headers.items()}
        seen = [sorted(clients) for clients in self.headers_seen]
        out += self._by_all("Vote", lambda s: {"entries": [(client, hashes[client]) for client in seen[s - 1]]})
        roster = sorted(set(seen[0]).intersection(*seen[1:]))
        self.roster = [(client, hashes[client]) for client in roster]
        listed = [part for entry in self.roster for part in entry]
        out += self._contributions(shares, digest("roster", "all", self.sid, self.group_check, *listed))
        return out, self._results(roster)

    def _contributions(self, shares: dict[int, list[int]], rho: bytes) -> list[bytes]:
        sid, size, roster = self.sid, self.field.size * self.manifest.elements, [client for client, _ in self.roster]
        sums = {s: self._sum([self.stream(client, s) for client in roster]) for s in self.aggregator_keys}
        total = self._sum([shares[client] for client in roster])
        hub = digest("hub-commitment", "hub", sid, size, self._root(total))
        committed = {
            s: digest("commitment", "aggregator", sid, rho, s, self.salts[s - 1], size, self._root(own))
            for s, own in sums.items()
        }
        transcript = digest("transcript", "all", sid, rho, hub, *committed.values())
        self.final = self._sum([total, *sums.values()])
        self.result = digest("result", "all", sid, transcript, self._root(self.final), len(roster))
        out = self._by_all("RosterCommitment", lambda s: {"rho": rho, "commitment": committed[s]})
        out.append(write("HubCommitment", {"sid": sid, "commitment": hub}, self.manifest))
        out += self._by_all("Agreement", lambda s: {"transcript": transcript})
        out += self._by_all("Opening", lambda s: {"salt": self.salts[s - 1], "share": sums[s]})
        out.append(write("HubSum", {"sid": sid, "share": total}, self.manifest))
        results = self._by_all("ResultSignature", lambda s: {"result": self.result})
        lists = {"commitments": [hub, *committed.values()], "results": [message[-64:] for message in results]}
        delivery = {
            "sid": sid, "group_check": self.group_check, "roster": self.roster, **lists, "share": self.final,
        }  # fmt: skip
        return [*out, *results, write("Delivery", delivery, self.manifest), *self._disclosure(1)]

    def _disclosure(self, client: int) -> list[bytes]:
        if self.manifest.sealed:
            return []
        values = {"sid": self.sid, "client": client, "result": self.result, "session_key": self.session_key}
        return [self._signed(self.client_keys[client], "Disclosure", values)]

    def ending(self) -> list[bytes]:
        """The next round is announced, and how this one ended."""
        closings = self._by_all("Closing", lambda s: {"outcome": OPENED})
        return [*self._announcements(self.number + 1), self._request(CLOSING, self.number), *closings]

    def _root(self, values: list[int]) -> bytes:
        return merkle_root(self.field.to_bytes(values), self.manifest.bulk_hash)

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
        self.manifest.require_possible(self.segments, sums, size, total_weight)
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

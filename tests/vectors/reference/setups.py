"""Set-ups: their ids, and every message that makes one."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, Suite

from .layouts import Values, read, signed_statement, write
from .manifests import Manifest
from .statements import digest, mac, statement

BIND = 4


class SealingKey:
    """A key of HPKE with MLKEM768-X25519, from its seeds."""

    def __init__(self, seeds: list[str]) -> None:
        mlkem = MLKEM768PrivateKey.from_seed_bytes(bytes.fromhex(seeds[0]))
        x25519 = X25519PrivateKey.from_private_bytes(bytes.fromhex(seeds[1]))
        self._private = MLKEM768X25519PrivateKey(mlkem, x25519)
        self.public = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()

    def unseal(self, sealed: bytes, info: bytes) -> bytes:
        """Base mode, no associated data."""
        suite = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
        return suite.decrypt(sealed, self._private, info=info)


def setup_id(manifest_digest: bytes, epoch: int, leader: int, public_keys: list[bytes]) -> bytes:
    """U, over the aggregators' keys in order."""
    numbered = [part for number, key in enumerate(public_keys, 1) for part in (number, key)]
    return digest("setup-id", "all", b"", manifest_digest, epoch, leader, *numbered)


def group_check(group_key: bytes, setup: bytes) -> bytes:
    """kc."""
    return mac(group_key, "kc", "all", setup)


def state_id(group_key: bytes, setup: bytes, state: bytes, sealed: bool) -> bytes:
    """Keyed in sealed mode."""
    if sealed:
        return mac(group_key, "state-id", "all", setup, state)
    return digest("public-state-id", "all", setup, state)


class SetUp:
    """One set-up of setups.json.

    Args:
        task: the whole file: manifest and signing keys.
        given: the set-up; of its messages only the sealed bytes are read, for sealing is randomised.
    """

    def __init__(self, task: dict[str, Any], given: dict[str, Any]) -> None:
        self.manifest, self.given = Manifest(task["manifest"]), given
        self.clients, self.epoch, self.leader = given["clients"], given["epoch"], given["leader"]
        self.hub_key = _signing(task["hub_signing_key"])
        self.aggregator_keys, self.client_keys = (
            {number: _signing(seed) for number, seed in enumerate(task[name], 1)}
            for name in ("aggregator_signing_keys", "client_signing_keys")
        )
        self.at_aggregator = dict(enumerate(map(SealingKey, given["aggregator_sealing_seeds"]), 1))
        self.at_client = dict(zip(self.clients, map(SealingKey, given["client_sealing_seeds"]), strict=True))
        public = [key.public for key in self.at_aggregator.values()]
        self.id = setup_id(self.manifest.digest, self.epoch, self.leader, public)
        group_key = bytes.fromhex(given["group_key"])
        self.group_check = group_check(group_key, self.id)
        state = bytes.fromhex(given["state"]["digest"])
        self.state_id = state_id(group_key, self.id, state, self.manifest.sealed)
        self.sealed: dict[tuple[str, int, int], bytes] = {}
        for entry in given["messages"]:
            if entry["kind"].startswith("Sealed"):
                values = read(entry["kind"], bytes.fromhex(entry["bytes"]), self.manifest)
                self.sealed[self._between(entry["kind"], values)] = values["sealed"]

    def _between(self, kind: str, values: Values) -> tuple[str, int, int]:
        ends = {"SealedStreamKey": ("client", "aggregator"), "SealedGroupKey": ("leader", "recipient"),
                "SealedState": ("sender", "recipient")}[kind]  # fmt: skip
        return kind, values[ends[0]], values[ends[1]]

    def sealed_hash(self, client: int, aggregator: int) -> bytes:
        """What the client's headers name for the aggregator."""
        sealed = self.sealed["SealedStreamKey", client, aggregator]
        return digest("sealed-key-hash", "client", self.id, client, aggregator, sealed)

    def unsealed(self) -> dict[tuple[str, int, int], bytes]:
        """What everything sealed opens to, at whom it is for."""
        labels = {"SealedStreamKey": "stream-key", "SealedGroupKey": "group-key", "SealedState": "sealed-state"}
        out = {}
        for (kind, sender, receiver), sealed in self.sealed.items():
            key = (self.at_aggregator if kind == "SealedStreamKey" else self.at_client)[receiver]
            info = statement(labels[kind], "client", self.id, sender, receiver)
            out[kind, sender, receiver] = key.unseal(sealed, info)
        return out

    def _signed(self, key: Ed25519PrivateKey, name: str, context: bytes, values: Values) -> bytes:
        signature = key.sign(signed_statement(name, values, context, self.manifest))
        return write(name, {**values, "signature": signature}, self.manifest)

    def _by_client(self, name: str, client: int, values: Values) -> bytes:
        return self._signed(self.client_keys[client], name, self.id, {"setup": self.id, **values})

    def messages(self) -> list[bytes]:
        """All of them in order."""
        out = []
        for s, key in self.aggregator_keys.items():
            offer = {
                "epoch": self.epoch,
                "leader": self.leader,
                "aggregator": s,
                "public_key": self.at_aggregator[s].public,
            }
            out.append(self._signed(key, "AggregatorKey", self.manifest.digest, offer))
        bind = {"action": BIND, "setup": self.id, "round": 0, "state_id": bytes(32)}
        out.append(self._signed(self.hub_key, "HubRequest", self.id, bind))
        for i in self.clients:
            out.append(self._by_client("ClientKey", i, {"client": i, "public_key": self.at_client[i].public}))
            for s in self.aggregator_keys:
                sealed = self.sealed["SealedStreamKey", i, s]
                out.append(self._by_client("SealedStreamKey", i, {"client": i, "aggregator": s, "sealed": sealed}))
        for i in self.clients:
            sealed = self.sealed["SealedGroupKey", self.leader, i]
            values = {"leader": self.leader, "recipient": i, "sealed": sealed}
            out.append(self._by_client("SealedGroupKey", self.leader, values))
        joining = self.given["joining"]
        others = [client for client in self.clients if client != joining]
        out += [self._by_client("Voucher", i, {"client": i, "state_id": self.state_id}) for i in others[:2]]
        sealed = self.sealed["SealedState", self.leader, joining]
        values = {"sender": self.leader, "recipient": joining, "sealed": sealed}
        return [*out, self._by_client("SealedState", self.leader, values)]


def _signing(seed: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))

"""sealing.json: sealed keys that open. Sealing is randomised, so the sealed bytes are frozen under vectors/inputs/."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import MLKEM768X25519PrivateKey

from privateyes.aggregation.keys import setup_id
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.sealing import UnsealingKey, seal
from privateyes.crypto.statement import statement
from vectors.cast import Cast, Plot
from vectors.values import refusal, require, secret
from vectors.writing import render

FROZEN = Path(__file__).parent.parent.parent / "vectors" / "inputs" / "sealed.json"
PLOT = Plot("sealing", n=2, m=3, field="compact", mode="sealed", submitting=(1, 2, 3))


def unsealing_key(mlkem_seed: bytes, x25519_key: bytes) -> UnsealingKey:
    """A party's sealing key from seeds; the implementation itself only draws fresh ones."""
    mlkem, x25519 = MLKEM768PrivateKey.from_seed_bytes(mlkem_seed), X25519PrivateKey.from_private_bytes(x25519_key)
    key = UnsealingKey.__new__(UnsealingKey)
    key._private = MLKEM768X25519PrivateKey(mlkem, x25519)
    key.public_bytes = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
    return key


def _seeds(name: str) -> tuple[bytes, bytes]:
    return secret(f"sealing/{name}/mlkem", 64), secret(f"sealing/{name}/x25519")


def recipient(name: str) -> UnsealingKey:
    """A fresh copy of a recipient's key."""
    return unsealing_key(*_seeds(name))


def setup_of_frozen() -> bytes:
    """The set-up id under which the frozen keys were sealed."""
    return setup_id(Cast(PLOT).manifest.digest(), 1)


def cases() -> list[dict[str, Any]]:
    """Who sealed which key to whom, without the sealed bytes."""
    setup = setup_of_frozen()
    stream = statement(Label.STREAM_KEY, Role.CLIENT, setup, 1, 1)
    group = statement(Label.GROUP_KEY, Role.CLIENT, setup, 1, 2)
    newcomer = statement(Label.GROUP_KEY, Role.CLIENT, setup, 1, 3)
    state = statement(Label.SEALED_STATE, Role.CLIENT, setup, 1, 3)
    return [
        {"name": "stream key", "recipient": "aggregator 1", "info": stream, "text": secret("sealing/stream key")},
        {"name": "group key", "recipient": "client 2", "info": group, "text": secret("sealing/group key")},
        {
            "name": "newcomer's group key",
            "recipient": "client 3",
            "info": newcomer,
            "text": secret("sealing/group key"),
        },
        {"name": "training state", "recipient": "client 3", "info": state, "text": secret("sealing/state", 50)},
    ]


def freeze() -> None:
    """Seal everything anew."""
    out = {}
    for case in cases():
        public = unsealing_key(*_seeds(case["recipient"])).public_bytes
        out[case["name"]] = seal(case["text"], public, case["info"]).hex()
    FROZEN.write_text(render(out), encoding="utf-8")


def frozen() -> dict[str, bytes]:
    """The sealed bytes, by name."""
    return {name: bytes.fromhex(text) for name, text in json.loads(FROZEN.read_text(encoding="utf-8")).items()}


def _refused(key: UnsealingKey, sealed: bytes, info: bytes) -> list[dict[str, Any]]:
    middle = len(sealed) // 2
    altered = [
        ("another info", sealed, info[:-1] + bytes([info[-1] ^ 1])),
        ("an altered first byte", bytes([sealed[0] ^ 1]) + sealed[1:], info),
        ("an altered X25519 share", sealed[:1100] + bytes([sealed[1100] ^ 1]) + sealed[1101:], info),
        ("an altered last byte", sealed[:-1] + bytes([sealed[-1] ^ 1]), info),
        ("cut off", sealed[:middle], info),
        ("one byte more", sealed + b"\0", info),
    ]
    return [
        {"about": about, "sealed": data, "info": bound,
         **require({"error": "MalformedError"}, refusal(lambda data=data, bound=bound: key.unseal(data, bound)), about)}
        for about, data, bound in altered
    ]  # fmt: skip


def make() -> dict[str, Any]:
    """The frozen bytes, verified; and altered ones."""
    sealed_by_name = frozen()
    opened, refused = [], []
    for case in cases():
        mlkem_seed, x25519_key = _seeds(case["recipient"])
        key = unsealing_key(mlkem_seed, x25519_key)
        sealed = sealed_by_name[case["name"]]
        if key.unseal_text(sealed, case["info"]) != case["text"]:
            raise RuntimeError(f"the frozen {case['name']} does not open; run with --freeze")
        recipient = {"mlkem768_seed": mlkem_seed, "x25519_private": x25519_key, "public_key": key.public_bytes}
        opened.append({"name": case["name"], **recipient, "info": case["info"], "sealed": sealed, "text": case["text"]})
        if case["name"] == "stream key":
            refused = _refused(key, sealed, case["info"])
    return {
        "about": "HPKE (RFC 9180) with MLKEM768-X25519, HKDF-SHA-256, AES-256-GCM, docs/protocol.md, Setup 2 to 4",
        "opened": opened,
        "refused_by_the_first_recipient": refused,
    }

"""sealing.json: sealed keys that open. Sealing is randomised, so the sealed bytes are frozen under vectors/inputs/.

They are those of two set-ups of one task (setups.py), so whatever changes H(manifest) or a set-up id freezes them anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

from privateyes.aggregation import setup
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.sealing import UnsealingKey, seal
from privateyes.crypto.statement import statement
from vectors.cast import Cast, Plot, SetUp
from vectors.keys import seeds_of, unsealing_key
from vectors.values import refusal, require
from vectors.writing import render

FROZEN = Path(__file__).parent.parent.parent / "vectors" / "inputs" / "sealed.json"
PLOT = Plot("set-ups", n=2, m=4, field="compact", mode="sealed", submitting=(1, 2, 3), roster_min=3, corrupt_clients=1)
TAKING_PART = {1: (1, 2, 3, 4), 2: (2, 3, 4)}
"""The clients of each set-up, by its epoch. The leader is the first; client 4 is given a training state."""
STATES = {1: 0, 2: 5}
"""The accepted rounds behind the training state that client 4 is given."""


@dataclass(frozen=True)
class Sealed:
    """What is sealed, to whom, and under which info."""

    name: str
    recipient: str
    info: bytes
    text: bytes


@cache
def set_ups() -> tuple[Cast, dict[int, SetUp]]:
    """The task and its two set-ups: the usual leader's, and one that the second leads while the first is away."""
    cast = Cast(PLOT)
    return cast, {1: cast.keys, 2: SetUp(cast, 2, 2)}


def recipient(name: str) -> UnsealingKey:
    """A fresh copy of a recipient's key, for example of ``1/client 2``: the epoch, then the party."""
    epoch, party = name.split("/")
    return unsealing_key(*seeds_of(f"{PLOT.name}/set-up {epoch}/{party}"))


def training_state(epoch: int) -> bytes:
    """The state that client 4 is given: the one that the manifest pins, and a later one."""
    cast, _ = set_ups()
    return cast.secret("state" if epoch == 1 else "later state", 50)


def cases() -> list[Sealed]:
    """Everything that is sealed in the two set-ups."""
    cast, made = set_ups()
    out = []
    for epoch, keys in made.items():
        leader = keys.leader
        for i in TAKING_PART[epoch]:
            for s in cast.aggregators:
                info = statement(Label.STREAM_KEY, Role.CLIENT, keys.id, i, s)
                named = (f"{epoch}/stream key {i} {s}", f"{epoch}/aggregator {s}")
                out.append(Sealed(*named, info, keys.stream_key(i, s)))
        for i in TAKING_PART[epoch]:
            info = statement(Label.GROUP_KEY, Role.CLIENT, keys.id, leader, i)
            out.append(Sealed(f"{epoch}/group key {i}", f"{epoch}/client {i}", info, keys.group.key))
        info = statement(Label.SEALED_STATE, Role.CLIENT, keys.id, leader, 4)
        out.append(Sealed(f"{epoch}/training state", f"{epoch}/client 4", info, training_state(epoch)))
    return out


def freeze() -> None:
    """Seal everything anew."""
    out = {case.name: seal(case.text, recipient(case.recipient).public_bytes, case.info) for case in cases()}
    FROZEN.write_text(render(out), encoding="utf-8")


def frozen() -> dict[str, bytes]:
    """The sealed bytes, by name."""
    return {name: bytes.fromhex(text) for name, text in json.loads(FROZEN.read_text(encoding="utf-8")).items()}


@contextmanager
def pinned() -> Iterator[None]:
    """In here, the parties of a set-up seal what is frozen."""
    sealed = frozen()
    by_info = {case.info: (case.text, sealed[case.name]) for case in cases()}

    def pinned_seal(text: bytes, _: bytes, info: bytes) -> bytes:
        expected, out = by_info[info]
        if text != expected:
            raise RuntimeError("another text is sealed than was frozen")
        return out

    with mock.patch.object(setup, "seal", pinned_seal):
        yield


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
    """Some of the frozen bytes, verified like all of them; and altered ones."""
    sealed_by_name, opened = frozen(), []
    for case in cases():
        key, sealed = recipient(case.recipient), sealed_by_name[case.name]
        if key.unseal_text(sealed, case.info) != case.text:
            raise RuntimeError(f"the frozen {case.name} does not open; run with --freeze")
        if case.name in ("1/stream key 1 1", "1/group key 2", "1/training state"):
            mlkem_seed, x25519_key = seeds_of(f"{PLOT.name}/set-up {case.recipient}")
            seeds = {"mlkem768_seed": mlkem_seed, "x25519_private": x25519_key, "public_key": key.public_bytes}
            opened.append({"name": case.name, **seeds, "info": case.info, "sealed": sealed, "text": case.text})
    first = next(case for case in cases() if case.name == opened[0]["name"])
    return {
        "about": "HPKE (RFC 9180) with MLKEM768-X25519, HKDF-SHA-256, AES-256-GCM, docs/protocol.md, Setup",
        "opened": opened,
        "refused_by_the_first_recipient": _refused(recipient(first.recipient), opened[0]["sealed"], first.info),
    }

"""identifiers.json: set-up ids, key chains, state ids, session ids and session keys."""

from __future__ import annotations

from typing import Any

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
from privateyes.aggregation.messages import SealedStreamKey
from privateyes.crypto.field import COMPACT, WIDE
from privateyes.crypto.sealing import SEALED_KEY_BYTES, SEALING_PUBLIC_KEY_BYTES
from privateyes.crypto.streams import scratch_words
from vectors.values import numbers, refusal, require, secret


def _chain(setup: bytes) -> dict[str, Any]:
    start = secret("identifiers/stream key")
    chain = KeyChain(0, start)
    rounds = []
    for number in (0, 1, 2, 5, MAX_JUMP):
        later = chain.advance_to(number, setup)
        rounds.append({"round": number, "chain_key": later.key, "round_key": later.round_key(setup)})
    refused = []
    for about, at, to in (
        ("a round that has passed", 3, 2),
        ("a jump over more than 64 rounds", 3, 3 + MAX_JUMP + 1),
    ):
        got = refusal(lambda at=at, to=to: KeyChain(at, start).advance_to(to, setup))
        refused.append(
            {"about": about, "next_round": at, "asked_for": to, **require({"error": "RefusedError"}, got, about)}
        )
    return {"setup_id": setup, "stream_key": start, "rounds": rounds, "refused": refused}


def _setups(manifest_digest: bytes, keys: list[bytes]) -> list[dict[str, Any]]:
    """What a set-up id depends on. A key is given by its position among ``public_keys``."""
    out = []
    for about, digest, epoch, leader, chosen in (
        ("two aggregators", manifest_digest, 3, 1, (0, 1)),
        ("another epoch", manifest_digest, 4, 1, (0, 1)),
        ("the largest epoch", manifest_digest, MAX_EPOCH, 1, (0, 1)),
        ("another leader", manifest_digest, 3, 2, (0, 1)),
        ("another manifest", bytes(32), 3, 1, (0, 1)),
        ("the keys in another order", manifest_digest, 3, 1, (1, 0)),
        ("another key", manifest_digest, 3, 1, (0, 2)),
        ("one aggregator more", manifest_digest, 3, 1, (0, 1, 2)),
    ):
        made = setup_id(digest, epoch, leader, [keys[position] for position in chosen])
        out.append({"about": about, "manifest_digest": digest, "epoch": str(epoch), "leader": leader,
                    "public_keys": list(chosen), "setup_id": made})  # fmt: skip
    return out


def make() -> dict[str, Any]:
    """Set-up ids; and in one of the set-ups two modes and several rounds."""
    manifest_digest, key = secret("identifiers/manifest digest"), secret("identifiers/group key")
    keys = [secret(f"identifiers/public key {s}", SEALING_PUBLIC_KEY_BYTES) for s in range(1, 4)]
    setups = _setups(manifest_digest, keys)
    state, setup = secret("identifiers/state digest"), setups[0]["setup_id"]
    group = {mode: GroupKey(setup, key, mode == "sealed") for mode in ("sealed", "public")}
    state_ids = {mode: own.state_id(state) for mode, own in group.items()}
    sid = session_id(setup, 5, state_ids["sealed"])
    session_key = group["sealed"].session_key(sid)
    sealed = secret("identifiers/sealed bytes", SEALED_KEY_BYTES)
    nonce, round_key = secret("identifiers/nonce"), secret("identifiers/round key")
    streams = {
        field.name: numbers(share_stream(field, round_key, sid, 3, 2, nonce, scratch_words(field)).read(6))
        for field in (COMPACT, WIDE)
    }
    return {
        "about": "identifiers and keys, docs/protocol.md, Setup",
        "public_keys": keys,
        "setups": setups,
        "setup_id": setup,
        "group_key": key,
        "group_check": group["sealed"].check_value(),
        "state_digest": state,
        "state_id": state_ids,
        "sid_of_round": {
            str(number): session_id(setup, number, state_ids["sealed"]) for number in (0, 5, 2**63, MAX_ROUND)
        },
        "session": {"round": 5, "sid": sid, "session_key": session_key,
                    "session_key_hash": session_key_hash(sid, session_key)},
        "chain": _chain(setup),
        "sealed_key": {"client": 3, "aggregator": 2, "sealed": sealed,
                       "hash": SealedStreamKey(setup, 3, 2, sealed).sealed_hash(setup)},
        "share_stream": {"round_key": round_key, "sid": sid, "client": 3, "aggregator": 2, "nonce": nonce,
                         "first_elements": streams},
    }  # fmt: skip

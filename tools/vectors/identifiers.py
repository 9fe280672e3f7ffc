"""identifiers.json: set-up ids, key chains, state ids, session ids and session keys."""

from __future__ import annotations

from typing import Any

from privateyes.aggregation.keys import (
    MAX_JUMP,
    GroupKey,
    KeyChain,
    session_id,
    session_key_hash,
    setup_id,
    share_stream,
)
from privateyes.aggregation.messages import SealedStreamKey
from privateyes.crypto.field import COMPACT, WIDE
from privateyes.crypto.sealing import SEALED_KEY_BYTES
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
        ("a jump over more than 1024 rounds", 3, 3 + MAX_JUMP + 1),
    ):
        got = refusal(lambda at=at, to=to: KeyChain(at, start).advance_to(to, setup))
        refused.append(
            {"about": about, "next_round": at, "asked_for": to, **require({"error": "RefusedError"}, got, about)}
        )
    return {"setup_id": setup, "stream_key": start, "rounds": rounds, "refused": refused}


def make() -> dict[str, Any]:
    """One set-up, two modes, several rounds."""
    manifest_digest, key = secret("identifiers/manifest digest"), secret("identifiers/group key")
    state, epoch = secret("identifiers/state digest"), 3
    setup = setup_id(manifest_digest, epoch)
    group = {mode: GroupKey(setup, epoch, key, mode == "sealed") for mode in ("sealed", "public")}
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
        "about": "identifiers and keys, docs/protocol.md, Setup 3 to 6",
        "manifest_digest": manifest_digest,
        "epoch": epoch,
        "setup_id": setup,
        "group_key": key,
        "group_check": group["sealed"].check_value(),
        "state_digest": state,
        "state_id": state_ids,
        "sid_of_round": {str(number): session_id(setup, number, state_ids["sealed"]) for number in (0, 5, 2**63)},
        "session": {"round": 5, "sid": sid, "session_key": session_key,
                    "session_key_hash": session_key_hash(sid, session_key)},
        "chain": _chain(setup),
        "sealed_key": {"client": 3, "aggregator": 2, "sealed": sealed,
                       "hash": SealedStreamKey(epoch, 3, 2, sealed).sealed_hash(setup)},
        "share_stream": {"round_key": round_key, "sid": sid, "client": 3, "aggregator": 2, "nonce": nonce,
                         "first_elements": streams},
    }  # fmt: skip

"""rounds-n.json: whole rounds with n aggregators: every secret, every message in order, the result at every client."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from privateyes.aggregation.challenge import TensorChallenge
from privateyes.aggregation.keys import KeyChain, share_stream
from privateyes.aggregation.messages import ANNOUNCE, CLOSING, Message
from privateyes.aggregation.result import verify_disclosed
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.streams import ElementStream, KeyStream, scratch_words
from privateyes.encoding.clips import ClipPlan, segments
from vectors.cast import Cast, Plot, Session
from vectors.values import bits32, bits64, numbers

PLAN = ClipPlan((2, 4, 1), (0.5, 0.75, 3.0))
BASES = {
    2: Plot("2", n=2, m=3, field="", mode="", submitting=(1, 2, 3)),
    3: Plot("3", n=3, m=5, field="", mode="", submitting=(1, 2, 3, 4), unseen={2: (4,)}, round=3, roster_max=4),
    5: Plot("5", n=5, m=4, field="", mode="", submitting=(1, 3, 4), dimension=8, round=1),
}
BULK_HASHES = ("blake3", "sha256")


def plots(n: int) -> list[Plot]:
    """Both fields and both modes, the bulk hashes in turn; sealed wide ones with a clip for each tensor.

    With two aggregators also two tasks that limit the L2 norm.
    """
    kinds = [(field, mode) for field in ("compact", "wide") for mode in ("sealed", "public")]
    plain = [
        replace(
            BASES[n],
            name=f"{n}-{field}-{mode}",
            field=field,
            mode=mode,
            bulk_hash=BULK_HASHES[(n + position) % 2],
            clips=PLAN if (field, mode) == ("wide", "sealed") and BASES[n].dimension == 7 else None,
        )
        for position, (field, mode) in enumerate(kinds)
    ]
    limited = [replace(plot, name=f"{plot.name}-norm", norm_clip=1.25) for plot in plain[1:3]] if n == 2 else []
    return [*plain, *limited]


def make(n: int) -> dict[str, Any]:
    """All rounds with n aggregators."""
    sessions = [Cast(plot).play() for plot in plots(n)]
    return {
        "about": f"whole rounds with {n} aggregators, docs/protocol.md, One round",
        "rounds": [written(session, ended_in_order(session)) for session in sessions],
    }


def written(session: Session, after: list[tuple[int, str, Message]]) -> dict[str, Any]:
    """One session as JSON; ``after`` is what is said besides once it is over."""
    plot = session.plot
    clips = None if plot.clips is None else {"lengths": list(plot.clips.lengths), "clips": bits64(plot.clips.clips)}
    return {
        "name": session.name,
        "manifest": session.manifest.to_toml(),
        "epoch": session.keys.epoch,
        "leader": session.keys.leader,
        "round": session.round,
        "clips": clips,
        "secrets": _secrets(session),
        "inputs": [_input(session, i) for i in session.submitting],
        "derived": _derived(session),
        "headers_seen": [[header.client for header in session.headers_seen(s)] for s in session.aggregators],
        "messages": [
            {"step": step, "from": sender, "kind": type(message).__name__, "bytes": message.to_bytes()}
            for step, sender, message in [*said_in_order(session), *after]
        ],
        "results": [_result(session, i) for i in session.clients],
    }


def _secrets(session: Session) -> dict[str, Any]:
    clients, aggregators = list(session.clients), list(session.aggregators)
    cast, keys = session.cast, session.keys
    return {
        "hub_signing_key": cast.hub_key.secret_bytes(),
        "aggregator_signing_keys": [cast.aggregator_keys[s].secret_bytes() for s in aggregators],
        "client_signing_keys": [cast.client_keys[i].secret_bytes() for i in clients],
        "aggregator_sealing_seeds": [list(keys.seeds[s]) for s in aggregators],
        "stream_keys_by_client": [[keys.stream_key(i, s) for s in aggregators] for i in clients],
        "sealed_hashes_by_client": [[keys.sealed_hash(i, s) for s in aggregators] for i in clients],
        "group_key": session.group.key,
        "state_digest": cast.state.digest,
        "state_weights": cast.state.weights,
        "salts": [session.salt(s) for s in aggregators],
    }


def _input(session: Session, i: int) -> dict[str, Any]:
    streams = {"streams": [_stream(session, i, s).tobytes() for s in session.aggregators]}
    if session.origin is not None:
        return {"client": i, "nonce": session.nonce(i), **streams}
    cast, done = session.cast, session.submitted[i]
    words = np.zeros(session.plot.dimension, dtype="<u4")
    KeyStream(cast.rounding_key(i), Label.ROUNDING, Role.CLIENT, b"").fill(words.data.cast("B"))
    return {
        "client": i,
        "delta": bits32(cast.delta(i)),
        "weight": cast.weight(i),
        "nonce": session.nonce(i),
        "rounding_key": cast.rounding_key(i),
        "rounding_words": numbers(words),
        "encoded": numbers(session.field.lift(cast.kept[i].encoded)),
        "clipped": done.clipped,
        "shortened": done.shortened,
        **streams,
    }


def _stream(session: Session, i: int, s: int) -> Any:
    setup, field = session.setup, session.field
    round_key = KeyChain(0, session.keys.stream_key(i, s)).advance_to(session.round, setup).round_key(setup)
    stream = share_stream(field, round_key, session.sid, i, s, session.nonce(i), scratch_words(field))
    return stream.read(session.manifest.share_elements)


def _derived(session: Session) -> dict[str, Any]:
    labels, coordinates, field = (Label.MASK, Label.MASK_TAIL), session.plot.dimension + 1, session.field
    mask = ElementStream(field, session.session_key, labels, Role.ALL, session.sid, scratch=scratch_words(field))
    pads = TensorChallenge(field, coordinates, session.session_key, session.sid).accumulator()
    return {
        "manifest_digest": session.manifest.digest(),
        "setup_id": session.setup,
        "group_check": session.group.check_value(),
        "state_id": session.state_id,
        "sid": session.sid,
        "session_key": session.session_key,
        "mask": numbers(mask.read(coordinates)) if session.manifest.sealed else None,
        "pads": numbers(pads.tags(pads=1)),
        "rho": session.commitments[0].rho,
        "transcript": session.agreements[0].transcript,
        "result": session.results[0].result,
    }


Said = list[tuple[int, str, Message]]


def _by(step: int, messages: list[Any], senders: list[str]) -> Said:
    return [(step, sender, message) for sender, message in zip(senders, messages, strict=True)]


def said_in_order(session: Session) -> Said:
    """Step, sender and message, in the order of the round."""
    aggregators = [f"aggregator {s}" for s in session.aggregators]
    origin = [] if session.origin is None else [session.origin]
    listed: Said = [
        *_by(0, [session.request], ["hub"]),
        *_by(0, session.announcements, aggregators),
        *_by(1, origin, ["hub"] * len(origin)),
        *_by(1, list(session.submissions.values()), [f"client {i}" for i in session.submissions]),
        *_by(2, session.votes, aggregators),
        *_by(3, session.commitments, aggregators),
        *_by(3, [session.hub_commitment], ["hub"]),
        *_by(3, session.agreements, aggregators),
        *_by(4, session.openings, aggregators),
        *_by(4, [session.total], ["hub"]),
        *_by(4, session.results, aggregators),
        *_by(5, [session.delivery], ["hub"]),
    ]
    if session.manifest.sealed:
        return listed
    first = min(session.clients)
    disclosure = session.disclose(first)
    headers = [submission.header for submission in session.submissions.values()]
    verify_disclosed(session.manifest, session.delivery, headers, disclosure)
    return [*listed, *_by(5, [disclosure], [f"client {first}"])]


def ended_in_order(session: Session) -> Said:
    """The next round is announced, and every aggregator says how this one ended."""
    aggregators = [f"aggregator {s}" for s in session.aggregators]
    return [
        *_by(0, [session.requested(ANNOUNCE, session.round + 1)], ["hub"]),
        *_by(0, session.next_announcements(), aggregators),
        *_by(0, [session.requested(CLOSING, session.round)], ["hub"]),
        *_by(0, session.closings(), aggregators),
    ]


def _result(session: Session, i: int) -> dict[str, Any]:
    got = session.check(i)
    encoded = {j: session.field.lift(session.cast.kept[j].encoded) for j in got.roster}
    sums = sum(encoded.values(), np.zeros(session.plot.dimension, dtype=np.int64))
    mean = np.concatenate(
        [
            part.encoding.decode(sums[part.span], got.total_weight)
            for part in segments(session.manifest.encoding, session.plot.dimension, session.plot.clips)
        ]
    )
    if not np.array_equal(mean, got.mean):
        raise RuntimeError("the accepted average is not that of the inputs")
    return {
        "client": i,
        "roster": list(got.roster),
        "counted": got.counted,
        "sum": numbers(sums),
        "total_weight": got.total_weight,
        "mean": bits64(got.mean),
    }

"""rounds-n.json: whole rounds with n aggregators: every secret, every message in order, the result at every client."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from privateyes.aggregation.challenge import TensorChallenge
from privateyes.aggregation.keys import share_stream
from privateyes.aggregation.messages import Message
from privateyes.aggregation.result import verify_disclosed
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.streams import ElementStream, KeyStream, scratch_words
from privateyes.encoding.clips import ClipPlan, segments
from vectors.cast import Cast, Plot
from vectors.values import bits32, bits64, numbers

PLAN = ClipPlan((2, 4, 1), (0.5, 0.75, 3.0))
BASES = {
    2: Plot("2", n=2, m=3, field="", mode="", submitting=(1, 2, 3)),
    3: Plot("3", n=3, m=5, field="", mode="", submitting=(1, 2, 3, 4), unseen={2: (4,)}, round=3, roster_max=4),
    5: Plot("5", n=5, m=4, field="", mode="", submitting=(1, 3, 4), dimension=8, round=1),
}


def plots(n: int) -> list[Plot]:
    """Both fields and both modes; the wide ones with a clip for each tensor where the dimension is 7."""
    return [
        replace(
            BASES[n],
            name=f"{n}-{field}-{mode}",
            field=field,
            mode=mode,
            clips=PLAN if field == "wide" and BASES[n].dimension == 7 else None,
        )
        for field in ("compact", "wide")
        for mode in ("sealed", "public")
    ]


def make(n: int) -> dict[str, Any]:
    """Four rounds with n aggregators."""
    return {
        "about": f"whole rounds with {n} aggregators, docs/protocol.md, One round",
        "rounds": [_round(plot) for plot in plots(n)],
    }


def _round(plot: Plot) -> dict[str, Any]:
    cast = Cast(plot).play()
    return {
        "name": plot.name,
        "manifest": cast.manifest.to_toml(),
        "epoch": cast.epoch,
        "round": cast.round,
        "clips": None
        if plot.clips is None
        else {"lengths": list(plot.clips.lengths), "clips": bits64(plot.clips.clips)},
        "secrets": _secrets(cast),
        "inputs": [_input(cast, i) for i in plot.submitting],
        "derived": _derived(cast),
        "headers_seen": [[header.client for header in cast.headers_seen(s)] for s in cast.aggregators],
        "messages": _messages(cast),
        "results": [_result(cast, i) for i in cast.clients],
    }


def _secrets(cast: Cast) -> dict[str, Any]:
    clients, aggregators = list(cast.clients), list(cast.aggregators)
    return {
        "aggregator_signing_keys": [cast.aggregator_keys[s].secret_bytes() for s in aggregators],
        "client_signing_keys": [cast.client_keys[i].secret_bytes() for i in clients],
        "stream_keys_by_client": [[cast.stream_key(i, s) for s in aggregators] for i in clients],
        "sealed_hashes_by_client": [[cast.sealed_hash(i, s) for s in aggregators] for i in clients],
        "group_key": cast.group.key,
        "state_digest": cast.state_digest,
        "salts": [cast.salt(s) for s in aggregators],
    }


def _input(cast: Cast, i: int) -> dict[str, Any]:
    fresh = cast.fresh(i)
    encoded = cast.field.zeros(cast.plot.dimension)
    words = np.zeros(cast.plot.dimension, dtype="<u4")
    KeyStream(fresh.rounding_key, Label.ROUNDING, Role.CLIENT, b"").fill(words.data.cast("B"))
    clipped = 0
    for part in segments(cast.manifest.encoding, cast.plot.dimension, cast.plot.clips):
        values = cast.delta(i)[part.span]
        clipped += part.encoding.encode(values, cast.weight(i), words[part.span], encoded[part.span])
    if clipped != cast.submitted[i].clipped:
        raise RuntimeError("the client clips in another way")
    memory = cast.aggregator_memories
    return {
        "client": i,
        "delta": bits32(cast.delta(i)),
        "weight": cast.weight(i),
        "nonce": fresh.nonce,
        "rounding_key": fresh.rounding_key,
        "rounding_words": numbers(words),
        "encoded": numbers(cast.field.lift(encoded)),
        "clipped": clipped,
        "streams": [_stream(cast, i, s).tobytes() for s in memory],
    }


def _stream(cast: Cast, i: int, s: int) -> Any:
    chain = Cast(cast.plot).aggregator_memories[s].chains[i].advance_to(cast.round, cast.setup)
    stream = share_stream(
        cast.field, chain.round_key(cast.setup), cast.sid, i, s, cast.fresh(i).nonce, scratch_words(cast.field)
    )
    return stream.read(cast.manifest.share_elements)


def _derived(cast: Cast) -> dict[str, Any]:
    labels, coordinates = (Label.MASK, Label.MASK_TAIL), cast.plot.dimension + 1
    mask = ElementStream(cast.field, cast.session_key, labels, Role.ALL, cast.sid, scratch=scratch_words(cast.field))
    pads = TensorChallenge(cast.field, coordinates, cast.session_key, cast.sid).accumulator()
    return {
        "manifest_digest": cast.manifest.digest(),
        "setup_id": cast.setup,
        "group_check": cast.group.check_value(),
        "state_id": cast.state_id,
        "sid": cast.sid,
        "session_key": cast.session_key,
        "mask": numbers(mask.read(coordinates)) if cast.manifest.sealed else None,
        "pads": numbers(pads.tags(pads=1)),
        "rho": cast.commitments[0].rho,
        "transcript": cast.agreements[0].transcript,
        "result": cast.results[0].result,
    }


def said_in_order(cast: Cast) -> list[tuple[int, str, Message]]:
    """Step, sender and message, in the order of the round."""
    aggregators = [f"aggregator {s}" for s in cast.aggregators]
    listed: list[tuple[int, str, Message]] = []

    def said(step: int, messages: list[Any], senders: list[str] = aggregators) -> None:
        listed.extend((step, sender, message) for sender, message in zip(senders, messages, strict=True))

    said(0, cast.announcements)
    said(1, list(cast.submissions.values()), [f"client {i}" for i in cast.submissions])
    said(2, cast.votes)
    said(3, cast.commitments)
    said(3, [cast.hub_commitment], ["hub"])
    said(3, cast.agreements)
    said(4, cast.openings)
    said(4, [cast.total], ["hub"])
    said(4, cast.results)
    said(5, [cast.delivery], ["hub"])
    if not cast.manifest.sealed:
        first = min(cast.clients)
        disclosure = cast.disclose(first)
        headers = [submission.header for submission in cast.submissions.values()]
        verify_disclosed(cast.manifest, cast.delivery, headers, disclosure, cast.plot.clips)
        said(5, [disclosure], [f"client {first}"])
    said(0, cast.next_announcements())
    said(0, cast.closings())
    return listed


def _messages(cast: Cast) -> list[dict[str, Any]]:
    return [
        {"step": step, "from": sender, "kind": type(message).__name__, "bytes": message.to_bytes()}
        for step, sender, message in said_in_order(cast)
    ]


def _result(cast: Cast, i: int) -> dict[str, Any]:
    got = cast.check(i)
    sums = np.array([sum(_encoded(cast, j, t) for j in got.roster) for t in range(cast.plot.dimension)])
    mean = np.concatenate(
        [
            part.encoding.decode(sums[part.span], got.total_weight)
            for part in segments(cast.manifest.encoding, cast.plot.dimension, cast.plot.clips)
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


def _encoded(cast: Cast, i: int, t: int) -> int:
    return int(_input(cast, i)["encoded"][t])

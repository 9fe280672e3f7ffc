"""records.json: what an auditor concludes from the record of a session, and whom it names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from privateyes.aggregation.audit import audit
from privateyes.aggregation.messages import VOID, Abort, Closing, Message
from privateyes.aggregation.steps import Point
from vectors.bases import PUBLIC, SEALED, bases
from vectors.cast import Session
from vectors.rounds import ended_in_order, said_in_order
from vectors.script import Table
from vectors.values import require

ZERO = bytes(32)
CERTIFIED = "certified"
ALL = ("aggregator 1", "aggregator 2", "aggregator 3")
Faults = list[tuple[str, tuple[str, ...]]]
FORGED: Faults = [("suspected", ("recorder",))]
"""Whose signature does not verify is nobody's word; whoever wrote the record may have altered it."""


@dataclass(frozen=True)
class _Case:
    """One record.

    Attributes:
        about: what is wrong with it.
        added: messages beside those of the round.
        faults: the level of each fault, and whom it names, as a person wrote them down.
        without: the kinds of messages of the round that are missing.
        outcome: of the round's session.
    """

    about: str
    added: list[Message]
    faults: Faults
    without: tuple[str, ...] = ()
    outcome: str = CERTIFIED


def _proven(party: str) -> Faults:
    return [("proven", (party,))]


def _second_words(cast: Session) -> list[tuple[str, Message, Faults]]:
    """A second word of aggregator 2 where it may say one, signed by nobody yet; and who is named besides.

    A second roster or transcript also shows that somebody misled somebody; which of the named it was, nothing shows.
    """
    vote, commitment, agreement = cast.votes[1], cast.commitments[1], cast.agreements[1]
    disclosed: Faults = [] if cast.manifest.sealed else [("inconsistent", ("aggregator 2", "client 1"))]
    return [
        ("two votes", replace(vote, entries=vote.entries[:1]), []),
        ("two commitments", replace(commitment, commitment=ZERO), []),
        ("two rosters", replace(commitment, rho=ZERO), [("inconsistent", ALL)]),
        ("two transcripts", replace(agreement, transcript=ZERO), [("inconsistent", ("hub", *ALL))]),
        ("two openings", replace(cast.openings[1], salt=ZERO), []),
        ("two results", replace(cast.results[1], result=ZERO), []),
        ("opened, and called void", Closing(cast.sid, 2, VOID), disclosed),
    ]


def _cases(cast: Session) -> list[_Case]:
    header = cast.submissions[2].header
    guilty = "aggregator 2"
    out = [
        _Case("an honest round", [], []),
        _Case("every message twice", said(cast), []),
        _Case("receipts in place of vectors", _receipts(cast), [], ("Opening", "HubSum", "Delivery")),
        _Case("without its end", [], [], ("ResultSignature", "Delivery", "Closing"), "incomplete"),
        _Case(
            "given up by aggregator 3",
            [cast.by_aggregator(Abort(cast.sid, 3, Point.OPEN), 3)],
            [],
            ("Opening", "ResultSignature", "Delivery", "Closing"),
            "aborted",
        ),
        _Case("a complaint", [cast.clients[1].complain(cast.sid, 5)], [], outcome="refused"),
        _Case("two headers of client 2, under the same stream keys", [cast.by_client(replace(header, nonce=ZERO), 2)],
              _proven("client 2")),
        _Case("two headers of client 2, the second under other stream keys: it may have lost its store",
              [cast.by_client(replace(header, nonce=ZERO, sealed_hashes=(ZERO,) * 3), 2)], []),
        _Case("a round announced twice by aggregator 2, from two states",
              [cast.by_aggregator(replace(cast.announcements[1], state_id=ZERO), 2, cast.setup)], _proven(guilty)),
        _Case("a sum of the hub that nobody agreed on", [replace(cast.total, share=cast.delivery.share)],
              [("suspected", ("hub", "recorder"))]),
        _Case("a second header of client 2 without its signature", [replace(header, nonce=ZERO)], FORGED),
    ]  # fmt: skip
    for about, word, besides in _second_words(cast):
        signed = cast.by_aggregator(word, 2)
        out.append(_Case(f"{about} of aggregator 2", [signed], [*_proven(guilty), *besides]))
        forged = replace(signed, signature=cast.by_aggregator(word, 3).signature)  # type: ignore[call-arg]
        out.append(_Case(f"{about} of aggregator 2, the second signed by aggregator 3", [forged], FORGED))
    return out


def said(cast: Session) -> list[Message]:
    """The round's messages."""
    return [message for _, _, message in (*said_in_order(cast), *ended_in_order(cast))]


def _receipts(cast: Session) -> list[Message]:
    bulk = cast.manifest.bulk_hash
    return [message.receipt(bulk) for message in (*cast.openings, cast.total, cast.delivery)]


def _written(case: _Case, cast: Session, table: Table) -> dict[str, Any]:
    kept = [message for message in said(cast) if type(message).__name__ not in case.without]
    found = audit(cast.manifest, [*cast.keys.offered, *kept, *case.added])
    (session,) = [session for session in found.sessions if session.sid == cast.sid]
    faults = sorted({(str(fault.level), fault.parties) for fault in found.faults})
    got = {"outcome": str(session.outcome), "faults": [{"level": level, "parties": list(who)} for level, who in faults]}
    wrong = [{"level": level, "parties": list(who)} for level, who in sorted(case.faults)]
    return {
        "about": case.about,
        "base": cast.name,
        "without": list(case.without),
        "added": [table.add(message) for message in case.added],
        "expected": require({"outcome": case.outcome, "faults": wrong}, got, case.about),
    }


def make() -> dict[str, Any]:
    """Records of the sealed and the public compact round with three aggregators."""
    table = Table()
    offered = {name: [table.add(message) for message in bases()[name].keys.offered] for name in (SEALED, PUBLIC)}
    cases = [_written(case, bases()[name], table) for name in offered for case in _cases(bases()[name])]
    return {
        "about": "records of sessions, docs/protocol.md, Records and blame",
        "messages": dict(sorted(table.messages.items())),
        "offered": offered,
        "cases": cases,
    }

"""What the hub refuses to pass on."""

from __future__ import annotations

from dataclasses import replace

from privateyes.crypto.commitment import commit_to_vector
from vectors.bases import SEALED, bases
from vectors.refusals_aggregator import ABORT, BLAMED, MALFORMED, ZERO
from vectors.script import Case


def cases() -> list[Case]:
    """Damaged uploads, rosters, sums that were added up again, openings."""
    done = bases()[SEALED]
    out = []
    submission = done.submissions[1]
    altered = replace(submission, share=done.shifted(submission.share, {0: 1}))
    foreign = replace(submission, header=replace(submission.header, client=2))
    moved = replace(submission, header=replace(submission.header, sid=ZERO))
    for about, message in (
        ("a share altered on the way", altered), ("another client's number", foreign), ("another session", moved),
    ):  # fmt: skip
        out.append(Case(f"hub, submission: {about}", {}, [{"do": "intact", "messages": [message]}], MALFORMED))
    votes = [done.by_aggregator(replace(vote, entries=vote.entries[:1]), vote.aggregator) for vote in done.votes]
    out.append(Case("hub, votes: a roster below R_min", {}, [{"do": "choose_roster", "messages": votes}], ABORT))
    out.append(Case("hub, votes: none", {}, [{"do": "choose_roster", "messages": []}], ABORT))
    unsigned = replace(done.agreements[1], signature=bytes(64))
    calls = [{"do": "agreed_transcript", "messages": [done.agreements[0], unsigned, done.agreements[2]]}]
    out.append(Case("hub, agreements: one without its signature", {}, calls, MALFORMED))
    other_sum = replace(done.hub_commitment, commitment=ZERO)
    other_commitment = replace(done.commitments[1], commitment=ZERO)
    for about, messages in (
        ("another sum", [*done.commitments, other_sum]),
        ("another commitment", [done.commitments[0], other_commitment, done.commitments[2], done.hub_commitment]),
        ("a commitment is missing", [*done.commitments[:2], done.hub_commitment]),
    ):
        calls = [{"do": "agreed_sum", "messages": messages}]
        out.append(Case(f"hub, added up again: {about} than T holds", {}, calls, ABORT))
    own, second, third = done.openings
    shifted = replace(second, share=done.shifted(second.share, {0: 1}))
    for about, openings, expected in (
        ("an opening is missing", [own, third], ABORT),
        ("an opening twice", [own, third, third], ABORT),
        ("a share other than the committed one, signed", [own, done.by_aggregator(shifted, 2), third], BLAMED),
        ("a share altered on the way: nobody is blamed", [own, shifted, third], MALFORMED),
    ):
        out.append(Case(f"hub, delivery: {about}", {}, [{"do": "deliver", "messages": openings}], expected))
    # An honest commitment to the altered share would have been another one.
    rho, bulk = done.commitments[1].rho, done.manifest.bulk_hash
    if commit_to_vector(done.sid, rho, 2, second.salt, shifted.share, bulk) == done.commitments[1].commitment:
        raise RuntimeError("the commitment does not bind the share")
    return out

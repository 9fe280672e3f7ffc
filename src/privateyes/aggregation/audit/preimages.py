"""What the signed hashes of a session stand for: rosters by rho, transcripts by T, as far as a record shows.

A preimage is what was signed, wherever it comes from: nobody finds a second one.

Honest parties say each word once, so their words have one combination. A party that said a word twice has broken the
protocol, and is named for that alone; what else its words show is looked for within a budget for the whole record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Final

from privateyes.aggregation.audit.deliveries import Deliveries
from privateyes.aggregation.audit.evidence import SessionEvidence, delivered_transcript
from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.messages import NO_SESSION, Agreement, Header, RosterCommitment, Signed, Vote
from privateyes.aggregation.roster import Entries, intersect, roster_digest, transcript_digest

_BUDGET: Final = 100_000  # hashes of a few hundred bytes: well under a second
_MOST_GROUP_CHECKS: Final = 4  # group keys in one roster that are tried; an honest one has one


@dataclass(frozen=True, slots=True)
class Roster:
    """What a rho stands for."""

    group_check: bytes
    entries: Entries


@dataclass(frozen=True, slots=True)
class Transcript:
    """What a T stands for: rho and com_0..com_n."""

    rho: bytes
    commitments: tuple[bytes, ...]


@dataclass(slots=True)
class Budget:
    """What may still be spent on combinations, over a whole record."""

    left: int = _BUDGET

    def spend(self, hashes: int) -> bool:
        """Whether it lasts for that many more."""
        self.left -= hashes
        return self.left >= 0


@dataclass(slots=True)
class Preimages:
    """Rosters by rho and transcripts by T.

    Attributes:
        voted: rho of the votes in the record, if it has exactly one of every aggregator and the headers.
        unsearched: whether there were more combinations than the budget allows.
    """

    rosters: dict[bytes, Roster] = field(default_factory=dict)
    transcripts: dict[bytes, Transcript] = field(default_factory=dict)
    voted: bytes | None = None
    unsearched: bool = False

    def roster_under(self, transcript: bytes) -> tuple[Transcript, Roster] | None:
        """What a T and its rho stand for, if both are known."""
        found = self.transcripts.get(transcript)
        if found is None or found.rho not in self.rosters:
            return None
        return found, self.rosters[found.rho]


@dataclass(frozen=True, slots=True)
class Case:
    """One session of the pinned manifest, and what is computed once for all checks of it."""

    manifest: Manifest
    session: SessionEvidence
    deliveries: Deliveries
    known: Preimages

    @property
    def aggregators(self) -> Sequence[int]:
        """1..n."""
        return self.manifest.aggregator_numbers

    def agreed_under(self, transcript: bytes) -> tuple[Transcript, Roster] | None:
        """What a T and its rho stand for, if both are known and T has com_0 and one commitment of each aggregator."""
        found = self.known.roster_under(transcript)
        return found if found is not None and len(found[0].commitments) == len(self.aggregators) + 1 else None

    def origin_of(self, roster: Roster) -> bytes:
        """The session whose updates a roster's clients send again, as far as the record has their headers."""
        origins = {header.origin for header in pinned(self.session, roster.entries)}
        return next(iter(origins)) if len(origins) == 1 else NO_SESSION


def find_preimages(manifest: Manifest, session: SessionEvidence, budget: Budget) -> Preimages:
    """Look for what the signed hashes stand for: in the deliveries, and in combinations of the signed words."""
    found = Preimages(voted=_voted(manifest, session))
    for receipt in session.deliveries:
        transcript, rho = delivered_transcript(receipt)
        found.rosters[rho] = Roster(receipt.group_check, receipt.roster)
        found.transcripts[transcript] = Transcript(rho, receipt.commitments)
    _find_rosters(manifest, session, found, budget)
    _find_transcripts(manifest, session, found, budget)
    return found


def _voted(manifest: Manifest, session: SessionEvidence) -> bytes | None:
    votes = session.signed.single(Vote)
    if len(votes) < len(manifest.aggregators):
        return None
    entries = intersect([vote.entries for vote in votes.values()])
    headers = pinned(session, entries)
    if len(headers) < len(entries) or len({header.group_check for header in headers}) != 1:
        return None
    return roster_digest(session.sid, headers[0].group_check, entries)


def pinned(session: SessionEvidence, entries: Entries) -> list[Header]:
    """The headers that a roster names, as far as the record has them."""
    return [session.headers[value] for _, value in entries if value in session.headers]


def _said_once(said: Mapping[int, tuple[Signed, ...]]) -> bool:
    return all(len(words) == 1 for words in said.values())


def _find_rosters(manifest: Manifest, session: SessionEvidence, found: Preimages, budget: Budget) -> None:
    wanted = {word.rho for word in session.signed.all_of(RosterCommitment)} - found.rosters.keys()
    votes = session.signed.of(Vote)
    if not wanted or len(votes) < len(manifest.aggregators):
        return
    for combination in product(*votes.values()):
        size = sum(len(vote.entries) for vote in combination)
        if not _said_once(votes) and not budget.spend(1 + size // 4):
            found.unsearched = True
            return
        entries = intersect([vote.entries for vote in combination])
        checks = Counter(header.group_check for header in pinned(session, entries))
        found.unsearched |= len(checks) > _MOST_GROUP_CHECKS
        for group_check, _ in checks.most_common(_MOST_GROUP_CHECKS):
            rho = roster_digest(session.sid, group_check, entries)
            if rho in wanted:
                found.rosters[rho] = Roster(group_check, entries)
        if wanted <= found.rosters.keys():
            return


def _find_transcripts(manifest: Manifest, session: SessionEvidence, found: Preimages, budget: Budget) -> None:
    wanted = {word.transcript for word in session.signed.all_of(Agreement)} - found.transcripts.keys()
    commitments = session.signed.of(RosterCommitment)
    if not wanted or not session.hub_commitments or len(commitments) < len(manifest.aggregators):
        return
    # One pool for each party, and none of combinations: those are only ever made one at a time.
    for words in product(*commitments.values()):
        rosters = {word.rho for word in words}
        if not _said_once(commitments) and not budget.spend(len(rosters) * len(session.hub_commitments)):
            found.unsearched = True
            return
        for hub_commitment in session.hub_commitments:
            digests = (hub_commitment, *(word.commitment for word in words))
            for rho in rosters:
                transcript = transcript_digest(session.sid, rho, digests)
                if transcript in wanted:
                    found.transcripts[transcript] = Transcript(rho, digests)
        if wanted <= found.transcripts.keys():
            return

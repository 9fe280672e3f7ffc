"""One honest aggregator alone with an adversary that plays everybody else by hand."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from privateyes.aggregation.aggregator import Aggregator
from privateyes.aggregation.messages import (
    Agreement,
    Delivery,
    HubCommitment,
    HubSum,
    Opening,
    ResultSignature,
    RosterCommitment,
    Vote,
)
from privateyes.aggregation.roster import result_digest, roster_digest, transcript_digest
from privateyes.crypto.commitment import commit_to_sum, commit_to_vector, merkle_root

if TYPE_CHECKING:
    from network import Network


class Solo:
    """The adversary plays the hub and every corrupt aggregator by hand against the honest one.

    Each step asks the honest aggregator and returns its word, or None where it refused. What the corrupt ones will say
    stands in attributes (entries, shares, salts, total) that a test changes before the step that uses them.
    """

    def __init__(self, network: Network, roster: Sequence[int]) -> None:
        self.network, self.sid = network, network.sid
        submissions = [network.session.submissions[i] for i in roster]
        self.headers = [submission.header for submission in submissions]
        self.entries = tuple((header.client, header.hash()) for header in self.headers)
        self.total = network.add(*(submission.share for submission in submissions))
        self.shares = {s: self._share(s) for s in network.liars}
        self.salts = {s: secrets.token_bytes(32) for s in network.liars}
        self.name = f"aggregator {network.honest}"

    def _share(self, liar: int) -> Any:
        kept = self.network.kept[liar]
        return Aggregator._regenerate(self.network.aggregators[liar].own, kept, kept.session, self.headers)[0]

    def _ask(self, step: str, messages: Sequence[Any]) -> Any:
        return next(iter(self.network.ask(self.name, step, *messages)), None)

    def _with_liars(self, word: Any, made: Callable[[int], Any]) -> list[Any]:
        words = {self.network.honest: word, **{s: self.network.sign(made(s)) for s in self.network.liars}}
        return [words[s] for s in sorted(words)]

    @property
    def _bulk(self) -> Any:
        return self.network.manifest.bulk_hash

    @property
    def _commitment(self) -> HubCommitment:
        return HubCommitment(self.sid, commit_to_sum(self.sid, self.total, self._bulk))

    @property
    def rho(self) -> bytes:
        return roster_digest(self.sid, self.headers[0].group_check, self.entries)

    def vote(self) -> Any:
        self.vote_word = self._ask("vote", [self.sid, *self.headers])
        return self.vote_word

    def commit(self) -> Any:
        votes = self._with_liars(self.vote_word, lambda s: Vote(self.sid, s, self.entries))
        self.commit_word = self._ask("commit", [*votes, *self.headers])
        return self.commit_word

    def commitments(self) -> list[Any]:
        """One of every aggregator."""

        def made(s: int) -> Any:
            digest = commit_to_vector(self.sid, self.rho, s, self.salts[s], self.shares[s], self._bulk)
            return RosterCommitment(self.sid, s, self.rho, digest)

        return self._with_liars(self.commit_word, made)

    @property
    def digests(self) -> tuple[bytes, ...]:
        return (self._commitment.commitment, *(message.commitment for message in self.commitments()))

    @property
    def transcript(self) -> bytes:
        return transcript_digest(self.sid, self.rho, self.digests)

    def agree(self) -> Any:
        self.agree_word = self._ask("agree", [*self.commitments(), self._commitment])
        return self.agree_word

    def open(self) -> Any:
        agreements = self._with_liars(self.agree_word, lambda s: Agreement(self.sid, s, self.transcript))
        self.open_word = self._ask("open", agreements)
        return self.open_word

    def certify(self) -> Any:
        openings = self._with_liars(self.open_word, lambda s: Opening(self.sid, s, self.salts[s], self.shares[s]))
        self.certify_word = self._ask("certify", [*openings, HubSum(self.sid, self.total)])
        return self.certify_word

    def sum(self) -> Any:
        """Z: C and all shares, as they would be opened now."""
        return self.network.add(self.total, self.open_word.share, *self.shares.values())

    def read(self) -> list[int]:
        """Y and W, with the group key of the corrupt client."""
        return self.network.read(self.sum(), len(self.entries))

    def force(self, coordinate: int, value: int) -> None:
        """Having seen the sum, choose a corrupt share that makes one of its coordinates what the adversary likes."""
        changes = self.network.matching({coordinate: value - self.read()[coordinate]})
        liar = self.network.liars[-1]
        self.shares[liar] = self.network.shifted(self.shares[liar], changes)

    def deliver(self) -> None:
        """Sign the result in the corrupt ones' names and hand it to every client."""
        total = self.sum()
        digest = result_digest(self.sid, self.transcript, merkle_root(total, self._bulk), len(self.entries))
        results = self._with_liars(self.certify_word, lambda s: ResultSignature(self.sid, s, digest))
        signatures = tuple(message.signature for message in results)
        check = self.headers[0].group_check
        delivery = Delivery(self.sid, check, self.entries, self.digests, signatures, total)
        self.network.flight += self.network.hub.ask(self.network.hub.clients, "check", [delivery.to_bytes()])
        self.network.run()

    def run(self, until: str = "") -> Any:
        """The steps before ``until``, or all; the last word."""
        word: Any = None
        for step in ("vote", "commit", "agree", "open", "certify"):
            if step == until:
                return word
            word = getattr(self, step)()
            if word is None:
                return None
        self.deliver()
        return word

"""The hub as an actor: a relay that asks everyone for the next step as soon as it has what that takes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from packets import ANSWERS, HUB, Packet
from privateyes.aggregation import hub
from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.messages import HubCommitment, Submission
from privateyes.crypto.commitment import commit_to_sum


class HubActor:
    """The relay.

    Attributes:
        shift: what a corrupt one does to C before it commits to it.
        got: the answers to each request, by sender.
    """

    name = HUB

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.aggregators = [f"aggregator {s}" for s in range(1, len(manifest.aggregators) + 1)]
        self.clients = [f"client {i}" for i in range(1, len(manifest.clients) + 1)]
        self.submitters: set[str] = set()
        self.shift: Callable[[Any], Any] = lambda share: share
        self.got: dict[str, dict[str, tuple[bytes, ...]]] = defaultdict(dict)

    def ask(self, everyone: Iterable[str], step: str, parts: Iterable[bytes]) -> list[Packet]:
        """One request to each."""
        return [Packet(HUB, name, step, tuple(parts)) for name in everyone]

    def announce(self, session: bytes, submitters: Iterable[str]) -> list[Packet]:
        """Start a round."""
        self.got.clear()
        self.submitters = set(submitters)
        return self.ask(self.aggregators, "announce", [session])

    def receive(self, packet: Packet) -> list[Packet]:
        """Keep an answer; the requests that it makes possible."""
        packet.messages(self.manifest)  # a hub refuses what no party could parse
        self.got[packet.step][packet.sender] = packet.parts
        expected = len(self.submitters if packet.step == "submit" else self.aggregators)
        following = getattr(self, f"_after_{packet.step}", None)
        return following() if following and len(self.got[packet.step]) == expected else []

    def words(self, step: str) -> list[bytes]:
        """Every aggregator's answer, in order."""
        return [self.got[step][name][0] for name in self.aggregators if name in self.got[step]]

    def _parsed(self, step: str) -> list[Any]:
        return [ANSWERS[step].from_bytes(word, self.manifest) for word in self.words(step)]

    def _after_announce(self) -> list[Packet]:
        words = self.words("announce")
        watching = [name for name in self.clients if name not in self.submitters]
        return self.ask(sorted(self.submitters), "submit", words) + self.ask(watching, "observe", words)

    def _after_submit(self) -> list[Packet]:
        return self.close_submissions()

    def close_submissions(self) -> list[Packet]:
        """Form the roster of those who came."""
        self.submissions = {}
        for parts in self.got["submit"].values():
            submission = Submission.from_bytes(parts[0], self.manifest)
            self.submissions[hub.require_intact(submission).client] = submission
        self.submitters = set(self.got["submit"])
        headers = [submission.header.to_bytes() for _, submission in sorted(self.submissions.items())]
        return self.ask(self.aggregators, "vote", headers)

    def _after_vote(self) -> list[Packet]:
        return self.ask(self.aggregators, "commit", self.words("vote"))

    def _after_commit(self) -> list[Packet]:
        votes = self._parsed("vote")
        self.entries = hub.choose_roster(self.manifest, votes)
        total, _ = hub.add_shares(self.manifest, votes[0].sid, self.entries, lambda i: self.submissions[i].share)
        self.total = replace(total, share=self.shift(total.share))
        self.commitment = HubCommitment(total.sid, commit_to_sum(total.sid, self.total.share))
        return self.ask(self.aggregators, "agree", [*self.words("commit"), self.commitment.to_bytes()])

    def _after_agree(self) -> list[Packet]:
        return self.ask(self.aggregators, "open", self.words("agree"))

    def _after_open(self) -> list[Packet]:
        return self.ask(self.aggregators, "certify", [*self.words("open"), self.total.to_bytes()])

    def _after_certify(self) -> list[Packet]:
        group_check = self.submissions[self.entries[0][0]].header.group_check
        self.delivery = hub.deliver(
            self.manifest,
            group_check,
            self.entries,
            (self.commitment, self._parsed("commit")),
            (self.total, self._parsed("open")),
            self._parsed("certify"),
        )
        return self.ask(self.clients, "check", [self.delivery.to_bytes()])

    def _after_closing(self) -> list[Packet]:
        words = self.words("closing")
        self.got["closing"].clear()
        return self.ask(self.clients, "settle", words)

    # Set-up

    def _after_key(self) -> list[Packet]:
        return self.ask(self.clients, "seal", self.words("key"))

    def set_up(self) -> list[Packet]:
        """Pass on what the clients sealed, once all have."""
        packets, sealed = [], self.got["seal"]
        for name in self.clients:
            parts = zip(self.aggregators, sealed[name][:-1], strict=True)
            packets += [Packet(HUB, receiver, "stream", (part,)) for receiver, part in parts]
        leader = self.clients[self.manifest.leader - 1]
        return [*packets, Packet(HUB, leader, "lead", tuple(sealed[name][-1] for name in self.clients))]

    def hand_out_group_keys(self) -> list[Packet]:
        """Pass on what the leader sealed, and start."""
        leader = self.clients[self.manifest.leader - 1]
        parts = self.got["lead"][leader]
        packets = [Packet(HUB, name, "group", (part,)) for name, part in zip(self.clients, parts, strict=True)]
        return packets + self.ask([*self.aggregators, *self.clients], "start", [])

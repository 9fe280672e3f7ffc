"""The hub for tests: the host that ships, and what an adversary who holds it does otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cached_property
from typing import Any

from privateyes.aggregation import hub
from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.messages import HubCommitment, HubSum, Submission
from privateyes.crypto.commitment import commit_to_sum
from privateyes.crypto.signature import SigningKey
from privateyes.parties.hub import HubHost, HubSession, Named
from privateyes.parties.packets import Packet

__all__ = ["HubActor", "HubSession", "Named"]


class _Session(HubSession):
    """A session of a hub that may be corrupt."""

    owner: HubActor

    @property
    def headers(self) -> list[Any]:
        return self.owner.one_kind(submission.header for _, submission in sorted(self.submissions.items()))

    @cached_property
    def total(self) -> HubSum:
        """C, with what a corrupt hub does to it."""
        return replace(super().total, share=self.owner.shift(super().total.share))

    @cached_property
    def commitment(self) -> HubCommitment:
        return HubCommitment(self.sid, commit_to_sum(self.sid, self.total.share, self.manifest.bulk_hash))

    def _for_open(self) -> list[Any]:
        if self.owner.careful:
            return super()._for_open()
        self.owner.begin_to_open(self.sid)
        return self.words("agree")

    def deliver(self) -> list[Packet]:
        """A hub that is not careful lets the aggregators forget the session before every client has the result."""
        return [*([] if self.owner.careful else self.finish()), *super().deliver()]


class HubActor(HubHost):
    """The relay.

    Attributes:
        shift: what a corrupt one does to C before it commits to it.
        one_kind: how it chooses the headers that it passes on.
        careful: whether it does all that an honest one does; if not, it passes on whatever can be parsed.
    """

    session_type = _Session

    def __init__(self, manifest: Manifest, key: SigningKey) -> None:
        self.shift: Callable[[Any], Any] = lambda share: share
        self.one_kind: Callable[[Iterable[Any]], list[Any]] = hub.one_kind
        self.careful = False
        super().__init__(manifest, key)

    def lose(self) -> None:
        """Its disk is gone."""
        self.forget()

    def drop(self, sid: bytes) -> None:
        """An adversary forgets nothing."""

    def receive(self, packet: Packet) -> list[Packet]:
        """Keep an answer; the requests that it makes possible."""
        return list(self.handle(packet).packets)

    def require_signed(self, sender: str, messages: Any) -> None:
        if self.careful:
            super().require_signed(sender, messages)

    def require_intact(self, submission: Submission) -> None:
        if self.careful:
            super().require_intact(submission)

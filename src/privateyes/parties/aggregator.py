"""An aggregator's host. It stores its memory, and each session's share from COMMIT until nobody needs it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from privateyes.aggregation.aggregator import Aggregator
from privateyes.aggregation.memory import AggregatorMemory
from privateyes.aggregation.messages import (
    AggregatorKey,
    Agreement,
    Header,
    HubCommitment,
    HubRequest,
    HubSum,
    Opening,
    Origin,
    RosterCommitment,
    Vote,
)
from privateyes.aggregation.setup import AggregatorSetup
from privateyes.aggregation.steps import OwnShare
from privateyes.crypto.commitment import SALT_BYTES
from privateyes.errors import MalformedError, RefusedError, RunDirectoryError
from privateyes.parties.effects import Answer, Draw, Host, Name
from privateyes.parties.packets import Packet, aggregator_name, of_kind, one_of_kind, setup_named


class AggregatorHost(Host):
    """One aggregator, with its key.

    Bodies: ("memory", H(manifest)), an AggregatorMemory; ("share", sid), elements.
    """

    own: Aggregator

    def __init__(self, own: Aggregator, draw: Draw = secrets.token_bytes) -> None:
        super().__init__(aggregator_name(own.number), own, draw)
        self._committed: tuple[bytes, OwnShare] | None = None
        """The session and the share that it committed to last in this process: as long as its store shows that very
        vector, it need not be hashed again.
        """

    # A round

    def do_announce(self, packet: Packet) -> Answer:
        """Store the round as announced, and sign it; this closes every earlier one."""
        return self._said(self.own.announce(self.held(), self._request(packet)))

    def do_vote(self, packet: Packet) -> Answer:
        """Say which headers may be in the roster."""
        messages, memory = packet.messages(self.manifest), self.held()
        headers, origin = of_kind(messages, Header), one_of_kind(messages, Origin)
        return self._said(self.own.vote(memory, packet.subject(), headers, origin))

    def do_commit(self, packet: Packet) -> Answer:
        """Compute the roster's streams, whose sum is this aggregator's share, and commit to it."""
        messages, memory = packet.messages(self.manifest), self.held()
        votes, headers, origin = of_kind(messages, Vote), of_kind(messages, Header), one_of_kind(messages, Origin)
        step = self.own.commit(memory, headers, votes, self.draw(SALT_BYTES), origin)
        if step.share is None:
            return self._said(step)
        self._committed = step.message.sid, step.share
        return self._said(step, {("share", step.message.sid): step.share.elements})

    def do_agree(self, packet: Packet) -> Answer:
        """Sign T, which holds everybody's commitment."""
        messages = packet.messages(self.manifest)
        total = _required(one_of_kind(messages, HubCommitment))
        return self._said(self.own.agree(self.held(), of_kind(messages, RosterCommitment), total))

    def do_open(self, packet: Packet) -> Answer:
        """Show the share, once all have signed one T."""
        agreements: list[Agreement] = packet.messages(self.manifest)
        sid = agreements[0].sid if agreements else b""
        share = self._share(sid)
        if share is None:
            self._require_not_lost(sid, "nothing of it is stored")
            raise RefusedError(f"{self.name} stores no share of that session", "go on with the last one")
        return self._said(self.own.open(self.held(), share, agreements))

    def do_certify(self, packet: Packet) -> Answer:
        """Check everybody's opening, and sign the result."""
        messages = packet.messages(self.manifest)
        openings, total = of_kind(messages, Opening), _required(one_of_kind(messages, HubSum))
        own_share = self._share_at_hand(total.sid)
        if own_share is None and all(opening.aggregator != self.own.number for opening in openings):
            own_share = self._share(total.sid)  # a hub that lost its opening is given it back
        return self._said(self.own.certify(self.held(), openings, total, own_share))

    def do_finish(self, packet: Packet) -> None:
        """Forget a session on whose result all signed: the share and the words of it are needed no more."""
        after, self._committed = self.own.finish(self.held(), packet.messages(self.manifest)), None
        if after is not None:
            self.store(after, self._erased(after))

    # After a round that did not end

    def do_closing(self, packet: Packet) -> Answer:
        """Say how an earlier session ended: opened, or void."""
        return [self.own.closing(self.held(), self._request(packet))]

    def do_give_up(self, packet: Packet) -> Answer:
        """Give the last session up, and erase its share, unless it was opened."""
        return self._said(self.own.give_up(self.held(), self._request(packet)))

    def do_words(self, packet: Packet) -> Answer:
        """Repeat all that it said in a session, for a hub that lost it."""
        sid = packet.subject()
        words = self.own.words(self.held(), sid)
        com_0 = HubCommitment(sid, words.commitments[0]) if words.commitments else None
        said = (words.vote, words.commitment, words.agreement, com_0, words.opening, words.result)
        return [message for message in said if message is not None]

    # Set-up

    def do_key(self, packet: Packet) -> Answer:
        """Offer a fresh sealing key for a set-up; an earlier offer is gone."""
        own = self.own
        self.setup = AggregatorSetup(own.manifest, own.number, own.identity, *setup_named(packet.subject()))
        return [self.setup.key()]

    def do_bind(self, packet: Packet) -> None:
        """Fix the set-up by the n keys that were offered, once and for all, before anything is unsealed."""
        messages = packet.messages(self.manifest)
        request = _required(one_of_kind(messages, HubRequest))
        memory, keys = self.seen.get("memory", self.slot), of_kind(messages, AggregatorKey)
        bound = self.begun().bind(memory, keys, request)
        self.store(bound, self._erased(bound))

    def do_stream(self, packet: Packet) -> None:
        """Take the first keys of clients' streams."""
        for message in packet.messages(self.manifest):
            self.begun().receive(self.held(), message)

    def do_start(self, packet: Packet) -> None:  # noqa: ARG002 - as every handler
        """Begin with the clients whose keys came."""
        self.store(self.begun().start(self.held()))
        self.setup = None

    # What it keeps

    def _said(self, step: Any, bodies: Mapping[Name, Any] | None = None) -> Answer:
        if step.memory is not None:
            self.store(step.memory, {**(bodies or {}), **self._erased(step.memory)})
        return [step.message]

    def _erased(self, memory: AggregatorMemory) -> dict[Name, None]:
        """The shares that nobody needs any more."""
        last = memory.session
        needed = set(memory.unfinished)
        if last is not None and not last.given_up and not last.finished:
            needed.add(last.sid)
        if self._committed is not None and self._committed[0] not in needed:
            self._committed = None
        return {name: None for name in self.seen.bodies if name[0] == "share" and name[1] not in needed}

    def _share_at_hand(self, sid: bytes) -> OwnShare | None:
        committed, own_share = self._committed or (b"", None)
        if own_share is None or committed != sid or self.seen.get("share", sid) is not own_share.elements:
            return None
        return own_share

    def _share(self, sid: bytes) -> OwnShare | None:
        at_hand = self._share_at_hand(sid)
        if at_hand is not None:
            return at_hand
        try:
            elements = self.elements("share", sid, self.manifest.share_elements)
        except (RunDirectoryError, MalformedError) as error:
            self._require_not_lost(sid, error.problem)
            raise
        return None if elements is None else self.own.own_share(elements)

    def _require_not_lost(self, sid: bytes, how: str) -> None:
        record = self.held().record_of(sid)
        if record is not None and record.commitments and not record.given_up and not record.finished:
            raise RunDirectoryError(f"the share of {self.name} in a session that was agreed on is lost: {how}")

    def _request(self, packet: Packet) -> HubRequest:
        requests: list[HubRequest] = packet.messages(self.manifest)
        if len(requests) != 1:
            raise MalformedError("not one request")
        return requests[0]


def _required(message: Any) -> Any:
    if message is None:
        raise MalformedError("the hub's own message is missing")
    return message

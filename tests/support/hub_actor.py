"""The hub as an actor: a relay that asks everyone for the next step as soon as it has what that takes.

Everything about a session stands in one place, so a hub that lost its disk asks for it and goes on from there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from packets import ANSWERS, HUB, Packet
from privateyes.aggregation import hub
from privateyes.aggregation.keys import session_id, setup_id
from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.messages import (
    ANNOUNCE,
    BIND,
    AggregatorKey,
    Announcement,
    HubCommitment,
    HubRequest,
    Opening,
    OpeningReceipt,
    Origin,
    SealedGroupKey,
    Signed,
    Submission,
)
from privateyes.crypto.commitment import commit_to_sum
from privateyes.crypto.labels import Role
from privateyes.crypto.signature import SigningKey
from privateyes.errors import AbortError, MalformedError

STEPS = ("announce", "submit", "vote", "commit", "agree", "open", "certify")
"""A session's steps, in order; an answer to one of these."""


@dataclass(frozen=True, slots=True)
class Named:
    """A session, as the hub asks for it."""

    setup: bytes
    round: int
    state_id: bytes

    @property
    def sid(self) -> bytes:
        """Its id."""
        return session_id(self.setup, self.round, self.state_id)


class HubSession:
    """What the hub holds of one session.

    Attributes:
        got: the answers to each step, by sender.
        submissions: by client, once the hub waits for no more.
        source: for a session that sends updates again: the messages that say which.
    """

    def __init__(self, owner: HubActor, named: Named, submitters: Iterable[str], source: tuple[Any, ...] = ()) -> None:
        self.owner, self.manifest, self.named, self.sid = owner, owner.manifest, named, named.sid
        self.submitters, self.source = set(submitters), source
        self.got: dict[str, dict[str, tuple[bytes, ...]]] = defaultdict(dict)
        self.submissions: dict[int, Submission] = {}
        self.closed = False
        self.spoke: set[str] = set()
        """Who repeated its words."""

    def receive(self, packet: Packet, message: Any) -> list[Packet]:
        """Keep an answer; the requests that it makes possible."""
        step = "submit" if packet.step in ("again", "resend") else packet.step
        if step == "submit":
            hub.require_intact(self.manifest, message)
        self.got[step][packet.sender] = packet.parts
        if step == "submit" and not self.closed and set(self.got["submit"]) >= self.submitters:
            return self.close_submissions()
        return self.proceed() if step in STEPS and step != "submit" and self._is_complete(step) else []

    def close_submissions(self) -> list[Packet]:
        """Wait for no more clients."""
        self.gather()
        return self.proceed()

    def gather(self) -> None:
        """Take what came from clients."""
        self.closed = True
        came = [Submission.from_bytes(parts[0], self.manifest) for parts in self.got["submit"].values()]
        self.submissions = {submission.header.client: submission for submission in came}

    def proceed(self) -> list[Packet]:
        """The requests of the first step after the last complete one, to those who have not answered."""
        after = max((k + 1 for k, step in enumerate(STEPS) if self._is_complete(step)), default=0)
        if after == len(STEPS) and not self._is_complete("open"):
            after = STEPS.index("open")  # all results are known, and the vectors behind them are not
        if after == len(STEPS):
            # An honest hub lets the aggregators forget the session when every client has the result, and not before.
            return [*([] if self.owner.careful else self.finish()), *self.deliver()]
        step = STEPS[after]
        if step == "submit":
            return self._ask_clients()
        missing = [name for name in self.owner.aggregators if name not in self.got[step]]
        return self.owner.ask(missing, step, getattr(self, f"_for_{step}")())

    def _is_complete(self, step: str) -> bool:
        return self.closed if step == "submit" else len(self.got[step]) == len(self.owner.aggregators)

    @property
    def is_voted(self) -> bool:
        """Whether its roster is fixed."""
        return self._is_complete("vote")

    def words(self, step: str) -> list[bytes]:
        """Every aggregator's answer, in order."""
        return [self.got[step][name][0] for name in self.owner.aggregators if name in self.got[step]]

    def parsed(self, step: str) -> list[Any]:
        """The same, as messages."""
        return [ANSWERS[step][0].from_bytes(word, self.manifest) for word in self.words(step)]

    def _for_announce(self) -> list[bytes]:
        return [self.owner.request(ANNOUNCE, self.named).to_bytes()]

    def _ask_clients(self) -> list[Packet]:
        words, owner = self.words("announce"), self.owner
        missing = sorted(self.submitters - set(self.got["submit"]))
        watching = [name for name in owner.clients if name not in self.submitters]
        step = "again" if self.source else "submit"
        again = [message.to_bytes() for message in self.source]
        return owner.ask(missing, step, [*words, *again]) + owner.ask(watching, "observe", words)

    @property
    def _origin(self) -> list[bytes]:
        return [message.to_bytes() for message in self.source if isinstance(message, Origin)]

    @property
    def headers(self) -> list[Any]:
        """One kind of header, by client."""
        return self.owner.one_kind(submission.header for _, submission in sorted(self.submissions.items()))

    def _for_vote(self) -> list[bytes]:
        return [self.sid, *(header.to_bytes() for header in self.headers), *self._origin]

    def _for_commit(self) -> list[bytes]:
        return [*self.words("vote"), *(header.to_bytes() for header in self.headers), *self._origin]

    @cached_property
    def entries(self) -> Any:
        """The roster."""
        return hub.choose_roster(self.manifest, self.parsed("vote"))

    @cached_property
    def total(self) -> Any:
        """C, with what a corrupt hub does to it."""
        total, _ = hub.add_shares(self.manifest, self.sid, self.entries, lambda i: self.submissions[i].share)
        return replace(total, share=self.owner.shift(total.share))

    @cached_property
    def commitment(self) -> HubCommitment:
        """com_0."""
        return HubCommitment(self.sid, commit_to_sum(self.sid, self.total.share, self.manifest.bulk_hash))

    def _for_agree(self) -> list[bytes]:
        return [*self.words("commit"), self.commitment.to_bytes()]

    def _for_open(self) -> list[bytes]:
        if self.owner.careful and hub.agreed_transcript(self.manifest, self.parsed("agree")) is None:
            raise AbortError("the aggregators signed different transcripts", "give the session up")
        self.owner.opening.add(self.sid)  # durable, before anybody can open
        return self.words("agree")

    def _for_certify(self) -> list[bytes]:
        return [*self.words("open"), self.total.to_bytes()]

    @property
    def group_check(self) -> bytes:
        """kc of the roster."""
        value: bytes = self.submissions[self.entries[0][0]].header.group_check
        return value

    @property
    def origin(self) -> Origin:
        """The roster, as a later session names it."""
        return Origin(self.sid, self.group_check, self.entries)

    def finish(self) -> list[Packet]:
        """All result signatures, to every aggregator: none of its words is needed any more."""
        return self.owner.ask(self.owner.aggregators, "finish", self.words("certify"))

    def deliver(self) -> list[Packet]:
        """The result, to every client."""
        self.delivery = hub.deliver(
            self.manifest,
            self.group_check,
            self.entries,
            (self.commitment, self.parsed("commit")),
            (self.total, self.parsed("open")),
            self.parsed("certify"),
        )
        return self.owner.ask(self.owner.clients, "check", [self.delivery.to_bytes()])

    # Recovery

    def take_words(self, sender: str, messages: Iterable[Any]) -> None:
        """File what an aggregator said again."""
        self.spoke.add(sender)
        kinds = {ANSWERS[step][0]: step for step in ("vote", "commit", "agree", "certify")}
        for message in messages:
            if isinstance(message, OpeningReceipt):
                self.owner.opening.add(self.sid)
            elif type(message) in kinds:
                self.got[kinds[type(message)]][sender] = (message.to_bytes(),)

    def may_go_on(self) -> bool:
        """Whether it can be finished; if not, it is to be given up. With n agreements, only on the sum in them."""
        if not self.is_voted:
            return True
        if not {client for client, _ in self.entries} <= set(self.submissions):
            return False
        agreements = self.parsed("agree")
        transcript = hub.agreed_transcript(self.manifest, agreements)
        if transcript is None:
            return len({agreement.transcript for agreement in agreements}) < 2
        commitments = self.parsed("commit")
        try:
            hub.require_agreed_sum(self.commitment, commitments[0].rho, commitments, transcript)
        except AbortError:
            return False
        return True


class HubActor:
    """The relay.

    Attributes:
        shift: what a corrupt one does to C before it commits to it.
        one_kind: how it chooses the headers that it passes on.
        sessions: everything that it knows, by sid.
        opening: the sessions whose n agreements it passed on; none of them is given up.
        careful: whether it checks every signature before it keeps a word, as an honest one does.
        setup: the current one.
    """

    name = HUB

    def __init__(self, manifest: Manifest, key: SigningKey) -> None:
        self.manifest, self.key, self.slot = manifest, key, manifest.digest()
        self.aggregators = [f"aggregator {s}" for s in range(1, len(manifest.aggregators) + 1)]
        self.clients = [f"client {i}" for i in range(1, len(manifest.clients) + 1)]
        self.shift: Callable[[Any], Any] = lambda share: share
        self.one_kind: Callable[[Iterable[Any]], list[Any]] = hub.one_kind
        self.setup, self.members, self.leader = b"", list(self.clients), ""
        self.careful = self.offering = False
        self.made: dict[str, dict[str, tuple[bytes, ...]]] = defaultdict(dict)
        self.lose()

    def lose(self) -> None:
        """Its disk is gone."""
        self.sessions: dict[bytes, HubSession] = {}
        self.opening: set[bytes] = set()
        self.closings: dict[bytes, dict[str, bytes]] = defaultdict(dict)

    def ask(self, everyone: Iterable[str], step: str, parts: Iterable[bytes]) -> list[Packet]:
        """One request to each."""
        held = tuple(parts)
        return [Packet(HUB, name, step, held) for name in everyone]

    def request(self, action: int, named: Named) -> HubRequest:
        """What only the hub may ask for."""
        unsigned = HubRequest(action, named.setup, named.round, named.state_id)
        return unsigned.signed_by(self.key, named.setup)

    def know(self, named: Named) -> HubSession:
        """A session of which it knows nothing but that it was announced."""
        self.session = self.sessions.setdefault(named.sid, HubSession(self, named, self.clients))
        return self.session

    def announce(self, named: Named, submitters: Iterable[str], source: tuple[Any, ...] = ()) -> list[Packet]:
        """Start a round."""
        self.session = self.sessions[named.sid] = HubSession(self, named, submitters, source)
        return self.session.proceed()

    def receive(self, packet: Packet) -> list[Packet]:
        """Keep an answer; the requests that it makes possible."""
        messages = packet.messages(self.manifest)  # a hub refuses what no party could parse
        if self.careful:
            for message in messages:
                _require_from(self.manifest, packet.sender, message)
        if packet.step in ("key", "seal", "lead", "vouch", "give"):
            return self._file(packet)
        if packet.step == "words":
            self._hear(packet.sender, messages)
        if not messages or packet.step == "words":
            return []
        message = messages[0]
        sid = _sid_of(message)
        if packet.step == "closing":
            return self._close(packet.sender, sid, packet.parts[0])
        session = self.sessions.get(sid)
        if session is None:
            return []
        return session.receive(packet, message)

    def _hear(self, sender: str, messages: Sequence[Any]) -> None:
        """What an aggregator said again; where it said nothing yet, of the session that was asked about last."""
        session = self.sessions.get(_sid_of(messages[0])) if messages else self.session
        if session is not None:
            session.take_words(sender, messages)

    def _close(self, sender: str, sid: bytes, word: bytes) -> list[Packet]:
        words = self.closings[sid]
        words[sender] = word
        if len(words) < len(self.aggregators):
            return []
        self.closings.pop(sid)
        return self.ask(self.clients, "settle", [words[name] for name in self.aggregators])

    # Set-up

    def offer(self, label: bytes, members: Iterable[str]) -> list[Packet]:
        """Ask for the keys of a new set-up among these clients."""
        self.made.clear()
        self.members, self.offering = list(members), True
        return self.ask(self.aggregators, "key", [label])

    def _file(self, packet: Packet) -> list[Packet]:
        """Keep an answer of the set-up; a key that comes when all were passed on is too late."""
        made = self.made[packet.step]
        if packet.step == "key" and (len(made) == len(self.aggregators) or not self.offering):
            return []
        made[packet.sender] = packet.parts
        return self._bind() if packet.step == "key" and len(made) == len(self.aggregators) else []

    def _bind(self) -> list[Packet]:
        words = [self.made["key"][name][0] for name in self.aggregators]
        keys = [AggregatorKey.from_bytes(word, self.manifest) for word in words]
        self.setup = setup_id(self.slot, keys[0].epoch, keys[0].leader, [key.public_key for key in keys])
        self.leader = f"client {keys[0].leader}"
        request = self.request(BIND, Named(self.setup, 0, bytes(32)))
        return self.ask(self.aggregators, "bind", [*words, request.to_bytes()]) + self.ask(self.members, "seal", words)

    def pass_on_sealed(self) -> list[Packet]:
        """Pass on what the clients sealed."""
        packets, sealed = [], self.made["seal"]
        for parts in sealed.values():
            packets += [
                Packet(HUB, receiver, "stream", (part,))
                for receiver, part in zip(self.aggregators, parts[:-1], strict=True)
            ]
        keys = tuple(sealed[name][-1] for name in sorted(sealed))
        return [*packets, Packet(HUB, self.leader, "lead", keys)]

    def hand_out_group_keys(self) -> list[Packet]:
        """Pass on what the leader sealed."""
        parts = self.made["lead"].get(self.leader, ())
        sealed = [SealedGroupKey.from_bytes(part, self.manifest) for part in parts]
        return [Packet(HUB, f"client {own.recipient}", "group", (own.to_bytes(),)) for own in sealed]


def _require_from(manifest: Manifest, sender: str, message: Any) -> None:
    """Refuse what the sender did not sign: it would be passed on, and nobody could use it."""
    if isinstance(message, Submission | Opening):
        message = message.header if isinstance(message, Submission) else message.receipt(manifest.bulk_hash)
    if not isinstance(message, Signed):
        return
    role, number = sender.split()
    if message.role != role or message.signer != int(number):
        raise MalformedError(f"a message of {message.role} {message.signer} came from {sender}")
    parties = manifest.aggregators if role == Role.AGGREGATOR else manifest.clients
    context = manifest.digest() if isinstance(message, AggregatorKey) else getattr(message, "sid", b"")
    message.require_signature_of(parties[int(number) - 1].public_key, context or message.setup)


def _sid_of(message: Any) -> bytes:
    if isinstance(message, Announcement):
        return session_id(message.setup, message.round, message.state_id)
    sid: bytes = message.header.sid if isinstance(message, Submission) else message.sid
    return sid

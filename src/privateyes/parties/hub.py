"""The hub's host: it asks everyone for the next step as soon as it has what that takes.

A round is the table ``STEPS``: what the hub asks for. Everything about a session stands in one place, so a hub that
lost its disk asks for it once more and goes on from there. Nobody trusts what the hub decides; that no honest party
waits for ever is its part (protocol, "Liveness").
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from privateyes.aggregation import hub
from privateyes.aggregation.keys import session_id, setup_id
from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.messages import (
    ANNOUNCE,
    BIND,
    CLOSING,
    GIVE_UP,
    VOID,
    AggregatorKey,
    Announcement,
    ClientKey,
    Delivery,
    Header,
    HubCommitment,
    HubRequest,
    HubSum,
    Opening,
    OpeningReceipt,
    Origin,
    Signed,
    Submission,
)
from privateyes.aggregation.roster import Entries
from privateyes.crypto.labels import Role
from privateyes.crypto.lanes import ONE_LANE, Lanes
from privateyes.crypto.signature import SigningKey
from privateyes.errors import AbortError, MalformedError
from privateyes.parties.again import Again
from privateyes.parties.effects import Effects, View, Write
from privateyes.parties.packets import (
    ANSWERS,
    HUB,
    Packet,
    Part,
    aggregator_name,
    client_name,
    label_of_setup,
)

STEPS: Final = ("announce", "submit", "vote", "commit", "agree", "open", "certify")
"""What a round takes, in order. The clients are asked to submit, the aggregators for everything else."""


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

    Args:
        owner: the hub.
        named: the session.
        submitters: the clients that are asked to submit, by name; the others follow.
        source: for a session that sends updates again: the messages that say which.

    Attributes:
        got: the answers to each step, by sender.
        submissions: by client, once the hub waits for no more.
        spoke: who repeated its words.
        delivery: what every client is shown.
    """

    def __init__(self, owner: HubHost, named: Named, submitters: Iterable[str], source: tuple[Any, ...] = ()) -> None:
        self.owner, self.manifest, self.named, self.sid = owner, owner.manifest, named, named.sid
        self.submitters, self.source = set(submitters), source
        self.got: dict[str, dict[str, tuple[Part, ...]]] = defaultdict(dict)
        self.submissions: dict[int, Submission] = {}
        self.closed = False
        self.spoke: set[str] = set()
        self.delivery: Delivery | None = None

    # A round

    def receive(self, packet: Packet, message: Any) -> list[Packet]:
        """Keep an answer; the requests that it makes possible."""
        step = "submit" if packet.step in ("again", "resend") else packet.step
        if step == "submit":
            self.owner.require_intact(message)
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
        came = [self.owner.read(name, "submit", parts)[0] for name, parts in self.got["submit"].items()]
        self.submissions = {submission.header.client: submission for submission in came}

    def proceed(self) -> list[Packet]:
        """The requests of the first step after the last complete one, to those who have not answered."""
        after = max((k + 1 for k, step in enumerate(STEPS) if self._is_complete(step)), default=0)
        if after == len(STEPS) and not self._is_complete("open"):
            after = STEPS.index("open")  # all results are known, and the vectors behind them are not
        if after == len(STEPS):
            return self.deliver()
        step = STEPS[after]
        if step == "submit":
            return self._ask_clients()
        missing = [name for name in self.owner.aggregators if name not in self.got[step]]
        return self.owner.ask(missing, step, getattr(self, f"_for_{step}")())

    def _is_complete(self, step: str) -> bool:
        return self.closed if step == "submit" else len(self.got[step]) == len(self.owner.aggregators)

    def words(self, step: str) -> list[Part]:
        """Every aggregator's answer, in order."""
        return [self.got[step][name][0] for name in self.owner.aggregators if name in self.got[step]]

    def parsed(self, step: str) -> list[Any]:
        """The same, as messages."""
        said = self.got[step]
        return [self.owner.read(name, step, said[name])[0] for name in self.owner.aggregators if name in said]

    def _for_announce(self) -> list[Part]:
        return [self.owner.request(ANNOUNCE, self.named)]

    def _ask_clients(self) -> list[Packet]:
        words, owner = self.words("announce"), self.owner
        missing = sorted(self.submitters - set(self.got["submit"]))
        watching = [name for name in owner.clients if name not in self.submitters]
        step = "again" if self.source else "submit"
        again = list(self.source)
        return owner.ask(missing, step, [*words, *again]) + owner.ask(watching, "observe", words)

    @property
    def _origin(self) -> list[Part]:
        return [message for message in self.source if isinstance(message, Origin)]

    @property
    def headers(self) -> list[Header]:
        """One kind of header, by client."""
        return hub.one_kind(submission.header for _, submission in sorted(self.submissions.items()))

    def _for_vote(self) -> list[Part]:
        return [self.sid, *self.headers, *self._origin]

    def _for_commit(self) -> list[Part]:
        return [*self.words("vote"), *self.headers, *self._origin]

    @cached_property
    def entries(self) -> Entries:
        """The roster."""
        return hub.choose_roster(self.manifest, self.parsed("vote"))

    @cached_property
    def _added(self) -> tuple[HubSum, HubCommitment]:
        return hub.add_shares(
            self.manifest, self.sid, self.entries, lambda i: self.submissions[i].share, self.owner.lanes
        )

    @property
    def total(self) -> HubSum:
        """C."""
        return self._added[0]

    @property
    def commitment(self) -> HubCommitment:
        """com_0."""
        return self._added[1]

    def _for_agree(self) -> list[Part]:
        return [*self.words("commit"), self.commitment]

    def _for_open(self) -> list[Part]:
        if hub.agreed_transcript(self.manifest, self.parsed("agree")) is None:  # no aggregator would open it
            raise AbortError("the aggregators signed different transcripts", "somebody altered a commitment: try again")
        again = Again(self.origin, tuple(self.parsed("commit")))
        self.owner.begin_to_open(self.sid, again.to_bytes())
        return self.words("agree")

    def _for_certify(self) -> list[Part]:
        return [*self.words("open"), self.total]

    @property
    def group_check(self) -> bytes:
        """kc of the roster."""
        return self.submissions[self.entries[0][0]].header.group_check

    @property
    def origin(self) -> Origin:
        """The roster, as a later session names it."""
        return Origin(self.sid, self.group_check, self.entries)

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
        return self.owner.ask(self.owner.clients, "check", [self.delivery])

    def finish(self) -> list[Packet]:
        """All result signatures, to every aggregator: none of its words is needed any more. An honest hub waits for
        that until every client has the result, and then holds nothing of the session itself.
        """
        asked = self.owner.ask(self.owner.aggregators, "finish", self.words("certify"))
        self.owner.drop(self.sid)
        return asked

    # Recovery

    def take_words(self, sender: str, messages: Iterable[Any]) -> None:
        """File what an aggregator said again."""
        self.spoke.add(sender)
        kinds = {ANSWERS[step][0]: step for step in ("vote", "commit", "agree", "certify")}
        for message in messages:
            if isinstance(message, OpeningReceipt):
                self.owner.begin_to_open(self.sid)
            elif type(message) in kinds:
                self.got[kinds[type(message)]][sender] = (message,)

    @property
    def is_voted(self) -> bool:
        """Whether its roster is fixed."""
        return self._is_complete("vote")

    def may_go_on(self) -> bool:
        """Whether it can be finished; if not, it is to be given up. With n agreements, only on the sum in them."""
        if not self.is_voted:
            return True
        if not {client for client, _ in self.entries} <= set(self.submissions):
            return False
        agreements = self.parsed("agree")
        if hub.agreed_transcript(self.manifest, agreements) is None:
            return len({agreement.transcript for agreement in agreements}) < 2
        try:
            self.require_agreed_sum()
        except AbortError:
            return False
        return True

    def require_agreed_sum(self) -> None:
        """Hold the sum of what clients sent again against the one that all aggregators signed.

        Raises:
            AbortError: it is another one, or not all signed one.
        """
        transcript = hub.agreed_transcript(self.manifest, self.parsed("agree"))
        if transcript is None:
            raise AbortError("not all aggregators agreed on that session", "give it up")
        commitments = self.parsed("commit")
        hub.require_agreed_sum(self.commitment, commitments[0].rho, commitments, transcript)


class HubHost:
    """The hub.

    Bodies: ("opening", sid), an ``Again``: n agreements of that session were passed on, and it is never given up. Empty
    where it learnt that from an aggregator.

    Args:
        manifest: the task's.
        key: the hub's, which its requests are signed with.
        view: what it stored.
        lanes: what large vectors are worked on with.

    Attributes:
        sessions: what it knows of those that have not ended, by sid.
        opening: the sessions whose n agreements it passed on.
        setup: the current one.
    """

    name = HUB
    session_type = HubSession
    session: HubSession

    def __init__(self, manifest: Manifest, key: SigningKey, view: View | None = None, lanes: Lanes = ONE_LANE) -> None:
        self.manifest, self.key, self.slot, self.lanes = manifest, key, manifest.digest(), lanes
        self.aggregators = [aggregator_name(s) for s in manifest.aggregator_numbers]
        self.clients = [client_name(i) for i in range(1, len(manifest.clients) + 1)]
        self.setup, self.members, self.leader = b"", list(self.clients), ""
        self.offering = False
        self.made: dict[str, dict[str, tuple[Part, ...]]] = defaultdict(dict)
        """The answers of a set-up, by step and sender."""
        self.forget()
        if view is not None:
            self.opening |= {sid for kind, sid in view.bodies if kind == "opening"}

    def forget(self) -> None:
        """Know nothing of any session, as after its disk was lost."""
        self.sessions: dict[bytes, HubSession] = {}
        self.opening: set[bytes] = set()
        self.closings: dict[bytes, dict[str, Part]] = {}
        self._bodies: dict[tuple[str, bytes], bytes] = {}

    def drop(self, sid: bytes) -> None:
        """Hold nothing more of a session that has ended: its vectors are as large as all clients' updates."""
        session = self.sessions.pop(sid, None)
        if session is not None and session is self.session:
            self.session = self.session_type(self, session.named, ())

    def begin_to_open(self, sid: bytes, again: bytes = b"") -> None:
        """From here on this session is never given up; stored before anybody is asked to open."""
        if again or sid not in self.opening:  # once more where it is asked for again: the write may have failed
            self._bodies["opening", sid] = again
        self.opening.add(sid)

    def effects(self, packets: Sequence[Packet]) -> Effects:
        """Requests, with what must be stored before they are sent."""
        bodies, self._bodies = self._bodies, {}
        return Effects(Write(bodies) if bodies else None, tuple(packets))

    def ask(self, everyone: Iterable[str], step: str, parts: Iterable[Part]) -> list[Packet]:
        """One request to each."""
        held = tuple(parts)
        return [Packet(HUB, name, step, held) for name in everyone]

    def read(self, sender: str, step: str, parts: tuple[Part, ...]) -> list[Any]:
        """An answer's messages."""
        return Packet(sender, HUB, step, parts).messages(self.manifest)

    def request(self, action: int, named: Named) -> HubRequest:
        """What only the hub may ask for."""
        unsigned = HubRequest(action, named.setup, named.round, named.state_id)
        return unsigned.signed_by(self.key, named.setup)

    # A round

    def announce(self, named: Named, submitters: Iterable[str], source: tuple[Any, ...] = ()) -> Effects:
        """Start a round."""
        self.session = self.sessions[named.sid] = self.session_type(self, named, submitters, source)
        return self.effects(self.session.proceed())

    def handle(self, packet: Packet) -> Effects:
        """Keep an answer; the requests that it makes possible.

        Raises:
            MalformedError: it is not what was asked for, or not signed by whoever sent it: nobody could use it.
            ProtocolError: what came does not fit together, and nothing follows from it.
        """
        return self.effects(self._receive(packet))

    def _receive(self, packet: Packet) -> list[Packet]:
        if packet.sender not in (*self.aggregators, *self.clients):
            raise MalformedError(f"{packet.sender!r} is no party of this task")
        messages = packet.messages(self.manifest)
        self.require_signed(packet.sender, messages)
        if packet.step in ("key", "seal", "lead", "vouch", "give"):
            return self._file(packet, messages)
        if packet.step == "words":
            self._hear(packet.sender, messages)
        if not messages or packet.step == "words":
            return []
        message = messages[0]
        sid = _sid_of(message)
        if packet.step == "closing":
            return self._close(packet.sender, sid, packet.parts[0])
        session = self.sessions.get(sid)
        return [] if session is None else session.receive(packet, message)

    def require_signed(self, sender: str, messages: Sequence[Any]) -> None:
        """Refuse what the sender did not sign.

        Raises:
            MalformedError: a signature does not verify, or is another party's.
        """
        for message in messages:
            _require_from(self.manifest, sender, message, self.lanes)

    def require_intact(self, submission: Submission) -> None:
        """Refuse a submission that would spoil the round for the others.

        Raises:
            MalformedError: its header is not signed, or its share does not fit it.
        """
        hub.require_intact(self.manifest, submission, self.lanes)

    # After a round that did not end

    def know(self, named: Named) -> HubSession:
        """A session of which it knows nothing but that it was announced."""
        self.session = self.sessions.setdefault(named.sid, self.session_type(self, named, self.clients))
        return self.session

    def look(self, named: Named) -> Effects:
        """Ask everybody for what they said and sent in a session."""
        heard, session = self.hear_again(named), self.session
        return self.effects([*heard.packets, *self.ask(self.clients, "resend", [session.sid])])

    def hear_again(self, named: Named) -> Effects:
        """Ask the aggregators for what they said in a session."""
        session = self.know(named)
        return self.effects(self.ask(self.aggregators, "words", [session.sid]))

    def give_up(self, named: Named) -> Effects:
        """Ask everyone to give a session up."""
        return self.effects(self.ask(self.aggregators, "give_up", [self.request(GIVE_UP, named)]))

    def settle(self, named: Named) -> Effects:
        """Ask everyone how an earlier session ended, to show the answers to the clients."""
        self.closings[named.sid] = {}
        return self.effects(self.ask(self.aggregators, "closing", [self.request(CLOSING, named)]))

    def _hear(self, sender: str, messages: Sequence[Any]) -> None:
        """What an aggregator said again; where it said nothing yet, of the session that was asked about last."""
        session = self.sessions.get(_sid_of(messages[0])) if messages else self._asked_last()
        if session is not None:
            session.take_words(sender, messages)

    def _asked_last(self) -> HubSession | None:
        return self.session if self.sessions else None

    def _close(self, sender: str, sid: bytes, word: Part) -> list[Packet]:
        words = self.closings.get(sid)
        if words is None:  # nobody asked
            return []
        words[sender] = word
        if len(words) < len(self.aggregators):
            return []
        self.closings.pop(sid)
        if all(self.read(name, "closing", (part,))[0].outcome == VOID for name, part in words.items()):
            self.drop(sid)
        return self.ask(self.clients, "settle", [words[name] for name in self.aggregators])

    # Set-up

    def offer(self, epoch: int, leader: int, members: Iterable[str]) -> Effects:
        """Ask for the keys of a new set-up among these clients."""
        self.made.clear()
        self.members, self.offering = list(members), True
        return self.effects(self.ask(self.aggregators, "key", [label_of_setup(epoch, leader)]))

    def _file(self, packet: Packet, messages: Sequence[Any]) -> list[Packet]:
        """Keep an answer of the set-up; a key that comes when all were passed on is too late."""
        _require_whole(self.manifest, packet, messages)
        made = self.made[packet.step]
        if packet.step == "key" and (len(made) == len(self.aggregators) or not self.offering):
            return []
        made[packet.sender] = packet.parts
        return self._bind() if packet.step == "key" and len(made) == len(self.aggregators) else []

    def _bind(self) -> list[Packet]:
        words = [self.made["key"][name][0] for name in self.aggregators]
        keys = [self.read(name, "key", self.made["key"][name])[0] for name in self.aggregators]
        self.setup = setup_id(self.slot, keys[0].epoch, keys[0].leader, [key.public_key for key in keys])
        self.leader = client_name(keys[0].leader)
        request = self.request(BIND, Named(self.setup, 0, bytes(32)))
        return self.ask(self.aggregators, "bind", [*words, request]) + self.ask(self.members, "seal", words)

    def pass_on_sealed(self) -> Effects:
        """Pass on what the clients sealed: stream keys to the aggregators, their own keys to the leader."""
        self.offering = False
        packets, sealed = [], self.made["seal"]
        for parts in sealed.values():
            packets += [
                Packet(HUB, receiver, "stream", (part,))
                for receiver, part in zip(self.aggregators, parts[:-1], strict=True)
            ]
        keys = tuple(sealed[name][-1] for name in sorted(sealed))
        return self.effects([*packets, Packet(HUB, self.leader, "lead", keys)])

    def hand_out_group_keys(self) -> Effects:
        """Pass on what the leader sealed."""
        parts = self.made["lead"].get(self.leader, ())
        sealed = self.read(self.leader, "lead", parts)
        return self.effects([Packet(HUB, client_name(own.recipient), "group", (own,)) for own in sealed])

    def start(self, clients: Iterable[str]) -> Effects:
        """Let the aggregators and these clients begin."""
        return self.effects(self.ask([*self.aggregators, *clients], "start", []))


def _require_whole(manifest: Manifest, packet: Packet, messages: Sequence[Any]) -> None:
    """Refuse less than a set-up needs of an answer: what follows takes it apart, and would end the set-up for all."""
    last = {"key": AggregatorKey, "seal": ClientKey}.get(packet.step)
    if last is None:
        return
    streams = list(manifest.aggregator_numbers) if packet.step == "seal" else []
    fits = messages and isinstance(messages[-1], last)
    if not fits or [getattr(message, "aggregator", 0) for message in messages[:-1]] != streams:
        raise MalformedError(f"{packet.sender} did not answer {packet.step} with all that it takes", "ask it again")


def _require_from(manifest: Manifest, sender: str, message: Any, lanes: Lanes) -> None:
    if isinstance(message, Submission | Opening):
        message = message.header if isinstance(message, Submission) else message.receipt(manifest.bulk_hash, lanes)
    if not isinstance(message, Signed):
        return
    role, number = sender.split()
    if message.role != role or message.signer != int(number):
        raise MalformedError(f"a message of {message.role} {message.signer} came from {sender}")
    parties = manifest.aggregators if role == Role.AGGREGATOR else manifest.clients
    context: bytes = (
        manifest.digest() if isinstance(message, AggregatorKey) else getattr(message, "sid", b"") or message.setup  # type: ignore[attr-defined]
    )
    message.require_signature_of(parties[int(number) - 1].public_key, context)


def _sid_of(message: Any) -> bytes:
    if isinstance(message, Announcement):
        return session_id(message.setup, message.round, message.state_id)
    sid: bytes = message.header.sid if isinstance(message, Submission) else message.sid
    return sid

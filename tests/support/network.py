"""The network between the parties, which belongs to the adversary.

Every party is an actor around its real state machine (actors.py, client_actor.py). What passes between two actors is a
Packet of bytes (packets.py). The adversary sees every packet before it arrives and says what arrives instead: nothing,
something later, something altered, an old packet, somebody else's (adversary.py). The hub and the corrupt parties are
the adversary's: by default they play their part, and a test changes what it likes of them. It can sign with corrupt
parties' keys only.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import judging
from actors import AggregatorActor, Fate, Killed
from adversary import Adversary
from client_actor import INITIAL, ClientActor
from disks import Disk
from hub_actor import HubActor, HubSession, Named
from privateyes.aggregation.aggregator import Aggregator
from privateyes.aggregation.functionality import aggregate
from privateyes.aggregation.keys import GroupKey
from privateyes.aggregation.memory import AggregatorMemory
from privateyes.aggregation.messages import (
    CLOSING,
    Announcement,
    HubRequest,
    Opening,
    RosterCommitment,
    Submission,
)
from privateyes.crypto.labels import Role
from privateyes.errors import PrivateyesError
from privateyes.parties.packets import HUB, Packet
from shares import added, shifted, signed, unmasked, with_matching_tags
from solo import Solo
from world import World

_FIRST_EPOCH = 1


@dataclass(frozen=True, slots=True)
class Failure:
    """An error that ended what a party was doing."""

    party: str
    step: str
    error: PrivateyesError


class Network:
    """The parties of one task around an adversary that holds the hub, n - 1 aggregators and perhaps the last client.

    Args:
        world: gives manifest and keys.
        memories: what the parties remember at the start, by the name of the actor; of none, no set-up was made yet.
        honest: the one honest aggregator.
        corrupt_clients: whose keys and memories the adversary has.
        sibling: another task of the same parties; their disks are the same.
    """

    initial = INITIAL
    """The model that the task begins with."""

    def __init__(
        self,
        world: World,
        memories: dict[str, Any],
        honest: int,
        corrupt_clients: Sequence[int],
        sibling: Network | None = None,
    ) -> None:
        self.world, self.manifest, self.field, self.prime = world, world.manifest, world.field, world.prime
        self.n, self.m, self.d = world.n, world.m, world.d
        self.honest, self.liars = honest, [s for s in range(1, world.n + 1) if s != honest]
        self.corrupt_clients = tuple(corrupt_clients)
        self.honest_clients = [i for i in range(1, world.m + 1) if i not in corrupt_clients]
        self.corrupt = {HUB, *(f"aggregator {s}" for s in self.liars), *(f"client {i}" for i in corrupt_clients)}
        self.hub, self.adversary = HubActor(world.manifest, world.hub_key), Adversary()
        self.disks: dict[str, Disk] = defaultdict(Disk) if sibling is None else sibling.disks
        self.tasks: list[Network] = [self] if sibling is None else [*sibling.tasks, self]
        """All tasks of these parties, for the judge."""
        for task in self.tasks:
            task.tasks = self.tasks
        self.aggregators = {s: self._aggregator(own, memories) for s, own in world.aggregators.items()}
        self.clients = {i: self._client(own, memories) for i, own in world.clients.items()}
        self.actors: dict[str, Any] = {HUB: self.hub}
        self.actors |= {actor.name: actor for actor in (*self.aggregators.values(), *self.clients.values())}
        self.met: Counter[tuple[str, str]] = Counter()
        for name, actor in self.actors.items():
            if name != HUB:
                actor.met = self.met
        if memories:
            self.hub.setup = self.aggregators[honest].memory.current.id
        self.epoch, self.round = _FIRST_EPOCH if memories else 0, -1
        self.next_rounds: dict[bytes, int] = defaultdict(int)
        self.sid = self.state_id = b""
        self.patient = False  # whether the hub waits for every client that is to submit
        self.announced: list[Named] = []  # every session that was ever asked for
        self.flight: list[Packet] = []
        self.failures: list[Failure] = []
        self.said: list[tuple[str, Any]] = []
        """What honest parties and corrupt ones alike really sent, in order."""
        self.opened: list[tuple[bytes, bytes]] = []
        """What the honest aggregator revealed: sid and rho."""
        self.kept: dict[int, AggregatorMemory] = {}
        """What corrupt aggregators should have erased: their memories at the announcement."""
        self.inputs: dict[bytes, dict[int, Any]] = defaultdict(dict)
        self.sent: set[bytes] = set()
        """The hashes of all headers that really left their client."""

    def _aggregator(self, own: Aggregator, memories: dict[str, Any]) -> AggregatorActor:
        name = f"aggregator {own.number}"
        disk = self.disks[name]
        if name in memories:
            disk.put("memory", own.manifest.digest(), memories[name])
        return self.actor_of_aggregator(own.number)(own, disk)

    def _client(self, own: Any, memories: dict[str, Any]) -> ClientActor:
        name = f"client {own.number}"
        disk = self.disks[name]
        if name in memories:
            disk.put("memory", own.manifest.digest(), memories[name])
            disk.put("model", own.manifest.digest(), self.initial.to_bytes())
        actor = self.actor_of_client(own.number)(own, disk, self.world.encoded)
        actor.delta, actor.initial = self.world.delta(own.number), self.initial
        return actor

    def actor_of_aggregator(self, number: int) -> type[AggregatorActor]:
        """The class of an aggregator's actor."""
        return AggregatorActor

    def actor_of_client(self, number: int) -> type[ClientActor]:
        """The class of a client's actor."""
        return ClientActor

    # Running

    @property
    def session(self) -> HubSession:
        """The hub's last one."""
        return self.hub.session

    def announce(
        self, *submitters: int, round_number: int | None = None, source: tuple[Any, ...] = (), setup: bytes = b""
    ) -> None:
        """Put the next round's announcement in flight; everybody submits unless named.

        Args:
            source: for a round that sends updates again: origin and commitments.
            setup: the set-up, if not that of the first honest client.
        """
        memory = next(actor.memory for i in self.honest_clients if (actor := self.clients[i]).memory is not None)
        setup = setup or memory.group.setup
        self.round = self.next_rounds[setup] if round_number is None else round_number
        self.next_rounds[setup] = self.round + 1
        named = Named(setup, self.round, memory.state_id)
        self.state_id, self.sid = named.state_id, named.sid
        self.announced.append(named)
        names = [f"client {i}" for i in submitters or self.clients]
        self.flight += self.hub.announce(named, names, source).packets

    def play(self, *submitters: int, until: str = "") -> None:
        """One round, or the part of it before the hub's requests for a step, which then stay in flight."""
        self.announce(*submitters)
        self.run(until)

    def run(self, until: str = "") -> None:
        """Let everything arrive that is in flight or follows from it, but no request for the step ``until``."""
        while True:
            index = next((k for k, packet in enumerate(self.flight) if not self._held(packet, until)), None)
            if index is not None:
                self.carry(self.flight.pop(index))
            elif not self._submissions_time_out():
                return

    @staticmethod
    def _held(packet: Packet, until: str) -> bool:
        return packet.sender == HUB and packet.step == until

    def _submissions_time_out(self) -> bool:
        session = getattr(self.hub, "session", None)
        if self.patient or session is None or session.closed or not session.got["submit"]:
            return False
        if any(packet.step == "submit" for packet in self.flight):
            return False
        self.flight += session.close_submissions()
        return True

    def carry(self, packet: Packet) -> None:
        """One packet passes the adversary and arrives as it likes."""
        for decided in self.adversary.decide(packet.encoded()):
            self.deliver(decided)

    def deliver(self, packet: Packet) -> list[Packet]:
        """Bypass the adversary: the packet arrives. Returns the answers, which are in flight then."""
        actor = self.actors.get(packet.receiver)
        if actor is None:
            return []
        try:
            answers: list[Packet] = actor.receive(packet)
        except PrivateyesError as error:
            self.failures.append(Failure(packet.receiver, packet.step, error))
            return []
        except Killed:
            self.restart(packet.receiver)
            return []
        except (LookupError, AttributeError, TypeError, ValueError, ArithmeticError) as error:
            if actor is self.hub:  # the script may be at a loss; a party may not
                return []
            raise AssertionError(f"{packet.receiver} let {error!r} escape at {packet.step}") from error
        if actor is not self.hub:
            self._after(actor, packet.step, answers)
        self.flight += answers
        return answers

    def _after(self, actor: Any, step: str, answers: Sequence[Packet]) -> None:
        if actor.failure is not None:
            self.failures.append(Failure(actor.name, step, actor.failure))
            actor.failure = None
        for answer in answers:
            self._note(actor, answer)
        try:
            actor.reach(step, "sent")
        except Killed:
            self.restart(actor.name)

    def _note(self, actor: Any, answer: Packet) -> None:
        for message in answer.messages(self.manifest):
            self.said.append((actor.name, message))
            if isinstance(message, Announcement) and actor.name in self.corrupt:
                self.kept[actor.own.number] = actor.memory
            if isinstance(message, Opening) and actor is self.aggregators[self.honest]:
                self._note_opening(actor, message.sid)
            if isinstance(message, Submission):
                header = message.header.hash()
                self.sent.add(header)
                self.inputs[message.header.sid][actor.own.number] = actor.made[header].input

    def _note_opening(self, actor: AggregatorActor, sid: bytes) -> None:
        words = [message for message in self.honest_word(RosterCommitment) if message.sid == sid]
        rho = actor.memory.opened.get(sid) or words[-1].rho
        if (sid, rho) not in self.opened:
            self.opened.append((sid, rho))

    def race(self, *packets: Packet) -> None:
        """Two handlers of one party begin from one snapshot of its disk."""
        actor = self.actors[packets[0].receiver]
        seen = actor.disk.read()
        for packet in packets:
            actor.pinned = seen
            self.deliver(packet)
            actor.pinned = None

    def ask(self, receiver: str, step: str, *parts: Any) -> list[Any]:
        """The corrupt hub asks one party something on its own account; the answer goes to the adversary alone."""
        data = tuple(part if isinstance(part, bytes) else part.to_bytes() for part in parts)
        answers = self.deliver(Packet(HUB, receiver, step, data))
        for answer in answers:
            self.flight.remove(answer)
        return [message for answer in answers for message in answer.messages(self.manifest)]

    # What happens to parties

    def kill(self, name: str, step: str = "", moment: str = "", loses: bool = False) -> None:
        """Kill and restart a party now, or when it next reaches a moment of a step; its disk may go too."""
        if step:
            self.actors[name].fate = Fate(step, moment, loses)
        elif loses:
            self.lose(name)
        else:
            self.actors[name].restart()

    def restart(self, name: str) -> None:
        """A party whose process died begins anew; where its disk is gone, in every task."""
        for task in self.tasks:
            if task is self or not self.actors[name].disk.of_its_key:
                task.actors[name].restart()

    def lose(self, *names: str) -> None:
        """These parties' disks are gone, in every task."""
        for name in names:
            self.actors[name].disk.lose()
            self.restart(name)

    def make_newcomer(self, client: int) -> None:
        """A client that was never in the task, and whose store is the one of its key."""
        actor = self.clients[client]
        actor.disk.clear()
        actor.has_initial = False
        actor.restart()

    # What the hub asks for

    def request(self, action: int, named: Named) -> HubRequest:
        """Signed with the hub's key, which the adversary has."""
        return self.hub.request(action, named)

    def closing(self, name: str, named: Named) -> list[Any]:
        """One aggregator's word on a session, for the adversary alone; none if it refuses."""
        return self.ask(name, "closing", self.request(CLOSING, named))

    def void(self, named: Named, until: str = "") -> None:
        """The hub asks everyone how an earlier session ended, and shows the answers to the clients."""
        self.flight += self.hub.settle(named).packets
        self.run(until)

    def give_up(self, named: Named, until: str = "") -> None:
        """The hub asks everyone to give a session up."""
        self.flight += self.hub.give_up(named).packets
        self.run(until)

    def send_again(self, session: HubSession, *submitters: int, until: str = "") -> None:
        """A round in which clients send the updates of an earlier session again; by default those of its roster."""
        source = (session.origin, *session.parsed("commit"))
        self.announce(*(submitters or [client for client, _ in session.entries]), source=source)
        self.run(until)

    def opened_sum(self, named: Named, group: GroupKey | None = None) -> list[int]:
        """Y and W of an opened session, as whoever holds all openings, C and the group key reads them."""
        session = self.hub.sessions[named.sid]
        shares = [opening.share for opening in session.parsed("open")]
        return self.read(self.add(session.total.share, *shares), len(session.entries), group, named.sid)

    def repeat_words(self, name: str, named: Named) -> None:
        """The hub asks an aggregator for the words that it did not get, and goes on."""
        session = self.hub.sessions[named.sid]
        session.take_words(name, self.ask(name, "words", named.sid))
        self.flight += session.proceed()

    def retry(self) -> None:
        """An honest hub asks again whoever has not answered in its last session; clients for what they stored, too."""
        session = self.session
        if not session.closed:
            missing = sorted(session.submitters - set(session.got["submit"]))
            self.flight += self.hub.ask(missing, "resend", [session.sid])
            self.run()
        self.flight += session.proceed()
        self.run()

    def recover(self, named: Named) -> None:
        """What an honest hub does that knows of a session and not what became of it: it asks for everything once more,
        and goes on if it can. If it cannot, all give the session up.
        """
        session = self.hub.know(named)
        self.look(named)
        if session.may_go_on():
            self.retry()
        else:
            self.give_up(named)

    def look(self, named: Named) -> None:
        """The hub asks everybody for what they said and sent in a session."""
        patient, self.patient = self.patient, True
        session = self.hub.know(named)
        self.flight += self.hub.look(named).packets
        self.run()
        self.patient = patient
        if session.is_voted:
            session.gather()

    def play_again(self) -> None:
        """What an honest hub does after a session that did not end: it is given up, the next round is announced, and
        the word on the last is shown to all before anybody submits.
        """
        earlier = self.announced[-1:]
        for named in earlier:
            self.give_up(named)
        self.announce()
        self.run(until="submit")
        for named in earlier:
            self.void(named, until="submit")
        self.run()

    def set_up(self, leader: int = 1, epoch: int | None = None, members: Sequence[int] = ()) -> None:
        """A new set-up over the network, among these clients or all; those without a model get it from the others."""
        self.epoch = self.epoch + 1 if epoch is None else epoch
        names = [f"client {i}" for i in members or self.clients]
        self.flight += self.hub.offer(self.epoch, leader, names).packets
        self.run()
        self.flight += self.hub.pass_on_sealed().packets
        self.run()
        self.flight += self.hub.hand_out_group_keys().packets
        self.run()
        new = [name for name in names if self.actors[name].memory is None and not self.actors[name].has_initial]
        held = [name for name in names if name not in new]
        self.flight += self.hub.start(held).packets
        self.run()
        self.bring_in(held, new)

    def bring_in(self, held: Sequence[str], new: Sequence[str]) -> None:
        """Give newcomers the model of those who hold one, and let them start."""
        made = self.hub.made
        for name in new:
            self.flight += self.hub.ask(held, "vouch", []) + self.hub.ask(held[:1], "give", made["seal"][name][-1:])
            self.run()
            vouchers = [made["vouch"][other][0] for other in held if other in made["vouch"]]
            parts = (*made["give"].get(held[0], ()), *vouchers)
            self.flight += [Packet(HUB, name, "state", parts), Packet(HUB, name, "start", ())]
            self.run()

    def swap_honest_actor(self, kind: type[AggregatorActor]) -> None:
        """Put a test double in the honest aggregator's place."""
        old = self.aggregators[self.honest]
        self.aggregators[self.honest] = self.actors[old.name] = kind(old.own, old.disk)

    # What the adversary does with its own parties

    def replace(self, aggregator: int, kind: Callable[..., Any]) -> None:
        """Let a corrupt aggregator run other code."""
        assert aggregator in self.liars
        actor = self.aggregators[aggregator]
        actor.own = kind(self.manifest, aggregator, actor.own.identity)

    def sign(self, message: Any, context: bytes | None = None) -> Any:
        """A statement signed with a corrupt party's key; an opening is signed as its receipt is."""
        context = self.sid if context is None else context
        if isinstance(message, Opening):
            receipt = self.sign(message.receipt(self.manifest.bulk_hash), context)
            return replace(message, signature=receipt.signature)
        actor: Any = (self.aggregators if message.role == Role.AGGREGATOR else self.clients)[message.signer]
        assert actor.name in self.corrupt, "the adversary does not have this key"
        return message.signed_by(actor.own.identity, context)

    @property
    def group(self) -> GroupKey:
        """The group key, which the adversary has from its client."""
        group: GroupKey = self.clients[self.corrupt_clients[0]].memory.group
        return group

    def matching(self, changes: dict[int, int], session_key: bytes = b"") -> dict[int, int]:
        """Changes to a share, and what they do to the tags: takes K_sid, which follows from the group key."""
        key = session_key or self.group.session_key(self.sid)
        return with_matching_tags(self.field, self.d + 1, changes, key, self.sid)

    def shifted(self, share: Any, changes: dict[int, int]) -> Any:
        """A copy of a share with amounts added to single elements."""
        return shifted(self.field, share, changes)

    def add(self, *shares: Any) -> Any:
        """The sum of shares in the field."""
        return added(self.field, *shares)

    def unmasked(self, share: Any, masks: int, group: Any = None, sid: bytes = b"") -> Any:
        """A share's coordinates without the given number of masks, (d + 1,): takes the group key."""
        sid = sid or self.sid
        key = (group or self.group).session_key(sid)
        return unmasked(self.field, share[: self.d + 1], masks, key, sid)

    def read(self, share: Any, masks: int, group: Any = None, sid: bytes = b"") -> list[int]:
        """What stands in a sum whose streams cancelled, (d + 1,) signed integers: takes the group key."""
        return signed(self.field, self.unmasked(share, masks, group, sid))

    def altered(self, packet: Packet, number: int, change: Callable[[Any], Any]) -> Packet:
        """A packet with one message of it changed; corrupt senders sign again, honest ones' words stay as they are."""
        messages = packet.messages(self.manifest)
        messages[number] = change(messages[number])
        return packet.with_messages(messages)

    def shift_before_commit(self, changes: Callable[[], dict[int, int]]) -> None:
        """The last corrupt aggregator adds something to its share before it commits."""
        network = self

        class Shifting(Aggregator):
            def _regenerate(self, memory: Any, record: Any, headers: Any) -> Any:
                share, spent = Aggregator._regenerate(self, memory, record, headers)
                return network.shifted(share, changes()), spent

        self.replace(self.liars[-1], Shifting)

    def shift_opening(self, change: Callable[[Any, Any], Any]) -> None:
        """Before "certify": the last corrupt aggregator opens another share, which may depend on the sum of all."""
        name, session = f"aggregator {self.liars[-1]}", self.session
        opening = Opening.from_bytes(session.got["open"][name][0], self.manifest)
        everything = [message.share for message in session.parsed("open")]
        changed = replace(opening, share=change(opening.share, self.add(session.total.share, *everything)))
        session.got["open"][name] = (self.sign(changed).to_bytes(),)
        self.actors[name].stand_by_what_it_opened()
        self.flight = session.proceed()

    def solo(self, *roster: int) -> Solo:
        """Leave the scripted hub aside after the submissions: the adversary plays everybody against the honest one."""
        self.flight.clear()
        return Solo(self, roster)

    # What came of it

    def errors_of(self, name: str) -> list[PrivateyesError]:
        """Everything that a party stopped at."""
        return [failure.error for failure in self.failures if failure.party == name]

    def refusal_of(self, name: str) -> PrivateyesError:
        """The last error that a party stopped at."""
        return self.errors_of(name)[-1]

    def honest_errors(self) -> list[PrivateyesError]:
        """The last error of the honest aggregator, in a list; empty if it went through."""
        return self.errors_of(f"aggregator {self.honest}")[-1:]

    def words_of(self, name: str, kind: type[Any] | tuple[type[Any], ...]) -> list[Any]:
        """What a party really said."""
        return [message for who, message in self.said if who == name and isinstance(message, kind)]

    def honest_word(self, kind: type[Any] | tuple[type[Any], ...]) -> list[Any]:
        """What the honest aggregator really said."""
        return self.words_of(f"aggregator {self.honest}", kind)

    def nobody_accepted(self) -> bool:
        """Whether no honest client took any average."""
        return not any(self.clients[i].accepted for i in self.honest_clients)

    def ideal(self, *roster: int, shift: Sequence[int] | None = None) -> Any:
        """What the ideal functionality gives for the current session."""
        inputs = self.inputs[self.sid]
        return aggregate(inputs, roster or tuple(inputs), self.manifest.roster_min, shift)

    def input_of(self, client: int) -> Any:
        """The ideal input that a client's update encodes to."""
        return self.clients[client].input()

    def mean_of(self, output: Any) -> Any:
        """The decoded average of an ideal output."""
        return self.world.mean_of(output)

    def every_honest_client_accepted(self, expected: Any) -> bool:
        """Whether all honest clients' last average is the given ideal output."""
        last = [self.clients[i].accepted[-1:] for i in self.honest_clients]
        mean, weight = self.mean_of(expected), expected.total_weight
        return all(one and np.array_equal(one[0].mean, mean) and one[0].total_weight == weight for one in last)

    def require_sound(self) -> None:
        """The ideal functionality's judgement on everything that happened; see judging.require_sound."""
        judging.require_sound(self.tasks)

"""The network between the parties, which belongs to the adversary.

Every party is an actor around its real state machine (actors.py). What passes between two actors is a Packet of bytes
(packets.py). The adversary sees every packet before it arrives and says what arrives instead: nothing, something later,
something altered, an old packet, somebody else's (adversary.py). The hub and the corrupt parties are the adversary's:
by default they play their part, and a test changes what it likes of them. It can sign with corrupt parties' keys only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import judging
from actors import ROUNDING, AggregatorActor, ClientActor, Killed
from adversary import Adversary
from hub_actor import HubActor
from packets import HUB, Packet, naming
from privateyes.aggregation.aggregator import Aggregator
from privateyes.aggregation.functionality import IdealInput, aggregate
from privateyes.aggregation.keys import GroupKey, session_id, setup_id
from privateyes.aggregation.memory import AggregatorMemory
from privateyes.aggregation.messages import Announcement, Opening, Submission
from privateyes.crypto.labels import Role
from privateyes.errors import PrivateyesError
from shares import added, shifted, signed, unmasked, with_matching_tags
from solo import Solo
from world import World


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
        memories: what stands on the actors' disks at the start, as a1, c1 and so on.
        honest: the one honest aggregator.
        corrupt_clients: whose keys and memories the adversary has.
    """

    def __init__(self, world: World, memories: dict[str, bytes], honest: int, corrupt_clients: Sequence[int]) -> None:
        self.world, self.manifest, self.field, self.prime = world, world.manifest, world.field, world.prime
        self.n, self.m, self.d = world.n, world.m, world.d
        self.honest, self.liars = honest, [s for s in range(1, world.n + 1) if s != honest]
        self.corrupt_clients = tuple(corrupt_clients)
        self.honest_clients = [i for i in range(1, world.m + 1) if i not in corrupt_clients]
        self.corrupt = {HUB, *(f"aggregator {s}" for s in self.liars), *(f"client {i}" for i in corrupt_clients)}
        self.hub, self.adversary = HubActor(world.manifest), Adversary()
        self.aggregators = {s: AggregatorActor(own, memories[f"a{s}"]) for s, own in world.aggregators.items()}
        self.clients = {i: ClientActor(own, memories[f"c{i}"]) for i, own in world.clients.items()}
        self.actors: dict[str, Any] = {HUB: self.hub}
        self.actors |= {actor.name: actor for actor in (*self.aggregators.values(), *self.clients.values())}
        for i, actor in self.clients.items():
            actor.delta = world.delta(i)
        self.epoch, self.round, self.next_round = 1, -1, 0
        self.sid = self.state_id = b""
        self.announced: list[bytes] = []  # every session that was ever asked for, as a request names it
        self.flight: list[Packet] = []
        self.failures: list[Failure] = []
        self.said: list[tuple[str, Any]] = []
        """What honest parties and corrupt ones alike really sent, in order."""
        self.kept: dict[int, AggregatorMemory] = {}
        """What corrupt aggregators should have erased: their memories at the announcement."""
        self.inputs: dict[bytes, dict[int, Any]] = defaultdict(dict)
        self.submitted_from: dict[tuple[int, bytes], list[bytes]] = defaultdict(list)

    # Running

    def announce(self, *submitters: int, round_number: int | None = None) -> None:
        """Put the next round's announcement in flight; everybody submits unless named."""
        self.round = self.next_round if round_number is None else round_number
        self.next_round = self.round + 1
        memory = self.clients[self.honest_clients[0]].memory
        self.state_id = memory.group.state_id(memory.state_digest)
        self.sid = session_id(setup_id(self.manifest.digest(), self.epoch), self.round, self.state_id)
        names = [f"client {i}" for i in submitters or self.clients]
        self.announced.append(naming(self.epoch, self.round, self.state_id))
        self.flight += self.hub.announce(self.announced[-1], names)

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
            elif not self._submissions_time_out(until):
                return

    @staticmethod
    def _held(packet: Packet, until: str) -> bool:
        return packet.sender == HUB and packet.step == until

    def _submissions_time_out(self, until: str) -> bool:
        came = self.hub.got["submit"]
        waiting = came and set(came) != self.hub.submitters and "vote" not in self.hub.got
        if not waiting:
            return False
        self.flight += self.hub.close_submissions()
        return True

    def carry(self, packet: Packet) -> None:
        """One packet passes the adversary and arrives as it likes."""
        for decided in self.adversary.decide(packet):
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
            actor.restart()
            return []
        except (LookupError, AttributeError, TypeError, ValueError, ArithmeticError) as error:
            if actor is self.hub:  # the script may be at a loss; a party may not
                return []
            raise AssertionError(f"{packet.receiver} let {error!r} escape at {packet.step}") from error
        if actor is self.hub:
            self.flight += answers
            return answers
        if actor.failure is not None:
            self.failures.append(Failure(packet.receiver, packet.step, actor.failure))
            actor.failure = None
        for answer in answers:
            self._note(actor, answer)
        self.flight += answers
        if actor.dies_at == (packet.step, "sent"):
            actor.dies_at = None
            actor.restart()
        return answers

    def _note(self, actor: Any, answer: Packet) -> None:
        for message in answer.messages(self.manifest):
            self.said.append((actor.name, message))
            if isinstance(message, Announcement) and actor.name in self.corrupt:
                self.kept[actor.own.number] = actor.memory
            if isinstance(message, Submission):
                sid, number = message.header.sid, actor.own.number
                self.inputs[sid][number] = self.input_of(number)
                self.submitted_from[number, actor.memory.state_digest].append(sid)

    def input_of(self, client: int) -> Any:
        """The ideal input that a client's update encodes to."""
        actor = self.clients[client]
        return IdealInput(self.world.encoded(actor.delta, actor.weight, ROUNDING), actor.weight)

    def ask(self, receiver: str, step: str, *parts: Any) -> list[Any]:
        """The corrupt hub asks one party something on its own account; the answer goes to the adversary alone."""
        data = tuple(part if isinstance(part, bytes) else part.to_bytes() for part in parts)
        answers = self.deliver(Packet(HUB, receiver, step, data))
        for answer in answers:
            self.flight.remove(answer)
        return [message for answer in answers for message in answer.messages(self.manifest)]

    def kill(self, name: str, step: str = "", moment: str = "") -> None:
        """Kill and restart a party now, or when it next reaches a moment of a step."""
        if step:
            self.actors[name].dies_at = (step, moment)
        else:
            self.actors[name].restart()

    def repeat(self, name: str) -> None:
        """The hub asks a restarted aggregator for the stored words that it did not get."""
        actor = self.actors[name]
        for lost in actor.repeat():
            if name not in self.hub.got[lost.step]:
                self._note(actor, lost)
                self.flight.append(lost)

    def void(self, session: bytes, until: str = "") -> None:
        """The hub asks everyone how an earlier session ended, and shows the answers to the clients."""
        self.flight += self.hub.ask(self.hub.aggregators, "closing", [session])
        self.run(until)

    def play_again(self) -> None:
        """What an honest hub does after a session that did not end: the next round, and the word on the last before
        anybody submits.
        """
        earlier = self.announced[-1:]
        self.announce()
        self.run(until="submit")
        for session in earlier:
            self.void(session, until="submit")
        self.run()

    def set_up(self) -> None:
        """A new epoch over the network."""
        self.epoch, self.next_round = self.epoch + 1, 0
        self.hub.got.clear()
        self.flight += self.hub.ask(self.hub.aggregators, "key", [naming(self.epoch, 0, bytes(32))])
        self.run()
        self.flight += self.hub.set_up()
        self.run()
        self.flight += self.hub.hand_out_group_keys()
        self.run()

    def swap_honest_actor(self, kind: type[AggregatorActor]) -> None:
        """Put a test double in the honest aggregator's place."""
        old = self.aggregators[self.honest]
        self.aggregators[self.honest] = self.actors[old.name] = kind(old.own, old.disk["memory"])

    # What the adversary does with its own parties

    def replace(self, aggregator: int, kind: Callable[..., Any]) -> None:
        """Let a corrupt aggregator run other code."""
        assert aggregator in self.liars
        actor = self.aggregators[aggregator]
        actor.own = kind(self.manifest, aggregator, actor.own.identity)

    def sign(self, message: Any, context: bytes | None = None) -> Any:
        """A statement signed with a corrupt party's key."""
        if message.role == Role.AGGREGATOR:
            actor: Any = self.aggregators[message.aggregator]
        else:
            actor = self.clients[message.client]
        assert actor.name in self.corrupt, "the adversary does not have this key"
        return message.signed_by(actor.own.identity, self.sid if context is None else context)

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
        return replace(packet, parts=tuple(message.to_bytes() for message in messages))

    def shift_before_commit(self, changes: Callable[[], dict[int, int]]) -> None:
        """The last corrupt aggregator adds something to its share before it commits."""
        network = self

        class Shifting(Aggregator):
            def _regenerate(self, memory: Any, sid: bytes, headers: Any) -> Any:
                share, spent = Aggregator._regenerate(self, memory, sid, headers)
                return network.shifted(share, changes()), spent

        self.replace(self.liars[-1], Shifting)

    def shift_opening(self, change: Callable[[Any, Any], Any]) -> None:
        """Before "certify": the last corrupt aggregator opens another share, which may depend on the sum of all."""
        name = f"aggregator {self.liars[-1]}"
        opening = Opening.from_bytes(self.hub.got["open"][name][0], self.manifest)
        everything = [Opening.from_bytes(word, self.manifest).share for word in self.hub.words("open")]
        changed = replace(opening, share=change(opening.share, self.add(self.hub.total.share, *everything)))
        self.hub.got["open"][name] = (self.sign(changed).to_bytes(),)
        self.flight = self.hub._after_open()

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

    def words_of(self, name: str, kind: type[Any]) -> list[Any]:
        """What a party really said."""
        return [message for who, message in self.said if who == name and isinstance(message, kind)]

    def honest_word(self, kind: type[Any]) -> list[Any]:
        """What the honest aggregator really said."""
        return self.words_of(f"aggregator {self.honest}", kind)

    def nobody_accepted(self) -> bool:
        """Whether no honest client took any average."""
        return not any(self.clients[i].accepted for i in self.honest_clients)

    def ideal(self, *roster: int, shift: Sequence[int] | None = None) -> Any:
        """What the ideal functionality gives for the current session."""
        inputs = self.inputs[self.sid]
        return aggregate(inputs, roster or tuple(inputs), self.manifest.roster_min, shift)

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
        judging.require_sound(self)

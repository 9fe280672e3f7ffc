"""An adversary that rolls dice: over packets, over parties' disks and processes, and over what a hub may ask for."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from actors import MOMENTS
from client_actor import INITIAL
from hub_actor import Named
from lies import Lies
from packets import HUB, Packet, label_of_setup
from privateyes.aggregation.messages import ANNOUNCE, CLOSING, GIVE_UP, Origin
from privateyes.errors import MalformedError, PrivateyesError

if TYPE_CHECKING:
    from network import Network

STAGES = ("", "", "commit", "agree", "open", "open", "certify", "check", "check", "check")
"""Where a schedule leaves a round: before the hub's requests for this step; nowhere, if empty."""

WRITES = {
    "aggregator": ("bind", "start", "announce", "vote", "commit", "agree", "open", "certify", "finish", "give_up"),
    "client": ("start", "observe", "submit", "again", "settle", "check", "jump"),
}
"""The steps at which a party of a kind writes to its disk."""


class Chaos:
    """The adversary of one schedule.

    Attributes:
        calm: how often a packet simply arrives; different in every schedule, so that some rounds end and some do not.
        haste: how often something that was held back arrives with another packet.
        cells: how often which fault befell which step of an honest party.
        other_task: makes another task of the same parties.
    """

    def __init__(self, network: Network, seed: int, other_task: Callable[[Network, random.Random], Network]) -> None:
        self.dice = random.Random(seed)
        self.first, self.tasks, self.other_task = network, network.tasks, other_task
        self.calm = self.dice.choice([0.8, 0.93, 0.98, 1.0, 1.0])
        self.haste = self.dice.choice([0.3, 0.05, 0.005])
        self.late: list[tuple[Network, Packet]] = []
        self.cells: Counter[tuple[str, str]] = Counter()
        self.did: Counter[str] = Counter()
        self.old_setups: dict[str, list[Packet]] = defaultdict(list)
        self.attach(network)
        # Every schedule plays with a few of the moves only, so that each is seen often and together with few others.
        favoured = {name: self.dice.choice([0, 0, 1, 1, 4]) for name in MOVES}
        self.weights = [MOVES[name] * favoured[name] if name != "round" else MOVES[name] for name in MOVES]

    def attach(self, network: Network) -> None:
        """Take a task's network over."""
        network.adversary = _Ear(self, network)  # type: ignore[assignment]

    @property
    def network(self) -> Network:
        """One of the tasks."""
        return self.dice.choice(self.tasks)

    # Packets

    def decide(self, network: Network, packet: Packet, seen: Sequence[Packet]) -> Iterable[Packet]:
        """What arrives instead of this packet. What the adversary's parties tell each other needs no disturbance."""
        own = packet.sender in network.corrupt and packet.receiver in network.corrupt
        decided = [packet] if own or self.dice.random() < self.calm else self._act(network, packet, seen)
        held = [k for k, (task, _) in enumerate(self.late) if task is network]
        if held and self.dice.random() < self.haste:
            decided = [*decided, self.late.pop(self.dice.choice(held))[1]]
        return decided

    def _act(self, network: Network, packet: Packet, seen: Sequence[Packet]) -> list[Packet]:
        faults = ["drop", "late", "replay", "again", "alter", "reflect", "lie", "lie", "race", "race", "fate", "fate"]
        fault = self.dice.choice(faults)
        self.did[fault] += 1
        if fault not in ("fate", "replay", "reflect"):
            self.befell(network, packet, fault)
        decided: list[Packet] = getattr(self, f"_{fault}")(network, packet, seen)
        return decided

    def befell(self, network: Network, packet: Packet, fault: str) -> None:
        """Count what an honest party meets."""
        if packet.receiver in network.actors and packet.receiver not in network.corrupt:
            self.cells[packet.step, fault] += 1
        elif packet.receiver == HUB and packet.sender not in network.corrupt and fault in ("drop", "late"):
            self.cells[packet.step, f"answer {fault}"] += 1

    def _drop(self, network: Network, packet: Packet, seen: Sequence[Packet]) -> list[Packet]:
        return []

    def _late(self, network: Network, packet: Packet, seen: Sequence[Packet]) -> list[Packet]:
        self.late.append((network, packet))
        return []

    def _again(self, network: Network, packet: Packet, seen: Sequence[Packet]) -> list[Packet]:
        return [packet, packet]

    def _replay(self, network: Network, packet: Packet, seen: Sequence[Packet]) -> list[Packet]:
        old = self.dice.choice(seen)
        self.befell(network, old, "replay")
        return [packet, old] if self.dice.random() < 0.5 else [old, packet]

    def _reflect(self, network: Network, packet: Packet, seen: Sequence[Packet]) -> list[Packet]:
        reflected = replace(packet, receiver=self.dice.choice(sorted(network.actors)), sender=HUB)
        self.befell(network, reflected, "reflect")
        return [reflected] if reflected.receiver != HUB else []

    def _alter(self, network: Network, packet: Packet, seen: Sequence[Packet]) -> list[Packet]:
        parts = list(packet.parts)
        if not parts:
            return [packet]
        index = self.dice.randrange(len(parts))
        data = bytearray(parts[index])
        kind = self.dice.choice(["flip", "cut", "swap", "leave out", "twice", "foreign"])
        if kind == "flip" and data:
            data[self.dice.randrange(len(data))] ^= 1 << self.dice.randrange(8)
            parts[index] = bytes(data)
        elif kind == "cut":
            parts[index] = bytes(data[: self.dice.randrange(len(data) + 1)])
        elif kind == "swap":
            self.dice.shuffle(parts)
        elif kind == "leave out":
            parts.pop(index)
        elif kind == "twice":
            parts.append(parts[index])
        else:
            donor = self.dice.choice(seen)
            parts[index] = self.dice.choice(donor.parts) if donor.parts else parts[index]
        return [replace(packet, parts=tuple(parts))]

    def _lie(self, network: Network, packet: Packet, seen: Sequence[Packet]) -> list[Packet]:
        """Corrupt parties say something else, properly signed, to this one receiver."""
        try:
            messages = packet.messages(network.manifest)
        except MalformedError:
            return [packet]
        lies = Lies(network, self.dice)
        return [packet.with_messages([lies.about(message) for message in messages])]

    def _race(self, network: Network, packet: Packet, seen: Sequence[Packet]) -> list[Packet]:
        """Two handlers begin from one snapshot: of this packet, and of another to the same party."""
        others = [own for own in seen[-60:] if own.receiver == packet.receiver and own.step != "check"]
        if packet.receiver == HUB or not others:
            return [packet]
        same = [own for own in others if own.step == packet.step]
        other = self.dice.choice(same) if same and self.dice.random() < 0.5 else self.dice.choice(others)
        pair = [packet, self._lie(network, packet, seen)[0] if self.dice.random() < 0.5 else other]
        self.dice.shuffle(pair)
        network.race(*pair)
        return []

    def _fate(self, network: Network, packet: Packet, seen: Sequence[Packet]) -> list[Packet]:
        """A party dies, now or when it next reaches some moment; or its disk takes nothing."""
        honest = [name for name in sorted(network.actors) if name not in network.corrupt]
        name = packet.receiver if packet.receiver in honest else self.dice.choice(honest)
        steps = WRITES[name.split()[0]]
        step = packet.step if packet.step in steps and name == packet.receiver else self.dice.choice(steps)
        moment = self.dice.choice([*MOMENTS, "failed"])
        loses = moment != "failed" and self.dice.random() < self.loses
        network.kill(name, step, moment, loses)
        if self.dice.random() < 0.2:
            network.kill(name)
        return [packet]

    @property
    def loses(self) -> float:
        """How often a disk goes with its process: rarely while packets are disturbed, or nothing else happens."""
        return 0.15

    # What the hub does of its own accord

    def play(self, moves: int) -> None:
        """The schedule: moves at random, or around what every attack needs: a sum that the clients do not get, a word
        that their session is void, and another sum.
        """
        dice, names = self.dice, list(MOVES)
        while moves > 0:
            self.stages = STAGES
            several = dice.choices(names, self.weights, k=dice.randrange(1, 4))
            if dice.random() < 0.5:
                self._try("round")
                moves -= 1
            else:
                self.stages = dice.choice([("check",), ("open",), ("certify", "check")])
                self._try("round")
                several += dice.sample(["kill", "settle", "late", "settle_first", "late"], 3)
                self.stages = ("", "check")
                several += dice.choice([["round"], ["round"], ["set_up", "round"], ["again"], ["settle_first", "round"]])
            for name in several:
                self._try(name)
            moves -= len(several)

    def _try(self, name: str) -> None:
        self.did[name] += 1
        try:
            getattr(self, f"_move_{name}")(self.network)
        except (PrivateyesError, LookupError, ValueError, StopIteration, AttributeError) as error:
            self.did[type(error).__name__] += 1  # the hub's script, at a loss

    def _move_round(self, network: Network, source: tuple[Any, ...] = (), submitters: Sequence[int] = ()) -> None:
        dice = self.dice
        chosen = submitters or [i for i in network.clients if dice.random() < 0.75]
        number = dice.randrange(4) if dice.random() < 0.05 else None
        network.announce(*chosen, round_number=number, source=source, setup=self._some_setup(network))
        if dice.random() < 0.1:
            change = self._shift(network)
            network.hub.shift = lambda share: network.shifted(share, change)
        if not source and dice.random() < 0.08:
            self._stand_still(network)
        network.run(dice.choice(self.stages))
        network.hub.shift = lambda share: share
        left, network.flight[:] = list(network.flight), []
        if dice.random() < 0.8:
            self.late += [(network, packet) for packet in left]

    def _shift(self, network: Network) -> dict[int, int]:
        changes = {self.dice.randrange(network.d + 1): self.dice.choice([1, -1, 1000])}
        return network.matching(changes) if network.corrupt_clients and self.dice.random() < 0.8 else changes

    def _some_setup(self, network: Network) -> bytes:
        """Mostly the one that the hub made last; sometimes another."""
        known = [named.setup for named in network.announced] or [b""]
        return network.hub.setup if self.dice.random() < 0.9 else self.dice.choice(known)

    def _stand_still(self, network: Network) -> None:
        """The next server step leads to weights that were there before."""
        model = next(actor.model for actor in network.clients.values() if actor.model is not None)
        weights = self.dice.choice([model.weights, *model.lineage])
        for actor in network.clients.values():
            actor.next_weights = weights

    def _move_move_on(self, network: Network) -> None:
        """Server steps lead to new weights again."""
        for actor in network.clients.values():
            actor.next_weights = b""

    def _some_named(self, network: Network) -> Named:
        if self.dice.random() < 0.7:
            return network.announced[-1]
        named = self.dice.choice(network.announced)
        if self.dice.random() < 0.2:
            named = replace(named, setup=self._some_setup(network), round=self.dice.randrange(3))
        return named

    def _move_settle(self, network: Network) -> None:
        network.void(self._some_named(network))

    def _move_settle_first(self, network: Network) -> None:
        """Every session that was announced, the oldest first."""
        for named in network.announced[:4]:
            network.void(named)

    def _move_give_up(self, network: Network) -> None:
        """Sometimes while it is opened, from one snapshot of the disk."""
        named, honest = self._some_named(network), f"aggregator {network.honest}"
        waiting = [own for task, own in self.late if task is network and (own.step, own.receiver) == ("open", honest)]
        if waiting and self.dice.random() < 0.5:
            request = network.request(GIVE_UP, named).to_bytes()
            pair = [Packet(HUB, honest, "give_up", (request,)), self.dice.choice(waiting)]
            self.dice.shuffle(pair)
            self.cells["give_up", "race"] += 1
            self.cells["open", "race"] += 1
            network.race(*pair)
            network.run()
        network.give_up(named)

    def _move_give_up_and_settle(self, network: Network) -> None:
        named = network.announced[-1]
        network.give_up(named)
        if self.dice.random() < 0.5:
            self._move_late(network)
        network.void(named)

    def _move_late(self, network: Network) -> None:
        """What was held back arrives; often the requests to open, which matter most."""
        if self.dice.random() < 0.5:
            self.late.sort(key=lambda own: own[1].step != "open")
        else:
            self.dice.shuffle(self.late)
        for _ in range(self.dice.randrange(1, 8)):
            if self.late:
                task, packet = self.late.pop(0)
                task.carry(packet)
                task.run()

    def _move_retry(self, network: Network) -> None:
        """The hub goes on with an earlier session."""
        network.hub.session = self.dice.choice(list(network.hub.sessions.values()))
        network.retry()

    def _move_again(self, network: Network) -> None:
        """A round that sends the updates of an earlier one again: named rightly, or not."""
        dice = self.dice
        sessions = [own for own in network.hub.sessions.values() if len(own.got["commit"]) == network.n]
        session = dice.choice(sessions)
        origin = session.origin
        clients = [client for client, _ in origin.roster]
        kind = dice.choice(["right", "smaller", "larger", "other list", "other session", "told differently"])
        self.did[kind] += 1
        shown = origin
        if kind == "smaller":
            clients.remove(dice.choice(clients))
            shown = replace(origin, roster=tuple(entry for entry in origin.roster if entry[0] in clients))
        elif kind == "larger":
            clients = list(network.clients)
        elif kind == "other list":
            origin = shown = Lies(network, dice).origin(origin)
        elif kind == "other session":
            origin = shown = replace(origin, sid=dice.choice(network.announced).sid)
        elif kind == "told differently":
            shown = Lies(network, dice).origin(origin)
        network.adversary.shown = shown  # type: ignore[attr-defined]
        self._move_round(network, (origin, *session.parsed("commit")), clients)
        network.adversary.shown = None  # type: ignore[attr-defined]

    def _move_lose(self, network: Network) -> None:
        honest = f"aggregator {network.honest}"
        if self.dice.random() < 0.7:
            self.cells["idle", "lost"] += 1
            network.lose(honest)
        for i in network.honest_clients:
            if self.dice.random() < 0.15:
                network.lose(f"client {i}")

    def _move_kill(self, network: Network) -> None:
        for name in sorted(network.actors):
            if name not in network.corrupt and self.dice.random() < 0.4:
                network.kill(name)

    def _move_set_up(self, network: Network) -> None:
        """Under any label, with any leader, among some clients; and anything may happen between its phases."""
        dice = self.dice
        leader = dice.choice(network.manifest.leaders)
        members = [i for i in network.clients if i == leader or dice.random() < 0.85]
        label = label_of_setup(dice.choice([1, 1, 2, 3]), leader)
        names = [f"client {i}" for i in members]
        before = len(network.adversary.seen)
        phases: list[Callable[[], list[Packet]]] = [
            lambda: network.hub.offer(label, names),
            network.hub.pass_on_sealed,
            network.hub.hand_out_group_keys,
            lambda: self._gifts(network, names),
            lambda: network.hub.ask([*network.hub.aggregators, *dice.sample(names, len(names))], "start", []),
        ]
        for phase in phases:
            network.flight += phase()
            network.run()
            if dice.random() < 0.1:
                self._move_late(network)
        network.flight += self._gifts(network, names)
        network.flight += network.hub.ask([name for name in names if dice.random() < 0.7], "start", [])
        network.run()
        self.old_setups[network.hub.setup.hex()] = list(network.adversary.seen[before:])

    def _gifts(self, network: Network, names: Sequence[str]) -> list[Packet]:
        """Ask holders for vouchers and one for its model, and hand both to those who lack it or are behind."""
        made, dice = network.hub.made, self.dice
        giver = dice.choice(names)
        for name in names:
            network.flight += network.hub.ask([name], "vouch", [])
        receivers = [name for name in names if name != giver and dice.random() < 0.3]
        packets = []
        for name in receivers:
            if name in made["seal"]:
                network.flight += network.hub.ask([giver], "give", made["seal"][name][-1:])
                network.run()
                vouchers = [words[0] for own, words in made["vouch"].items() if dice.random() < 0.9]
                packets.append(Packet(HUB, name, "state", (*made["give"].pop(giver, ()), *vouchers)))
        network.run()
        return packets

    def _move_old_set_up(self, network: Network) -> None:
        """The packets of a whole old set-up once more, to one party or to all."""
        packets = self.dice.choice(list(self.old_setups.values()))
        receiver = self.dice.choice([*network.actors, ""])
        for packet in packets:
            if packet.sender == HUB and receiver in ("", packet.receiver):
                self.befell(network, packet, "replay")
                network.deliver(packet)
        network.run()

    def _move_revive(self, network: Network) -> None:
        """Requests for a set-up that is over."""
        named = self._some_named(network)
        old = replace(named, setup=self.dice.choice(network.announced).setup, round=named.round + self.dice.randrange(3))
        step, action = self.dice.choice([("announce", ANNOUNCE), ("closing", CLOSING), ("give_up", GIVE_UP)])
        packets = network.hub.ask(network.hub.aggregators, step, [network.request(action, old).to_bytes()])
        for packet in packets:
            self.befell(network, packet, "revive")
            network.deliver(packet)
        network.run()

    def _move_recover(self, network: Network) -> None:
        """The hub lost its disk, and asks for everything again."""
        network.hub.lose()
        network.recover(self._some_named(network))

    def _move_jump(self, network: Network) -> None:
        """Show vouchers, and a model, to clients that may be behind."""
        made, dice = network.hub.made, self.dice
        network.flight += network.hub.ask(network.hub.clients, "vouch", [])
        network.run()
        giver = dice.choice(list(network.clients.values()))
        words = made["vouch"]
        vouchers = [parts[0] for name, parts in words.items() if dice.random() < 0.9]
        model = giver.model or INITIAL
        for name in network.hub.clients:
            network.flight.append(Packet(HUB, name, "jump", (model.to_bytes(), *vouchers)))
        network.run()

    def _move_disclose(self, network: Network) -> None:
        """A delivery that was, whole or with lies in it, and K_sid asked for in return."""
        deliveries = [own for own in network.adversary.seen if own.step == "check" and own.sender == HUB]
        packet = self.dice.choice(deliveries)
        packet = replace(packet, step="disclose", receiver=f"client {self.dice.choice([*network.clients])}")
        network.carry(packet if self.dice.random() < 0.5 else self._lie(network, packet, ())[0])
        network.run()

    def _move_words(self, network: Network) -> None:
        sid = self._some_named(network).sid
        network.flight += network.hub.ask(network.hub.aggregators, "words", [sid])
        network.flight += network.hub.ask(network.hub.clients, "resend", [sid])
        network.run()

    def _move_task(self, network: Network) -> None:
        """Another task of the same parties, from the first weights or from those of now."""
        if len(self.tasks) < 2:
            task = self.other_task(self.first, self.dice)
            self.tasks = task.tasks
            self.attach(task)
        self._move_round(self.tasks[-1])


MOVES: dict[str, int] = {
    "round": 8, "settle": 3, "give_up": 2, "give_up_and_settle": 3, "late": 4, "retry": 3, "again": 3, "lose": 2,
    "kill": 1, "set_up": 3, "old_set_up": 1, "revive": 1, "recover": 1, "jump": 1, "disclose": 1, "words": 1, "task": 2,
    "move_on": 1,
}  # fmt: skip
"""What a schedule is made of, and how often."""


class _Ear:
    """Hears one network's packets, and lets the dice decide."""

    def __init__(self, chaos: Chaos, network: Network) -> None:
        self.chaos, self.network = chaos, network
        self.seen: list[Packet] = []
        self.shown: Origin | None = None

    def decide(self, packet: Packet) -> Iterable[Packet]:
        """What arrives instead."""
        if self.shown is not None and packet.step in ("vote", "commit") and packet.sender == HUB:
            packet = self._with_other_origin(packet, self.shown)
        self.seen.append(packet)
        return self.chaos.decide(self.network, packet, self.seen)

    def _with_other_origin(self, packet: Packet, shown: Origin) -> Packet:
        messages = packet.messages(self.network.manifest)
        if not any(isinstance(message, Origin) for message in messages):
            return packet
        return packet.with_messages([shown if isinstance(message, Origin) else message for message in messages])

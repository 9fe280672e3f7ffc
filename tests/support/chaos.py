"""An adversary that rolls dice: over what a hub may ask for, and over packets, disks and processes (faults.py)."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from actors import MOMENTS
from faults import WRITES, Ear, Faults
from hub_actor import Named
from lies import Lies
from privateyes.aggregation.messages import ANNOUNCE, CLOSING, GIVE_UP
from privateyes.errors import PrivateyesError
from privateyes.parties.packets import HUB, Packet

if TYPE_CHECKING:
    from network import Network

STAGES = ("", "", "", "commit", "agree", "open", "certify", "check")
"""Where a schedule leaves a round: before the hub's requests for this step; nowhere, if empty."""


class Chaos(Faults):
    """The adversary of one schedule.

    Attributes:
        tasks: of the same parties.
        ears: what it heard in each.
        other_task: makes another task of the same parties.
    """

    def __init__(self, network: Network, dice: random.Random, other_task: Callable[[Network], Network]) -> None:
        super().__init__(dice)
        self.first, self.tasks, self.other_task = network, network.tasks, other_task
        self.ears: dict[Network, Ear] = {}
        self.spoils = False
        self.old_setups: dict[bytes, list[Packet]] = defaultdict(list)
        self.attach(network)
        # Every schedule favours a few of the moves, so that each is seen often and together with few others.
        moods = [(move, dice.choice([0, 0, 1, 1, 4])) for move in MOVES.items()]
        self.weights = [count * favour or (name == "round") for (name, count), favour in moods]

    def attach(self, network: Network) -> None:
        """Take a task's network over."""
        self.ears[network] = network.adversary = Ear(self, network)  # type: ignore[assignment]

    @property
    def network(self) -> Network:
        """One of the tasks."""
        return self.dice.choice(self.tasks)

    def play(self, moves: int, plan: str = "") -> None:
        """The schedule: one plan after the other, mostly of one kind."""
        usual = plan or self.dice.choice([*PLANS, "sent again", "sent again", "left behind"])
        if usual == "two handlers":
            self.calm, self.kinds = 0.7, ("race",)
        while moves > 0:
            kind = usual if self.dice.random() < 0.8 else "anything"
            names = self._anything() if kind == "anything" else self._planned(("finish", *PLANS[kind]))
            for name in names:
                self._try(name)
            moves -= len(names)

    def _anything(self) -> list[str]:
        return self.dice.choices(list(MOVES), self.weights, k=3)

    def _planned(self, plan: Sequence[str]) -> list[str]:
        """A plan with some of its moves left out or done twice, and others between them."""
        names: list[str] = []
        for step in plan:
            names += self.dice.choice([[step]] * 8 + [[], [step, step]])
            names += self._anything()[:1] if self.dice.random() < 0.1 else []
        return [self.dice.choice(name.split("|")) for name in names]

    def _try(self, name: str) -> None:
        self.did[name] += 1
        try:
            getattr(self, f"_move_{name}")(self.network)
        except (PrivateyesError, LookupError, ValueError, StopIteration, AttributeError) as error:
            self.did[type(error).__name__] += 1  # the hub's script, at a loss

    def _move_withheld(self, network: Network) -> None:
        """A round whose end the clients do not see."""
        self._move_round(network, stage=self.dice.choice(["check", "check", "open", "certify"]))

    def _move_spoilt(self, network: Network) -> None:
        """A round whose sum is opened, and refused by all."""
        self.spoils = True
        self._move_round(network, stage="")
        self.spoils = False

    def _move_left_behind(self, network: Network, client: str = "") -> None:
        """A round whose end one client does not hear of."""
        self.deaf = client or f"client {self.dice.choice(network.honest_clients)}"
        self._move_round(network, stage="")
        self.deaf = ""

    def _move_signed(self, network: Network) -> None:
        """A round in which T is signed, and nothing is opened yet."""
        self._move_round(network, stage="open")

    def _move_announce(self, network: Network) -> None:
        self._move_round(network, stage="submit")

    def _move_round(
        self,
        network: Network,
        source: tuple[Any, ...] = (),
        submitters: Sequence[int] = (),
        stage: str | None = None,
    ) -> None:
        dice = self.dice
        least = network.manifest.roster_min if dice.random() < 0.9 else 1
        chosen = submitters or dice.sample(list(network.clients), dice.randint(least, network.m))
        if dice.random() < 0.7 and not self._is_set_up(network):
            self._mend(network)
        number = dice.randrange(4) if dice.random() < 0.05 else None
        network.announce(*chosen, round_number=number, source=source, setup=self._some_setup(network))
        if self.spoils or dice.random() < 0.1:
            change = {0: 1} if self.spoils else self._shift(network)  # without the tags that would fit
            network.hub.shift = lambda share: network.shifted(share, change)
        network.run(stage if stage is not None else dice.choice(STAGES))
        network.hub.shift = lambda share: share
        if not network.manifest.sealed and dice.random() < 0.3:
            self._move_disclose(network)
        left, network.flight[:] = list(network.flight), []
        if dice.random() < 0.8:
            self.late += [(network, packet) for packet in left]

    def _is_set_up(self, network: Network) -> bool:
        """Whether the honest aggregator and enough clients are in one set-up."""
        memory = network.aggregators[network.honest].memory
        if memory is None or not memory.current.started:
            return False
        held = [actor.memory for actor in network.clients.values() if actor.memory is not None]
        return sum(own.group.setup == memory.current.id for own in held) >= network.manifest.roster_min

    def _mend(self, network: Network) -> None:
        """A set-up that nobody disturbs, so that the schedule goes on; and what keeps a round from it is given up."""
        calm, haste, self.calm, self.haste = self.calm, self.haste, 1.0, 0.0
        network.set_up(leader=self.dice.choice(network.manifest.leaders), epoch=self.dice.randrange(1, 4))
        if network.announced and self.dice.random() < 0.7:
            network.give_up(network.announced[-1])
        self.calm, self.haste = calm, haste

    def _shift(self, network: Network) -> dict[int, int]:
        changes = {self.dice.randrange(network.d + 1): self.dice.choice([1, -1, 1000])}
        return network.matching(changes) if network.corrupt_clients and self.dice.random() < 0.8 else changes

    def _some_setup(self, network: Network) -> bytes:
        """Mostly the honest aggregator's; sometimes another."""
        memory = network.aggregators[network.honest].memory
        known = [network.hub.setup, *(named.setup for named in network.announced)]
        return memory.current.id if memory is not None and self.dice.random() < 0.9 else self.dice.choice(known)

    def _move_standstill(self, network: Network) -> None:
        """A round whose server step leads to weights that were there before; and another one."""
        model = next(actor.model for actor in network.clients.values() if actor.model is not None)
        weights = self.dice.choice([model.weights, *model.lineage])
        for actor in network.clients.values():
            actor.next_weights = weights
        self._move_round(network, stage="")
        self._move_move_on(network)
        self._move_round(network)

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

    def _move_finish(self, network: Network) -> None:
        """All that was held back arrives, as it is."""
        mine, self.late = [own for own in self.late if own[0] is network], []
        for _, packet in mine:
            network.deliver(packet)
        network.run()

    def _move_retry(self, network: Network) -> None:
        """The hub goes on with an earlier session."""
        network.hub.session = self.dice.choice(list(network.hub.sessions.values()))
        network.retry()

    def _move_again(self, network: Network) -> None:
        """A round that sends the updates of an earlier one again: named rightly, or not."""
        dice = self.dice
        sessions = [own for own in network.hub.sessions.values() if len(own.got["commit"]) == network.n]
        session = sessions[-1] if dice.random() < 0.8 else dice.choice(sessions)
        origin, *commitments = session.source or (session.origin, *session.parsed("commit"))  # the chain's first
        clients = [client for client, _ in origin.roster]
        kinds = ["right", "right", "smaller", "smaller", "larger", "other list", "other session", "told differently"]
        kind = dice.choice(kinds)
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
        self.ears[network].shown = shown
        stage = dice.choice(["", "", "certify", None])
        self._move_round(network, (origin, *commitments), clients, stage)
        self.ears[network].shown = None

    def _move_lose(self, network: Network) -> None:
        honest = f"aggregator {network.honest}"
        if self.dice.random() < 0.7:
            self.cells["idle", "lost"] += 1
            network.lose(honest)
        for i in network.honest_clients:
            if self.dice.random() < 0.15:
                network.lose(f"client {i}")

    def _move_lose_client(self, network: Network) -> None:
        network.lose(*(f"client {i}" for i in self.dice.sample(network.honest_clients, self.dice.randint(1, 2))))

    def _move_lose_aggregator(self, network: Network) -> None:
        network.lose(f"aggregator {network.honest}")

    def _move_kill(self, network: Network) -> None:
        for name in sorted(network.actors):
            if name not in network.corrupt and self.dice.random() < (0.3 if name.startswith("client") else 0.8):
                network.kill(name)

    def _move_doom(self, network: Network) -> None:
        """A party is to die, or its disk to fail, at some moment of a step that it takes next."""
        dice = self.dice
        name, steps = f"aggregator {network.honest}", WRITES["aggregator"]
        if dice.random() < 0.5:
            name = f"client {dice.choice(network.honest_clients)}"
            steps = WRITES["client"] if network.manifest.sealed else (*WRITES["client"], "jump", "jump")
        step = dice.choice(steps)
        moment = dice.choice([*MOMENTS, "failed"])
        if step == "jump":
            self._move_left_behind(network, name)
        network.kill(name, step, moment, loses=moment != "failed" and dice.random() < 0.4)
        moves = {"bind": "set_up", "start": "set_up", "give_up": "give_up", "again": "again", "jump": "jump"}
        if step == "settle":
            self._move_give_up_and_settle(network)
        elif step in moves:
            getattr(self, f"_move_{moves[step]}")(network)
        else:
            self._move_round(network, stage="")

    def _move_otherwise(self, network: Network) -> None:
        """The honest aggregator is asked for a word once more, with something else than the first time."""
        name, steps = f"aggregator {network.honest}", ("announce", "vote", "commit", "agree", "open", "certify")
        asked = [packet for packet in self.ears[network].seen if packet.receiver == name and packet.step in steps]
        for packet in asked[-4:]:
            self.befell(network, packet, "twice")
            network.deliver(self._lie(network, packet, ())[0])

    def _move_set_up(self, network: Network) -> None:
        """Under any label, with any leader, among some clients; and anything may happen between its phases."""
        dice = self.dice
        leader = dice.choice(network.manifest.leaders)
        members = [i for i in network.clients if i == leader or dice.random() < 0.85]
        epoch = dice.choice([1, 1, 2, 3])
        names = [f"client {i}" for i in members]
        before = len(self.ears[network].seen)
        phases: list[Callable[[], Sequence[Packet]]] = [
            lambda: network.hub.offer(epoch, leader, names).packets,
            lambda: network.hub.pass_on_sealed().packets,
            lambda: network.hub.hand_out_group_keys().packets,
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
        self.old_setups[network.hub.setup] = list(self.ears[network].seen[before:])

    def _gifts(self, network: Network, names: Sequence[str]) -> list[Packet]:
        """Ask holders for vouchers and one for its model, and hand both to those who lack it or are behind."""
        made, dice = network.hub.made, self.dice
        giver = self._giver(network, names)
        for name in names:
            network.flight += network.hub.ask([name], "vouch", [])
        ahead = self._counter(network, giver)
        behind = [name for name in names if self._counter(network, name) < ahead]
        receivers = [name for name in names if name != giver and dice.random() < (0.8 if name in behind else 0.2)]
        packets = []
        for name in receivers:
            if name in made["seal"]:
                network.flight += network.hub.ask([giver], "give", made["seal"][name][-1:])
                network.run()
                vouchers = [words[0] for own, words in made["vouch"].items() if dice.random() < 0.9]
                packets.append(Packet(HUB, name, "state", (*made["give"].pop(giver, ()), *vouchers)))
        network.run()
        return packets

    @staticmethod
    def _counter(network: Network, name: str) -> int:
        model = network.actors[name].model
        return -1 if model is None else int(model.counter)

    def _giver(self, network: Network, names: Sequence[str]) -> str:
        """Mostly who is ahead of the others."""
        ahead = max(names, key=lambda name: self._counter(network, name))
        return ahead if self.dice.random() < 0.7 else self.dice.choice(names)

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
        setup = self.dice.choice(network.announced).setup
        old = replace(named, setup=setup, round=named.round + self.dice.randrange(3))
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
        giver = network.actors[self._giver(network, network.hub.clients)]
        words = made["vouch"]
        vouchers = [parts[0] for name, parts in words.items() if dice.random() < 0.9]
        model = giver.model or network.initial
        for name in network.hub.clients:
            network.flight.append(Packet(HUB, name, "jump", (model.to_bytes(), *vouchers)))
        network.run()

    def _move_disclose(self, network: Network) -> None:
        """A delivery that was, whole or with lies in it, and K_sid asked for in return."""
        deliveries = [own for own in self.ears[network].seen if own.step == "check" and own.sender == HUB]
        if not deliveries:
            return
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
            task = self.other_task(self.first)
            self.tasks = task.tasks
            self.attach(task)
        self._move_round(self.tasks[-1])


MOVES: dict[str, int] = {
    "round": 8, "settle": 3, "settle_first": 2, "give_up": 2, "give_up_and_settle": 3, "late": 3, "finish": 4,
    "retry": 3, "again": 3, "lose": 2, "kill": 1, "set_up": 3, "old_set_up": 1, "revive": 1, "recover": 1, "jump": 1,
    "disclose": 2, "words": 1, "task": 2, "move_on": 1,
    "otherwise": 1, "doom": 2, "left_behind": 1,
}  # fmt: skip
"""What a schedule is made of, and how often."""

PLANS: dict[str, tuple[str, ...]] = {
    "anything": (),
    "rounds": ("round|standstill", "finish|late|disclose", "settle|words|disclose|kill"),
    "resubmission": (
        "withheld",
        "set_up|lose|give_up|late|kill|revive",
        "settle|late",
        "settle_first",
        "round|withheld",
    ),
    "lost aggregator": ("withheld", "lose_aggregator", "set_up", "announce", "settle_first", "set_up", "round"),
    "lost client": ("withheld", "lose_client", "set_up|late", "set_up", "round|withheld"),
    "given up": ("signed", "give_up", "settle", "kill|late", "late|finish", "recover|round|give_up_and_settle"),
    "terminal": ("signed", "set_up", "settle|settle|revive|old_set_up", "late|finish", "settle|round"),
    "sent again": ("spoilt|withheld", "words|set_up|kill|settle|lose_aggregator", "again", "again|finish"),
    "two handlers": ("withheld", "signed|settle", "give_up", "settle", "round"),
    "asked otherwise": ("withheld|signed|announce|round", "otherwise", "late|otherwise", "late|finish"),
    "tasks": ("task", "withheld|round", "task", "settle_first|late", "round"),
    "newcomers": ("left_behind|round", "finish", "set_up|jump|doom", "left_behind", "jump|set_up", "finish"),
    "doomed": ("doom|round", "doom", "finish", "again|settle_first|jump"),
    "left behind": ("left_behind", "jump|set_up", "round", "jump|set_up"),
    "recovery": ("withheld|signed", "recover|retry|words", "late|kill", "recover|give_up_and_settle", "round"),
}
"""What attacks are made of, each step one of some moves; a schedule varies them."""

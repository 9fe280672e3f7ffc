"""Every situation that an aggregator of a small task can be in, and what is right to ask for in its sessions; and what
holds of any memory and the one after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from privateyes.aggregation.memory import AggregatorMemory, ClientMemory
from privateyes.aggregation.messages import ANNOUNCE, BIND, CLOSING, GIVE_UP, HubCommitment, HubSum, Origin
from privateyes.aggregation.setup import AggregatorSetup, require_one_setup
from privateyes.aggregation.steps import OwnShare
from world import World

STEPS = {"vote": "voted", "commit": "committed", "agree": "agreed", "open": "opened", "certify": "certified"}
TRANSITIONS = ("announce", *STEPS, "finish", "give_up", "closing", "words")


@dataclass(frozen=True)
class Session:
    """All that was right to send in one session, and what aggregator 1 answered to it."""

    sid: bytes
    round: int
    state_id: bytes
    setup: bytes
    headers: list[Any]
    votes: list[Any]
    commitments: list[Any]
    com_0: HubCommitment
    agreements: list[Any]
    openings: list[Any]
    total: HubSum
    results: list[Any]
    salt: bytes
    share: OwnShare
    origin: Origin | None

    @property
    def lists(self) -> dict[str, list[Any]]:
        """What comes with each transition that takes the words of several parties."""
        return {
            "vote": self.headers, "commit": self.votes, "agree": self.commitments, "open": self.agreements,
            "certify": self.openings, "finish": self.results,
        }  # fmt: skip

    def answer(self, transition: str) -> bytes:
        """Aggregator 1's word, where the session went well."""
        listed = {"vote": self.votes, "commit": self.commitments, "agree": self.agreements, "open": self.openings}
        word: bytes = {**listed, "certify": self.results}[transition][0].to_bytes()
        return word


class Situations:
    """Aggregator 1 of two, in every situation.

    Session A was opened and refused by clients 1 and 2 of three; in session B they send their updates again.

    Attributes:
        memories: by situation of session A.
        repeating: by situation of session B.
    """

    def __init__(self) -> None:
        self.world = world = World(n=2, m=3)
        self.own, self._epoch = world.aggregators[1], 20
        self.memories = {"started": world.aggregator_memories[1]}
        world.announce()
        self.memories["announced"] = world.aggregator_memories[1]
        world.submit_all(1, 2)
        self.a = self._played(self.memories, None)
        origin = world.origin
        world.announce()
        self.repeating = {"started": self.memories["certified"], "announced": world.aggregator_memories[1]}
        for client in (1, 2):
            world.submit_again(client, origin, self.a.commitments)
        self.b = self._played(self.repeating, origin)
        self._leave()

    def _played(self, memories: dict[str, AggregatorMemory], origin: Origin | None) -> Session:
        """The rest of a session, with a note of the memory after each step."""
        world = self.world
        for step, reached in STEPS.items():
            getattr(world, step)(**({"origin": origin} if step in ("vote", "commit") else {}))
            memories[reached] = world.aggregator_memories[1]
        session = Session(
            world.sid, world.round, world.state_id, world.setup, list(world.headers), world.votes, world.commitments,
            world.hub_commitment, world.agreements, world.openings, world.total, world.results,
            memories["committed"].session.salt, world.shares[1], origin,
        )  # fmt: skip
        after = self.own.finish(memories["certified"], session.results)
        if after is not None:
            memories["finished"] = after
        for reached in ("announced", "voted", "committed", "agreed"):
            request = self.world.request(GIVE_UP, session.round)
            given_up = self.own.give_up(memories[reached], request).memory
            if given_up is not None:
                memories[f"given up {reached}"] = given_up
        return session

    def _leave(self) -> None:
        """Go on from each situation of session A: to a later round, to other set-ups, to a lost store."""
        memories, later = dict(self.memories), self.b.round + 1
        for name in ("announced", "voted", "committed", "opened", "certified", "finished", "given up agreed"):
            self.memories[f"{name}, later"] = self.announced(memories[name], later)
        for name in ("announced", "committed", "agreed", "opened", "certified", "given up agreed"):
            bound, started = self.next_setup(memories[name])
            self.memories[f"{name}, bound"], self.memories[f"{name}, in the next set-up"] = bound, started
        for name in ("announced", "committed", "certified", "given up agreed"):
            started = self.memories[f"{name}, in the next set-up"]
            self.memories[f"{name}, closed by the next set-up"] = self.announced(started, 0)
        _, lost = self.next_setup(None)
        self.memories["lost"] = self.announced(lost, 0)
        unfinished = self.memories["certified, later"]
        self.memories["finished after a later one"] = self._finished(unfinished)

    def _finished(self, memory: AggregatorMemory) -> AggregatorMemory:
        after = self.own.finish(memory, self.a.results)
        assert after is not None
        return after

    def announced(self, memory: AggregatorMemory, number: int) -> AggregatorMemory:
        """After another announcement in the current set-up."""
        request = self.world.request(ANNOUNCE, number, setup=memory.current.id)
        after = self.own.announce(memory, request).memory
        assert after is not None
        return after

    def next_setup(self, memory: AggregatorMemory | None) -> tuple[AggregatorMemory, AggregatorMemory]:
        """Bound to another set-up, and started in it, without any client."""
        self._epoch += 1
        world = self.world
        setups = [AggregatorSetup(world.manifest, s, key, self._epoch, 1) for s, key in world.aggregator_keys.items()]
        keys = [own.key() for own in setups]
        request = world.request(BIND, 0, bytes(32), require_one_setup(world.manifest, keys)[0])
        bound = setups[0].bind(memory, keys, request)
        return bound, setups[0].start(bound)

    def ask(self, transition: str, memory: AggregatorMemory, session: Session, **given: Any) -> Any:
        """One transition with what is right in a session, or with something else given."""
        own, messages = self.own, given.get("messages", session.lists.get(transition))
        origin, share = given.get("origin", session.origin), given.get("share", session.share)
        named = (session.round, session.state_id, session.setup)
        calls: dict[str, Callable[[], Any]] = {
            "announce": lambda: own.announce(memory, given.get("request", self.world.request(ANNOUNCE, *named))),
            "closing": lambda: own.closing(memory, given.get("request", self.world.request(CLOSING, *named))),
            "give_up": lambda: own.give_up(memory, given.get("request", self.world.request(GIVE_UP, *named))),
            "vote": lambda: own.vote(memory, session.sid, messages, origin),
            "commit": lambda: own.commit(memory, session.headers, messages, session.salt, origin),
            "agree": lambda: own.agree(memory, messages, given.get("hub", session.com_0)),
            "open": lambda: own.open(memory, share, messages),
            "certify": lambda: own.certify(memory, messages, given.get("hub", session.total), given.get("own_share")),
            "finish": lambda: own.finish(memory, messages),
            "words": lambda: own.words(memory, session.sid),
        }
        return calls[transition]()


def require_successor(before: AggregatorMemory, after: AggregatorMemory) -> None:
    """One version on, whole on disk, and nothing that was said is unsaid."""
    assert after.version == before.version + 1
    assert AggregatorMemory.from_bytes(after.to_bytes()) == after
    assert (after.current, after.sealed_hashes) == (before.current, before.sealed_hashes)
    assert set(before.opened.items()) <= set(after.opened.items())
    closed = {setup for setup, is_closed in before.terminal.items() if is_closed}
    assert closed <= {setup for setup, is_closed in after.terminal.items() if is_closed}
    for record in [*before.unfinished.values(), *([before.session] if before.session else [])]:
        now = after.record_of(record.sid)
        if now is None:
            continue
        for name in ("voted", "rho", "commitments", "result"):
            assert getattr(now, name) == getattr(record, name) or not getattr(record, name)
        assert now.given_up >= record.given_up
        if now.given_up:
            assert (now.salt, now.share_root) == (b"", b"")


def require_client_successor(before: ClientMemory, after: ClientMemory) -> None:
    """One version on, whole on disk, with no key that was gone and no state that was left."""
    assert after.version == before.version + 1
    assert ClientMemory.from_bytes(after.to_bytes()) == after
    assert (after.group, after.sealed_hashes, after.started) == (before.group, before.sealed_hashes, before.started)
    assert after.state == before.state or (after.state.counter > before.state.counter and not after.followed)
    assert after.last_round >= before.last_round
    for old, new in zip(before.chains, after.chains, strict=True):
        assert new == old.advance_to(new.next_round, after.group.setup)


def damaged(own: Sequence[Any], others: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Lists of messages that are not what they should be, but for the order of them."""
    first, second = own
    lists = {
        "none": [], "one": [first], "the other": [second], "three": [first, second, first], "twice": [first, first],
        "reversed": [second, first], "unsigned": [first, _unsigned(second)], "none signed": [_unsigned(first), second],
    }  # fmt: skip
    for name, found in others.items():
        lists[f"{name} instead"] = list(found)
        lists[f"one of {name}"] = [first, found[-1]]
        lists[f"first one of {name}"] = [found[0], second]
    return lists


def _unsigned(message: Any) -> Any:
    values = {name: getattr(message, name) for name in type(message).__slots__}
    return type(message)(**{**values, "signature": bytes(64)})

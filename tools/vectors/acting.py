"""Plays one party of a recorded round from bytes, with some inputs replaced."""

from __future__ import annotations

from typing import Any

import numpy as np

from privateyes.aggregation import hub, messages
from privateyes.aggregation.aggregator import Point
from privateyes.aggregation.messages import Delivery, Header, Message
from privateyes.aggregation.result import verify_disclosed
from privateyes.aggregation.snapshot import dump_committed, load_committed
from vectors.cast import Cast

KINDS = {
    kind.kind: kind for kind in vars(messages).values() if isinstance(kind, type) and hasattr(kind, "kind")
}  # fmt: skip
Call = dict[str, Any]


class Actor:
    """One party, before the round.

    Args:
        done: the whole honest round, whose messages stand in where a call gives none.
        party: for example ``{"aggregator": 2}``; empty for the hub and for an auditor.
    """

    def __init__(self, done: Cast, party: dict[str, int]) -> None:
        self.done, fresh = done, Cast(done.plot)
        self.number = next(iter(party.values()), 0)
        self.state: Any = None
        self.stored = b""
        if "aggregator" in party:
            self.own: Any = fresh.aggregators[self.number]
            self.memory: Any = fresh.aggregator_memories[self.number]
        elif "client" in party:
            self.own, self.memory = fresh.clients[self.number], fresh.client_memories[self.number]

    def perform(self, calls: list[Call]) -> Any:
        """All calls; the result of the last."""
        result = None
        for call in calls:
            result = getattr(self, f"_{call['do']}")(call)
        return result

    def _given(self, call: Call, honest: list[Any]) -> list[Any]:
        if "messages" not in call:
            return honest
        return [self._parse(bytes.fromhex(text)) for text in call["messages"]]

    def _parse(self, data: bytes) -> Message:
        parsed: Message = KINDS[data[0]].from_bytes(data, self.done.manifest)
        return parsed

    def _took(self, step: Any) -> Any:
        self.state, self.memory = step.state, step.memory or self.memory
        return step

    def _named(self, call: Call) -> tuple[int, int, bytes]:
        state_id = bytes.fromhex(call["state_id"]) if "state_id" in call else self.done.state_id
        return call.get("epoch", self.done.epoch), call.get("round", self.done.round), state_id

    # An aggregator

    def _announce(self, call: Call) -> Any:
        kept = self.state
        step = self._took(self.own.announce(self.memory, *self._named(call)))
        if call.get("keep_state"):
            self.state = kept
        return step

    def _closing(self, call: Call) -> Any:
        return self.own.closing(self.memory, *self._named(call))

    def _vote(self, call: Call) -> Any:
        headers = self._given(call, self.done.headers_seen(self.number))
        return self._took(self.own.vote(self.memory, self.state, headers))

    def _commit(self, call: Call) -> Any:
        votes, salt = self._given(call, self.done.votes), self.done.salt(self.number)
        step = self._took(self.own.commit(self.memory, self.state, votes, salt))
        self.stored = dump_committed(step.state)
        return step

    def _reload(self, _: Call) -> None:
        self.state = load_committed(self.stored, self.number, self.done.manifest)

    def _stop(self, call: Call) -> Any:
        stopped = self.own.stop(self.memory, Point(call["step"]))
        self.memory = stopped.memory
        return stopped

    def _agree(self, call: Call) -> Any:
        *commitments, hubs = self._given(call, [*self.done.commitments, self.done.hub_commitment])
        return self._took(self.own.agree(self.memory, self.state, commitments, hubs))

    def _open(self, call: Call) -> Any:
        return self._took(self.own.open(self.memory, self.state, self._given(call, self.done.agreements)))

    def _certify(self, call: Call) -> Any:
        *openings, total = self._given(call, [*self.done.openings, self.done.total])
        return self._took(self.own.certify(self.state, openings, total))

    # A client

    def _observe(self, call: Call) -> Any:
        self.memory = self.own.observe(self.memory, self._given(call, self.done.announcements))

    def _submit(self, call: Call) -> Any:
        delta = self.done.delta(self.number)
        if "delta" in call:
            delta = np.frombuffer(bytes.fromhex("".join(call["delta"])), dtype=">f4").astype(np.float32)
        weight = call.get("weight", self.done.weight(self.number))
        announcements = self._given(call, self.done.announcements)
        fresh = self.done.fresh(self.number)
        done = self.own.submit(self.memory, announcements, delta, weight, fresh, self.done.plot.clips)
        self.memory = done.memory
        return done

    def _settle(self, call: Call) -> Any:
        self.memory = self.own.settle(self.memory, self._given(call, self.done.closings()))

    def _accept(self, call: Call) -> Any:
        self.memory = self.memory.with_state(bytes.fromhex(call["state_digest"]), self.memory.current_sid)

    def _check(self, call: Call) -> Any:
        (delivery,) = self._given(call, [self.done.delivery])
        return self.own.check(self.memory, delivery, self.done.plot.clips)

    def _disclose(self, call: Call) -> Any:
        (delivery,) = self._given(call, [self.done.delivery])
        return self.own.disclose(self.memory, delivery)

    # The hub, and anyone

    def _intact(self, call: Call) -> Any:
        (submission,) = self._given(call, [])
        return hub.require_intact(submission)

    def _choose_roster(self, call: Call) -> Any:
        return hub.choose_roster(self.done.manifest, self._given(call, self.done.votes))

    def _deliver(self, call: Call) -> Any:
        done = self.done
        openings = self._given(call, done.openings)
        return hub.deliver(
            done.manifest, done.group.check_value(), done.entries, (done.hub_commitment, done.commitments),
            (done.total, openings), done.results,
        )  # fmt: skip

    def _verify(self, call: Call) -> Any:
        delivery, *headers, disclosure = self._given(call, [])
        if not isinstance(delivery, Delivery) or not all(isinstance(header, Header) for header in headers):
            raise RuntimeError("verify takes a delivery, headers and a disclosure")
        return verify_disclosed(self.done.manifest, delivery, headers, disclosure, self.done.plot.clips)

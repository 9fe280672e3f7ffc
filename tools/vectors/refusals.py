"""refusals.json: what each party refuses at each step, with the error, the number of the check and who is blamed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from privateyes.aggregation.messages import Message
from vectors import refusals_aggregator, refusals_client, refusals_setup, refusals_vote
from vectors.acting import Actor
from vectors.cast import Cast
from vectors.rounds import plots
from vectors.script import Case
from vectors.values import refusal, require


@dataclass(frozen=True)
class _Bases:
    sealed: Cast
    public: Cast

    def of(self, case: Case) -> Cast:
        """The round that a case starts from."""
        return self.public if case.public else self.sealed


def _refused(case: Case, bases: _Bases) -> dict[str, Any]:
    done = bases.of(case)
    calls = [_written(call) for call in case.calls]
    actor = Actor(done, case.party)
    actor.perform(calls[:-1])
    got = refusal(lambda: actor.perform(calls[-1:]))
    return {"about": case.about, "base": done.plot.name, "party": case.party, "calls": calls,
            "expected": require(case.expected, got, case.about)}  # fmt: skip


def _left_out(case: Case, bases: _Bases) -> dict[str, Any]:
    done = bases.of(case)
    calls = [_written(call) for call in case.calls]
    step = Actor(done, case.party).perform(calls)
    rejected = sorted(step.state.rejected)
    require(case.expected, {"rejected": rejected}, case.about)
    return {"about": case.about, "base": done.plot.name, "party": case.party, "calls": calls,
            "expected": {"vote": step.message.to_bytes(), "rejected": rejected}}  # fmt: skip


def _written(call: dict[str, Any]) -> dict[str, Any]:
    if "messages" not in call:
        return call
    texts = [message.to_bytes().hex() if isinstance(message, Message) else message for message in call["messages"]]
    return {**call, "messages": texts}


def make() -> dict[str, Any]:
    """Every case is played before it is written, and must end as a person wrote down."""
    bases = _Bases(*(Cast(plot).play() for plot in plots(3)[:2]))
    return {
        "about": "refusals, docs/protocol.md, One round; a call without messages takes those of the base round",
        "refused": [
            _refused(case, bases)
            for module in (refusals_aggregator, refusals_client)
            for case in module.cases(bases.sealed, bases.public)
        ],
        "left_out_of_the_vote": [_left_out(case, bases) for case in refusals_vote.cases(bases.sealed)],
        "setup": refusals_setup.make(),
    }

"""refusals.json: what each party refuses at each step, with the error, the number of the check and who is blamed."""

from __future__ import annotations

from typing import Any

from vectors import refusals_aggregator, refusals_client, refusals_delivery, refusals_hub, refusals_setup, refusals_vote
from vectors.acting import Actor
from vectors.bases import bases
from vectors.script import Case, Table
from vectors.values import refusal, require

MODULES = (refusals_aggregator, refusals_client, refusals_delivery, refusals_hub)


def _refused(case: Case, table: Table) -> dict[str, Any]:
    calls = [table.written(call) for call in case.calls]
    actor = Actor(bases()[case.base], case.party, table.messages)
    actor.perform(calls[:-1])
    got = refusal(lambda: actor.perform(calls[-1:]))
    return {"about": case.about, "base": case.base, "party": case.party, "calls": calls,
            "expected": require(case.expected, got, case.about)}  # fmt: skip


def _left_out(case: Case, table: Table) -> dict[str, Any]:
    calls = [table.written(call) for call in case.calls]
    step = Actor(bases()[case.base], case.party, table.messages).perform(calls)
    rejected = sorted(step.rejected)
    require(case.expected, {"rejected": rejected}, case.about)
    return {"about": case.about, "base": case.base, "party": case.party, "calls": calls,
            "expected": {"vote": step.message.to_bytes(), "rejected": rejected}}  # fmt: skip


def make() -> dict[str, Any]:
    """Every case is played before it is written, and must end as a person wrote down."""
    table = Table()
    refused = [_refused(case, table) for module in MODULES for case in module.cases()]
    left_out = [_left_out(case, table) for case in refusals_vote.cases()]
    set_up = refusals_setup.make(table)
    return {
        "about": "refusals, docs/protocol.md, One round and Setup; a call without messages takes those of its base",
        "messages": dict(sorted(table.messages.items())),
        "refused": refused,
        "left_out_of_the_vote": left_out,
        "setup": set_up,
    }

"""What is printed of an audit stays readable however much it found; the verdict counts all of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from privateyes.aggregation.audit.findings import HUB, RECORDER, Audit, Finding, Level, Outcome, SessionAudit
from privateyes.cli.audit_tables import audit_as_json, print_audit, verdict


def session(number: int, outcome: Outcome, *findings: Finding, refusals: tuple[tuple[int, int], ...] = ()) -> Any:
    sid = number.to_bytes(4, "big") + bytes(28)
    return SessionAudit(sid, bytes(32), 1, number, outcome, 5, (1, 2), None, findings, refusals)


def printed(audit: Audit, world: Any, capsys: pytest.CaptureFixture[str]) -> str:
    print_audit(world.manifest, audit)
    return " ".join(capsys.readouterr().out.split())


def test_of_many_findings_the_strongest_are_printed_and_the_rest_counted(make_world: Any, capsys: Any) -> None:
    world = make_world(set_up=False)
    noted = [Finding(Level.NOTED, "step 1", f"note {number}") for number in range(60)]
    findings = (Finding(Level.PROVEN, "step 4", "lied", ("aggregator 2",)), *noted)
    audit = Audit((session(0, Outcome.CERTIFIED, *findings),), tuple(noted), 70, 60)
    text = printed(audit, world, capsys)
    assert "proven step 4 aggregator 2 (a2) lied" in text
    assert "note 23 and 36 more: --json FILE has them all" in text  # 25 of 61
    assert "note 24 and 35 more: --json FILE has them all" in text  # 25 of 60
    assert len(json.loads(audit_as_json(world.manifest, audit))["sessions"][0]["findings"]) == 61


def test_of_many_sessions_the_worst_are_printed_in_their_order(make_world: Any, capsys: Any) -> None:
    world = make_world(set_up=False)
    sessions = [session(number, Outcome.ABORTED, Finding(Level.NOTED, "step 1", "note")) for number in range(1200)]
    guilty = Finding(Level.PROVEN, "step 4", "lied", ("aggregator 2",))
    sessions[1150] = session(1150, Outcome.CERTIFIED, guilty)
    audit = Audit(tuple(sessions), (), 5000, 5000)
    text = printed(audit, world, capsys)
    assert "0000047e certified" in text  # number 1150
    assert "and 200 more sessions: --json FILE has them all" in text
    assert "round 1150 of set-up 00000000 (epoch 1), session 0000047e" in text
    assert "proven step 4 aggregator 2 (a2) lied" in text
    assert "1160 more sessions with something to tell: --json FILE has them all" in text
    assert text.endswith("proven to have broken the protocol: aggregator 2")


def test_of_many_refused_results_some_are_told_and_the_rest_counted() -> None:
    audit = Audit(tuple(session(number, Outcome.REFUSED, refusals=((2, 5),)) for number in range(50)), (), 9, 9)
    lines = verdict(audit)
    assert sum(line.startswith("1 client refused a certified result") for line in lines) == 20
    assert lines[-1] == "30 more certified results were refused"


@pytest.mark.parametrize(
    ("parties", "text"),
    [
        ((HUB,), "1 of the hub, or of whoever altered its unsigned word on the way"),
        ((RECORDER,), "1 of whoever wrote the record, altered it or lost a part of it"),
        (
            (HUB, RECORDER),
            "1 of the hub, or of whoever altered its unsigned word on the way, or whoever wrote the record, altered "
            "it or lost a part of it",
        ),
    ],
)
def test_the_verdict_says_who_is_suspected(parties: tuple[str, ...], text: str) -> None:
    audit = Audit((), (Finding(Level.SUSPECTED, "record", "altered", parties),), 9, 9)
    assert verdict(audit) == [f"0 faults proven, {text}"]


def test_the_sessions_table_names_the_suspects(make_world: Any, capsys: Any) -> None:
    fault = Finding(Level.SUSPECTED, "step 3", "altered", (HUB, RECORDER))
    audit = Audit((session(0, Outcome.CERTIFIED, fault),), (), 9, 9)
    assert "the hub or the recorder, suspected" in printed(audit, make_world(set_up=False), capsys)

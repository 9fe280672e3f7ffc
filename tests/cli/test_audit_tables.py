"""What is printed of an audit stays readable however much it found; the verdict counts all of it."""

from __future__ import annotations

import json
from dataclasses import replace
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
    assert "1150 certified 2/4 0 aggregator 2 0000047e" in text
    assert "and 200 more sessions: --json FILE has them all" in text
    assert "session 1150 of set-up 00000000 (epoch 1), id 0000047e" in text
    assert "proven step 4 aggregator 2 (a2) lied" in text
    assert "1160 more sessions with something to tell: --json FILE has them all" in text
    assert text.endswith("proven to have broken the protocol: aggregator 2")


def test_of_many_refused_results_some_are_told_and_the_rest_counted() -> None:
    audit = Audit(tuple(session(number, Outcome.REFUSED, refusals=((2, 5),)) for number in range(50)), (), 9, 9)
    lines = verdict(audit)
    assert sum(line.startswith("1 client refused a certified result") for line in lines) == 20
    assert lines[-1] == "30 more certified results were refused"
    fewer = Audit(audit.sessions[:21], (), 9, 9)
    assert verdict(fewer)[-1] == "1 more certified result was refused"


@pytest.mark.parametrize(
    ("parties", "text"),
    [
        ((HUB,), "the hub, or whoever altered its unsigned word on the way"),
        ((RECORDER,), "whoever wrote the record, altered it or lost a part of it"),
        (
            (HUB, RECORDER),
            "the hub, or whoever altered its unsigned word on the way, or whoever wrote the record, altered it or "
            "lost a part of it",
        ),
    ],
)
def test_the_verdict_says_who_is_suspected(parties: tuple[str, ...], text: str) -> None:
    audit = Audit((), (Finding(Level.SUSPECTED, "record", "altered", parties),), 9, 9)
    assert verdict(audit) == [f"no fault is proven, 1 suspicion against {text}"]
    twice = Finding(Level.SUSPECTED, "record", "altered as well", parties)
    assert verdict(replace(audit, findings=(*audit.findings, twice))) == [
        f"no fault is proven, 2 suspicions against {text}"
    ]


@pytest.mark.parametrize(
    ("proven", "contradictions", "text"),
    [
        (1, 0, "1 fault is proven"),
        (2, 1, "2 faults are proven, 1 contradiction between several parties"),
        (0, 2, "no fault is proven, 2 contradictions between several parties"),
    ],
)
def test_the_verdict_counts_in_whole_words(proven: int, contradictions: int, text: str) -> None:
    findings = [Finding(Level.PROVEN, "step 4", f"lied {number}", ("aggregator 2",)) for number in range(proven)]
    both = ("aggregator 1", "aggregator 2")
    findings += [Finding(Level.INCONSISTENT, "step 4", f"lied {number}", both) for number in range(contradictions)]
    assert verdict(Audit((), tuple(findings), 9, 9))[0] == text


def test_the_verdict_on_an_incomplete_record_says_so_whatever_else_it_says() -> None:
    incomplete = (
        "incomplete: what is told as missing above was left out or lost, or the hub skipped the numbers of sessions"
    )
    assert verdict(Audit((), (), 9, 9, is_complete=False)) == [
        incomplete,
        "nothing that is there speaks against anybody",
    ]
    fault = Finding(Level.PROVEN, "step 4", "lied", ("aggregator 2",))
    assert verdict(Audit((), (fault,), 9, 9, is_complete=False)) == [
        incomplete,
        "1 fault is proven",
        "proven to have broken the protocol: aggregator 2",
    ]


def test_sessions_are_numbered_as_their_files_are(make_world: Any, capsys: Any) -> None:
    """round-0002-session-0003.jsonl is session 3; what the checks say for is told apart from the session's id."""
    held = [Finding(Level.HOLDS, "step 2", f"all {what}") for what in ("votes", "headers")]
    audit = Audit((session(3, Outcome.CERTIFIED, *held, Finding(Level.NOTED, "step 1", "note")),), (), 9, 9)
    text = printed(audit, make_world(set_up=False), capsys)
    assert "session outcome clients checks that hold against id set-up epoch" in text
    assert "3 certified 2/4 2 nobody 00000003 00000000 1" in text
    assert "session 3 of set-up 00000000 (epoch 1), id 00000003" in text
    stray = SessionAudit(bytes(32), None, None, None, Outcome.UNPLACED, 0, None, None, (Finding(Level.NOTED, "", "x"),))
    assert "session with the id 00000000" in printed(Audit((stray,), (), 9, 9), make_world(set_up=False), capsys)


def test_the_sessions_table_names_the_suspects(make_world: Any, capsys: Any) -> None:
    fault = Finding(Level.SUSPECTED, "step 3", "altered", (HUB, RECORDER))
    audit = Audit((session(0, Outcome.CERTIFIED, fault),), (), 9, 9)
    assert "the hub or the recorder, suspected" in printed(audit, make_world(set_up=False), capsys)

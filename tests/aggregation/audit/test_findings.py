from __future__ import annotations

import pytest

from privateyes.aggregation.audit.findings import (
    HUB,
    RECORDER,
    Audit,
    Finding,
    Level,
    Outcome,
    SessionAudit,
    everyone_of,
    joined,
    ranges,
    strongest_first,
)


@pytest.mark.parametrize(
    ("numbers", "text"), [([], ""), ([4], "4"), ([1, 2, 3], "1-3"), ([1, 3, 4, 9], "1, 3-4, 9"), ([1, 2], "1-2")]
)
def test_numbers_are_told_as_ranges(numbers: list[int], text: str) -> None:
    assert ranges(numbers) == text


def test_parties_are_named_once_and_in_order() -> None:
    names = everyone_of([3, 1, 3, 2], [7, 5], (HUB, RECORDER))
    assert names == ("hub", "recorder", "aggregator 1", "aggregator 2", "aggregator 3", "client 5", "client 7")
    assert joined(names) == "hub, recorder, aggregators 1-3, clients 5, 7"
    assert joined(["client 4"]) == "client 4"
    assert everyone_of([9, 1], [17, 9, 1]) == ("aggregator 1", "aggregator 9", "client 1", "client 9", "client 17")


def test_findings_are_told_once_and_the_strongest_first() -> None:
    found = [Finding(level, "step 1", "something", ("client 1",)) for level in reversed(Level)]
    assert [finding.level for finding in strongest_first([*found, *found])] == list(Level)


def test_only_the_three_strongest_levels_are_faults() -> None:
    faults = [level for level in Level if Finding(level, "", "").is_fault]
    assert faults == [Level.PROVEN, Level.INCONSISTENT, Level.SUSPECTED] == list(Level)[:3]


def test_a_refused_result_is_certified_and_not_consistent() -> None:
    assert [outcome for outcome in Outcome if outcome.is_certified] == [Outcome.CERTIFIED, Outcome.REFUSED]
    for outcome in Outcome:
        session = SessionAudit(bytes(32), bytes(32), 1, 0, outcome, 5, None, None, (), ((2, 5),))
        found = Audit((session,), (), 1, 1)
        assert found.is_consistent == (outcome is not Outcome.REFUSED)
        assert found.refused == (() if found.is_consistent else (session,))


@pytest.mark.parametrize("level", Level)
def test_a_fault_anywhere_is_not_consistent(level: Level) -> None:
    finding = Finding(level, "step 3", "something", ("hub",))
    session = SessionAudit(bytes(32), bytes(32), 1, 0, Outcome.CERTIFIED, 5, None, None, (finding,))
    for found in (Audit((), (finding,), 1, 1), Audit((session,), (), 1, 1)):
        assert found.is_consistent == (not finding.is_fault)


def test_a_finding_reads_as_a_sentence() -> None:
    finding = Finding(Level.PROVEN, "step 4", "signed 2 different openings for one session", ("aggregator 2",))
    assert str(finding) == "PROVEN (step 4) aggregator 2: signed 2 different openings for one session"
    assert str(Finding(Level.HOLDS, "step 0", "all 3 announcements")) == "HOLDS (step 0) all 3 announcements"

from __future__ import annotations

import pytest

from privateyes.aggregation.findings import Finding, Level, everyone_of, joined, ranges, strongest_first


@pytest.mark.parametrize(
    ("numbers", "text"), [([], ""), ([4], "4"), ([1, 2, 3], "1-3"), ([1, 3, 4, 9], "1, 3-4, 9"), ([1, 2], "1-2")]
)
def test_numbers_are_told_as_ranges(numbers: list[int], text: str) -> None:
    assert ranges(numbers) == text


def test_parties_are_named_once_and_in_order() -> None:
    names = everyone_of([3, 1, 3, 2], [7, 5], hub=True)
    assert names == ("hub", "aggregator 1", "aggregator 2", "aggregator 3", "client 5", "client 7")
    assert joined(names) == "hub, aggregators 1-3, clients 5, 7"
    assert joined(["client 4"]) == "client 4"


def test_findings_are_told_once_and_the_strongest_first() -> None:
    found = [Finding(level, "step 1", "something", ("client 1",)) for level in reversed(Level)]
    assert [finding.level for finding in strongest_first([*found, *found])] == list(Level)


def test_only_the_two_strongest_levels_are_faults() -> None:
    assert [level for level in Level if Finding(level, "", "").is_fault] == [Level.PROVEN, Level.INCONSISTENT]


def test_a_finding_reads_as_a_sentence() -> None:
    finding = Finding(Level.PROVEN, "step 4", "signed 2 different openings for one session", ("aggregator 2",))
    assert str(finding) == "PROVEN (step 4) aggregator 2: signed 2 different openings for one session"
    assert str(Finding(Level.HOLDS, "step 0", "all 3 announcements")) == "HOLDS (step 0) all 3 announcements"

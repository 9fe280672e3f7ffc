"""Order and look of the ways."""

from __future__ import annotations

from privateyes.experiments.report.ways import in_order, way


def test_known_ways_come_in_the_pages_order_and_others_after_them() -> None:
    assert in_order(["new", "private", "local", "private"]) == ["local", "private", "new"]


def test_no_two_known_ways_share_a_class_or_a_mark() -> None:
    known = [way(key) for key in ("centralised", "local", "federated", "private")]
    assert len({entry.css for entry in known}) == len({entry.mark for entry in known}) == 4


def test_an_unknown_way_never_names_a_class() -> None:
    assert way('x" onload="alert(1)').css == "w-other"

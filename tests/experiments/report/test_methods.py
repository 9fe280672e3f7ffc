"""Order and look of the methods."""

from __future__ import annotations

from privateyes.experiments.report.methods import in_order, method


def test_known_methods_come_in_the_pages_order_and_others_after_them() -> None:
    assert in_order(["new", "private", "local", "private"]) == ["local", "private", "new"]


def test_no_two_known_methods_share_a_class_or_a_mark() -> None:
    known = [method(key) for key in ("centralised", "local", "federated", "private")]
    assert len({entry.css for entry in known}) == len({entry.mark for entry in known}) == 4


def test_an_unknown_method_never_names_a_class() -> None:
    assert method('x" onload="alert(1)').css == "w-other"

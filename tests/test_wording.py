from __future__ import annotations

from privateyes.wording import counted


def test_one_thing_is_no_things() -> None:
    assert [counted(number, "row") for number in (0, 1, 2)] == ["0 rows", "1 row", "2 rows"]

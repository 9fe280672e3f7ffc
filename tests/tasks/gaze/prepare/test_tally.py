from __future__ import annotations

import json

import pytest

from privateyes.errors import DataError
from privateyes.tasks.gaze.prepare.tally import Tally, printable


def full() -> Tally:
    tally = Tally()
    tally.use(512)
    tally.use(3)
    for what in ("a", "b"):
        tally.skip("image is black", what)
    tally.skip("no such frame", "day01/0001.jpg left")
    tally.warn("labels look odd")
    tally.warn("labels look odd")
    tally.attributes["split"] = "train"
    return tally


def test_what_was_used_and_skipped_is_counted_by_reason() -> None:
    tally = full()
    assert tally.used == 515
    assert tally.by_reason() == {"image is black": 2, "no such frame": 1}
    assert tally.warnings == ["labels look odd"]


def test_a_tally_survives_its_file() -> None:
    tally = full()
    assert Tally.from_json("x.json", json.loads(json.dumps(tally.to_json()))) == tally


@pytest.mark.parametrize(
    "content",
    [
        {},
        [],
        {"used": "many", "skipped": [], "warnings": [], "attributes": {}},
        {"used": 1, "skipped": [["reason"]], "warnings": [], "attributes": {}},
        {"used": 1, "skipped": 3, "warnings": [], "attributes": {}},
    ],
)
def test_something_else_is_no_tally(content: object) -> None:
    with pytest.raises(DataError, match=r"x\.json: no tally of a conversion; delete the file"):
        Tally.from_json("x.json", content)


def test_text_from_foreign_files_is_made_printable_and_cut() -> None:
    assert printable("Übung 眼.jpg") == "Übung 眼.jpg"
    assert printable("a\x1b[31m\nb\0\udcff") == "a?[31m?b??"
    assert printable("x" * 255) == "x" * 255
    assert printable("x" * 256) == "x" * 252 + "..."
    tally = Tally()
    tally.skip("reason", "a\nb")
    assert tally.skipped[0].what == "a?b"

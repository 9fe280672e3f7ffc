from __future__ import annotations

import pytest

from privateyes.tasks.gaze.units import UNITS, unit_of


@pytest.mark.parametrize(("key", "written"), [("deg", "4.57°"), ("cm", "4.57 cm")])
def test_a_number_is_written_with_its_unit(key: str, written: str) -> None:
    assert unit_of({"unit": key}).written(4.5678) == written
    assert UNITS[unit_of({"unit": key}).key].written(4.5678, 3).startswith("4.568")  # type: ignore[index]


def test_records_of_earlier_versions_are_in_degrees() -> None:
    assert unit_of({"mean_error": 1.0}).key == "deg"

from __future__ import annotations

from pathlib import Path

import pytest

import privateyes
from privateyes.tasks.gaze.units import UNITS, unit_of, unit_of_label


@pytest.mark.parametrize(("key", "written"), [("deg", "4.57°"), ("cm", "4.57 cm")])
def test_a_number_is_written_with_its_unit(key: str, written: str) -> None:
    assert unit_of({"unit": key}).written(4.5678) == written
    assert UNITS[unit_of({"unit": key}).key].written(4.5678, 3).startswith("4.568")  # type: ignore[index]


def test_records_of_earlier_versions_are_in_degrees() -> None:
    assert unit_of({"mean_error": 1.0}).key == "deg"


@pytest.mark.parametrize(
    ("label", "key", "coordinates"), [("gaze", "deg", ("pitch", "yaw")), ("point", "cm", ("x", "y"))]
)
def test_a_label_has_a_unit_and_names_for_its_two_numbers(label: str, key: str, coordinates: tuple[str, str]) -> None:
    unit = unit_of_label(label)
    assert (unit.key, unit.coordinates) == (key, coordinates)


def test_the_signs_are_written_down_in_one_place_only() -> None:
    package = Path(privateyes.__file__).parent
    sources = [path for ending in ("py", "j2") for path in package.rglob(f"*.{ending}")]
    copies = [path.name for path in sources if any(sign in path.read_text() for sign in ('"°"', '" cm"'))]
    assert copies == ["units.py"]

from __future__ import annotations

from typing import Any

import pytest

from privateyes.errors import ConfigError
from privateyes.training.calibration_settings import CalibrationSettings


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"samples": ()}, "samples = "), ({"samples": (0, 5)}, "samples = "), ({"samples": (5, 5)}, "different"),
        ({"draws": 0}, "draws = 0"), ({"adapt": "magic"}, 'adapt = "magic" is not known; choose from: ridge'),
        ({"placement": "x"}, "placement"), ({"eyes": "x"}, "choose from: auto, halves, together"),
    ],
)  # fmt: skip
def test_impossible_settings_are_refused_by_name(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        CalibrationSettings(**changes).require_sound()


def test_the_defaults_are_sound() -> None:
    CalibrationSettings().require_sound()

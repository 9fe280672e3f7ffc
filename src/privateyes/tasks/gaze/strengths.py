"""How strong the changes of `augment` may be; on its own, for tables are read without torch."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

LARGEST: Final[Mapping[str, float]] = MappingProxyType({
    "mirror": 1.0, "rotation_deg": 45.0, "shift_px": 64, "brightness": 1.0, "contrast": 0.95, "gamma": 2.0,
    "light_gradient": 0.95, "blur_px": 5.0, "noise": 1.0,
})  # fmt: skip
"""The largest value of each strength; the least is 0."""

"""How persons are calibrated: the numbers of [calibration], without anything that computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from privateyes.errors import ConfigError

Adaptation = Literal["ridge", "offset", "last_layer", "all"]
ADAPTATIONS: Final[tuple[Adaptation, ...]] = ("ridge", "offset", "last_layer", "all")
Placement = Literal["spread", "random"]
PLACEMENTS: Final[tuple[Placement, ...]] = ("spread", "random")
Eyes = Literal["auto", "halves", "together"]
EYES: Final[tuple[Eyes, ...]] = ("auto", "halves", "together")


@dataclass(frozen=True, slots=True)
class CalibrationSettings:
    """How persons are calibrated.

    Attributes:
        samples: numbers k of calibration samples; of each eye, where eyes are calibrated separately.
        adapt: "ridge", "offset", "last_layer" or "all"; see `training.calibration` and `training.personal`.
        placement: "spread" over the person's range of gaze like the dots of a calibration screen, or "random".
        draws: R, how often the samples are drawn anew.
        eyes: "auto" calibrates each eye by itself where the column `eye` tells them apart, and both together elsewhere;
            "halves" takes the first half of a person's rows for one eye; "together" never separates them.
    """

    samples: tuple[int, ...] = (1, 5, 9)
    adapt: Adaptation = "ridge"
    placement: Placement = "spread"
    draws: int = 20
    eyes: Eyes = "auto"

    def require_sound(self) -> None:
        """Refuse impossible numbers.

        Raises:
            ConfigError: names the key and the remedy.
        """
        if not self.samples or min(self.samples) < 1 or len(set(self.samples)) < len(self.samples):
            raise ConfigError(f"calibration.samples = {list(self.samples)}", "give different numbers, 1 or more")
        if self.draws < 1:
            raise ConfigError(f"calibration.draws = {self.draws}", "give 1 or more")
        for key, value, known in (
            ("adapt", self.adapt, ADAPTATIONS), ("placement", self.placement, PLACEMENTS), ("eyes", self.eyes, EYES),
        ):  # fmt: skip
            if value not in known:
                raise ConfigError(f'calibration.{key} = "{value}" is not known', f"choose from: {', '.join(known)}")

"""The manifest's [privacy]: how long an update may be in L2, and later how much noise protects whom (protocol,
"Parameters").

Without noise the section has one number that people choose, ``norm_clip``. Its value in steps of the grid follows from
it and ``scale_bits``; a second number for the same thing could only disagree with the first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from privateyes.crypto.statement import encode_tuple
from privateyes.encoding.fixed_point import FixedPoint, exact_clip
from privateyes.encoding.norm import NormLimit, smallest_bound
from privateyes.errors import ConfigError, ParameterError

NO_NOISE: Final = "none"
GAUSSIAN_NOISE: Final = "dgauss-640-255"
GAUSSIAN_BOUND: Final = 8191 * 256
"""The largest absolute value of one coordinate's noise, in steps of the grid."""

MAX_NOISY_BOUND: Final = 1 << 24
UNITS: Final = ("client", "record")


@dataclass(frozen=True, slots=True)
class Privacy:
    """The section's values. One that does not apply is "" or 0, and then absent from the file.

    Attributes:
        norm_clip: C, the largest L2 norm of an update, a float32 value.
        noise: ``none``, or ``dgauss-640-255``, which no party can add yet.
        unit: whom the noise protects: a ``client`` or a ``record``; "" without noise.
        norm_bound: c, with noise alone: there C becomes c steps of the grid. Without noise see ``limit``.
        releases: with noise alone, the most sums that a client takes part in.
        delta: with noise alone, of (epsilon, delta).

    Raises:
        ParameterError: values that contradict each other.
    """

    norm_clip: float
    noise: str = NO_NOISE
    unit: str = ""
    norm_bound: int = 0
    releases: int = 0
    delta: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.norm_clip) and self.norm_clip > 0 and exact_clip(self.norm_clip) == self.norm_clip):
            nearest = exact_clip(abs(self.norm_clip)) if math.isfinite(self.norm_clip) else 0.0
            raise ParameterError(
                f"privacy.norm_clip = {self.norm_clip} is not a positive float32 value", f"use {nearest or 1.0!r}"
            )
        if self.noise not in (NO_NOISE, GAUSSIAN_NOISE):
            raise ParameterError(
                f"privacy.noise = {self.noise!r} is not known", f'use "{NO_NOISE}", or "{GAUSSIAN_NOISE}"'
            )
        if self.noise == NO_NOISE:
            self._require_nothing_of_noise()
        else:
            self._require_all_of_noise()

    def _require_nothing_of_noise(self) -> None:
        for name in ("unit", "norm_bound", "releases", "delta"):
            if getattr(self, name):
                why = (
                    "norm_clip and scale_bits say it" if name == "norm_bound" else "without noise nobody is promised it"
                )
                raise ParameterError(f'privacy.{name} does not go with noise = "{NO_NOISE}": {why}', "remove it")

    def _require_all_of_noise(self) -> None:
        if self.unit not in UNITS:
            raise ParameterError(f"privacy.unit = {self.unit!r} is not known", f"use one of {', '.join(UNITS)}")
        if not 1 <= self.norm_bound < MAX_NOISY_BOUND:
            raise ParameterError(
                f"privacy.norm_bound = {self.norm_bound} is outside 1..2^24 - 1", "choose a bound in that range"
            )
        if self.releases < 1:
            raise ParameterError(f"privacy.releases = {self.releases}", "give the number of rounds")
        if not 0 < self.delta < 1:
            raise ParameterError(f"privacy.delta = {self.delta} is not between 0 and 1", "1e-5 is usual")

    def limit(self, encoding: FixedPoint) -> NormLimit:
        """What clients and verifiers hold norms against: floor(C * 2^f) steps of the grid 2^-f."""
        return NormLimit(math.floor(Fraction(self.norm_clip) * (1 << encoding.scale_bits)), encoding.scale_bits)

    def require_fits(self, encoding: FixedPoint, dimension: int, corrupt_clients: int) -> None:
        """Check against the rest of a manifest.

        Raises:
            ParameterError: the grid is too coarse for the norm, or the noise does not fit.
        """
        least, bound = smallest_bound(dimension), self.norm_bound or self.limit(encoding).bound
        if bound < least:
            more = math.ldexp(least, -encoding.scale_bits)
            raise ParameterError(
                f"an L2 norm of {bound} steps of the grid is too short for {dimension} parameters: rounding alone "
                f"needs {least}",
                f"use norm_bound = {least} or more"
                if self.norm_bound
                else f'use norm_clip = {more!r} or more, or a finer grid (scale_bits, field = "wide")',
            )
        if self.noise != NO_NOISE:
            self._require_noise_fits(encoding, corrupt_clients)
            raise ParameterError(
                f'privacy.noise = "{self.noise}": this version cannot add noise yet', f'use noise = "{NO_NOISE}"'
            )

    def _require_noise_fits(self, encoding: FixedPoint, corrupt_clients: int) -> None:
        if encoding.weight_max != 1:
            raise ParameterError(
                f"weight_max = {encoding.weight_max} with noise: every update gets the same noise", "use weight_max = 1"
            )
        if corrupt_clients < 1:
            raise ParameterError(
                "corrupt_clients = 0 with noise: a curious client takes its own noise off the sum",
                "use corrupt_clients = 1 or more",
            )
        if encoding.noise_bound != GAUSSIAN_BOUND:
            raise ParameterError(
                f"noise_bound = {encoding.noise_bound} is not that of {self.noise}",
                f"use noise_bound = {GAUSSIAN_BOUND}",
            )
        if 2 * encoding.roster_max * (self.norm_bound + GAUSSIAN_BOUND) >= encoding.field.prime:
            raise ParameterError(
                f"{encoding.roster_max} clients with norm_bound = {self.norm_bound} and noise could wrap the sum",
                'lower norm_bound or roster_max, or use field = "wide"',
            )

    def to_toml_lines(self) -> list[str]:
        """The section as people read and pin it."""
        lines = ["[privacy]", f"norm_clip = {self.norm_clip!r}", f'noise = "{self.noise}"']
        if self.noise != NO_NOISE:
            lines += [
                f'unit = "{self.unit}"', f"norm_bound = {self.norm_bound}", f"releases = {self.releases}",
                f"delta = {self.delta!r}",
            ]  # fmt: skip
        return lines


def privacy_part(privacy: Privacy | None) -> bytes:
    """The section's part of H(manifest); without the section a fixed one."""
    if privacy is None:
        return encode_tuple(())
    return encode_tuple(
        (
            privacy.noise, privacy.unit, privacy.norm_bound, privacy.norm_clip.hex(), privacy.releases,
            privacy.delta.hex(),
        )
    )  # fmt: skip


def privacy_from_table(table: Mapping[str, Any]) -> Privacy:
    """Read the section.

    Raises:
        ConfigError: an unknown or missing key, or a value of the wrong type.
        ParameterError: values that contradict each other.
    """
    if "quantile" in table:
        raise ConfigError(
            "[privacy]: quantile, a clip that follows the updates, needs noise, and this version cannot add any",
            "remove it",
        )
    values = {name: _value(name, value) for name, value in table.items()}
    for name in ("norm_clip", "noise"):
        if name not in values:
            raise ConfigError(f"[privacy]: key {name} is missing", f"add {name}, {_KINDS[name][1]}")
    return Privacy(**values)


_KINDS: Final[Mapping[str, tuple[type, str]]] = {
    "norm_clip": (float, "a number"),
    "noise": (str, "a text in quotes"),
    "unit": (str, "a text in quotes"),
    "norm_bound": (int, "a whole number of at most 63 bits"),
    "releases": (int, "a whole number of at most 63 bits"),
    "delta": (float, "a number"),
}


def _value(name: str, value: Any) -> Any:
    if name not in _KINDS:
        raise ConfigError(f"[privacy]: unknown key {name}", "remove it")
    kind, what = _KINDS[name]
    fits = isinstance(value, (int, float) if kind is float else kind) and not isinstance(value, bool)
    if not fits:
        raise ConfigError(f"[privacy]: {name} = {value!r}", f"give {what}")
    if isinstance(value, int) and value.bit_length() > 63:  # one of thousands of digits could not even be shown
        raise ConfigError(f"[privacy]: {name} is too large", "give a smaller number")
    return kind(value)

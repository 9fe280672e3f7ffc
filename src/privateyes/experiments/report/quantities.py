"""How quantities are written for people: errors, seconds, bytes, counts and very small numbers."""

from __future__ import annotations

import math

from privateyes.training.metric import Metric

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def scientific(value: float) -> str:
    """Two digits and a power of ten, for example ``3.1 × 10⁻⁹``; zero is ``0``."""
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.1e}".split("e")
    power = str(int(exponent)).translate(_SUPERSCRIPTS)
    return f"{mantissa.replace('-', '−')} × 10{power}"


def error(value: float, metric: Metric) -> str:
    """A metric's value, or a difference of two: its decimals; two significant digits for what they would show as 0."""
    if value != 0 and abs(value) < 0.5 * 10**-metric.places:
        # below a millionth the zeros can no longer be counted at a glance
        if abs(value) < 1e-6:
            return f"{scientific(value)}{metric.sign}"
        places = 1 - math.floor(math.log10(abs(value)))
        return f"{value:.{places}f}".rstrip("0").replace("-", "−") + metric.sign
    return metric.written(value).replace("-", "−")


def seconds(value: float) -> str:
    """A duration in seconds, or in milliseconds below 0.1 s."""
    if value == 0:
        return "0 s"
    if value < 0.1:
        return f"{value * 1000:.0f} ms" if value >= 0.01 else f"{value * 1000:.1f} ms"
    return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"


def data_size(value: float) -> str:
    """A number of bytes in B, kB (1000), MB or GB."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        # 999,950 B would be written as 1000.0 kB
        if value >= size * 0.99995:
            return f"{value / size:.1f} {unit}"
    return f"{value:.0f} B" if value else "0"


def count(value: int, singular: str, plural: str = "") -> str:
    """A counted thing, for example ``1 person`` or ``7 people``; thousands get a comma."""
    return f"{value:,} {singular if value == 1 else plural or singular + 's'}"

"""The engine's protocols: how many parties each needs, and what each protects against, in plain words.

What is said here of the engine is from its documentation and source [SPU]: ABY3 [ABY3] is implemented against
semi-honest parties only. SEMI2K [SPDZ2k] takes its correlated randomness from a "trusted first party" unless told
otherwise; that party collects every party's seed and could undo every mask, so that the engine itself calls this unfit
for production. CHEETAH [Cheetah] makes its correlated randomness between the two parties.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

ProtocolName = Literal["aby3", "cheetah", "semi2k"]
ENGINE: Final = "SecretFlow SPU 0.9.5"
FRACTION_BITS: Final[Mapping[int, int]] = MappingProxyType({64: 18, 128: 40})
"""Bits of the ring -> bits of the fraction: products of two values of up to 2^13 (2^23) must not leave the ring."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """A protocol of the engine.

    Attributes:
        name: as experiment files write it.
        engine_name: as the engine writes it.
        fewest, most: how many parties it takes.
        threat_model: whom it protects against, and whom not.
    """

    name: ProtocolName
    engine_name: str
    fewest: int
    most: int
    threat_model: str


PROTOCOLS: Final[Mapping[str, Protocol]] = MappingProxyType(
    {
        "aby3": Protocol(
            "aby3",
            "ABY3",
            3,
            3,
            "semi-honest, honest majority of 3: weaker than ours; one party that deviates may alter the model or learn "
            "about the images, and two that collude learn all images",
        ),
        "cheetah": Protocol(
            "cheetah",
            "CHEETAH",
            2,
            2,
            "semi-honest, 2 parties: weaker than ours; a party that deviates may alter the model or learn about the "
            "images, and the two together learn all images",
        ),
        "semi2k": Protocol(
            "semi2k",
            "SEMI2K",
            2,
            7,
            "semi-honest with party 0 trusted: weaker than ours; party 0 deals the correlated randomness and so can "
            "learn all images by itself; the engine's makers call this unfit for production",
        ),
    }
)

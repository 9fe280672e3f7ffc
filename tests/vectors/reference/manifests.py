"""What a round needs of a manifest, and how updates become integers."""

from __future__ import annotations

import math
import struct
import tomllib
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from .fields import FIELDS
from .statements import digest, encode


@dataclass(frozen=True)
class Segment:
    """Coordinates with one clip and one grid."""

    start: int
    stop: int
    clip: float
    scale_bits: int


class Manifest:
    """A manifest that is known to be legal."""

    def __init__(self, text: str) -> None:
        self.table = table = tomllib.loads(text)
        self.field = FIELDS[table["field"]]
        self.dimension, self.clip, self.scale_bits = table["dimension"], float(table["clip"]), table["scale_bits"]
        self.sealed, self.bulk_hash = table["mode"] == "sealed", table["bulk_hash"]
        self.aggregators, self.clients = len(table["aggregators"]), len(table["clients"])
        self.elements = self.dimension + 1 + self.field.tags
        self.digest = self._digest(bytes.fromhex(table["initial_state"]))

    def _digest(self, initial_state: bytes) -> bytes:
        table, leaders = self.table, self.table["leaders"]
        parties = [
            encode(role, party["name"], bytes.fromhex(party["public_key"]), party["organisation"])
            for role in ("aggregator", "client")
            for party in table[f"{role}s"]
        ]
        # A clip enters as its C99 hexadecimal text, with thirteen digits after the point.
        return digest(
            "manifest", "all", b"", 2, table["bulk_hash"], table["field"], self.dimension, self.clip.hex(),
            self.scale_bits, table["weight_max"], table["noise_bound"], table["mode"], table["roster_min"],
            table["roster_max"], table["corrupt_clients"], bytes.fromhex(table["hub_key"]), initial_state,
            bytes.fromhex(table["settings"]), len(leaders), *leaders, self.aggregators, self.clients, *parties,
            self._privacy(),
        )  # fmt: skip

    def _privacy(self) -> bytes:
        """One member that holds the section's tuple; of nothing where there is no section."""
        section = self.table.get("privacy")
        if section is None:
            return encode()
        return encode(
            section["noise"], section.get("unit", ""), section.get("norm_bound", 0), float(section["norm_clip"]).hex(),
            section.get("releases", 0), float(section.get("delta", 0)).hex(),
        )  # fmt: skip

    @property
    def norm_bound(self) -> int | None:
        """c, in steps of the grid 2^-f; None where the norm is not limited."""
        section = self.table.get("privacy")
        return None if section is None else math.floor(Fraction(section["norm_clip"]) * 2**self.scale_bits)

    @property
    def fixed_cohort(self) -> bool:
        """Whether every roster holds every client."""
        return bool(self.table["roster_min"] == self.table["roster_max"] == self.clients)

    def weights_seed(self, seed: int) -> bytes:
        """What the first weights of a fresh start are drawn from."""
        return digest("initial-weights", "all", b"", self._digest(bytes(32)), seed)

    def segments(self, plan: dict[str, Any] | None) -> list[Segment]:
        """A clip above the manifest's is cut down to it; a smaller one has a finer grid, by powers of two."""
        if plan is None:
            return [Segment(0, self.dimension, self.clip, self.scale_bits)]
        out, start = [], 0
        for length, bits in zip(plan["lengths"], plan["clips"], strict=True):
            clip = min(float32_below(float64(bits)), self.clip)
            finer = 0
            while clip * 2 ** (finer + 1) <= self.clip:
                finer += 1
            limit = max(40, self.scale_bits)
            out.append(Segment(start, start + length, clip, min(self.scale_bits + finer, limit)))
            start += length
        return out

    def require_possible(self, segments: list[Segment], sums: list[int], roster: int, weight: int) -> None:
        """Checks 6 to 8 of a sum in plain integers.

        Raises:
            ValueError: a check fails.
        """
        if not roster <= weight <= roster * self.table["weight_max"]:
            raise ValueError("check 6")
        norm = Fraction(0)
        for part in segments:
            bound = math.floor(weight * Fraction(part.clip) * 2**part.scale_bits)
            bound += roster * (1 + self.table["noise_bound"])
            for value in sums[part.start : part.stop]:
                if abs(value) > bound:
                    raise ValueError("check 7")
                norm += Fraction(value, 2 ** (part.scale_bits - self.scale_bits)) ** 2
        if self.norm_bound is not None and norm > (weight * self.norm_bound) ** 2:
            raise ValueError("check 8")


def float32(text: str) -> float:
    """A float32 from its big-endian bytes."""
    return float(struct.unpack(">f", bytes.fromhex(text))[0])


def float64(text: str) -> float:
    """A float64 from its big-endian bytes."""
    return float(struct.unpack(">d", bytes.fromhex(text))[0])


def float64_text(value: float) -> str:
    """The big-endian bytes of a float64."""
    return struct.pack(">d", value).hex()


def float32_below(value: float) -> float:
    """The largest float32 that is no larger than a positive value."""
    packed = struct.pack(">f", value)
    nearest = float(struct.unpack(">f", packed)[0])
    if nearest <= value:
        return nearest
    below = (int.from_bytes(packed, "big") - 1).to_bytes(4, "big")
    return float(struct.unpack(">f", below)[0])


def encode_update(segments: list[Segment], delta: list[float], weight: int, words: list[int]) -> list[int]:
    """floor(w * clipped * 2^f), one more if word / 2^32 is below the fraction."""
    out = []
    for part in segments:
        for t in range(part.start, part.stop):
            clipped = max(-Fraction(part.clip), min(Fraction(part.clip), Fraction(delta[t])))
            exact = clipped * weight * 2**part.scale_bits
            below = math.floor(exact)
            out.append(below + (Fraction(words[t], 2**32) < exact - below))
    return out

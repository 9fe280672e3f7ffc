"""encodings.json: floats to elements and back, and parameters that are refused."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np

from privateyes.crypto.field import COMPACT, WIDE, Field
from privateyes.encoding.clips import ClipPlan, segments
from privateyes.encoding.fixed_point import FixedPoint, exact_clip, largest_scale_bits
from vectors.values import bits32, bits64, numbers, refusal, require

TOP = 2**32 - 1


def parameters(encoding: FixedPoint) -> dict[str, Any]:
    """An encoding as the vectors write it."""
    return {
        "field": encoding.field.name,
        "clip": bits64(encoding.clip)[0],
        "scale_bits": encoding.scale_bits,
        "weight_max": encoding.weight_max,
        "roster_max": encoding.roster_max,
        "noise_bound": encoding.noise_bound,
    }


def _encoding_case(about: str, encoding: FixedPoint, weight: int, cases: list[tuple[float, int]]) -> dict[str, Any]:
    delta = np.array([value for value, _ in cases], dtype=np.float32)
    words = np.array([word for _, word in cases], dtype=np.uint32)
    out = encoding.field.zeros(delta.size)
    case = {"about": about, "parameters": parameters(encoding), "weight": weight, "delta": bits32(delta),
            "rounding_words": numbers(words)}  # fmt: skip
    if not np.isfinite(delta).all():
        got = refusal(lambda: encoding.encode(delta, weight, words, out))
        return {**case, **require({"error": "TrainingError"}, got, about)}
    clipped = encoding.encode(delta, weight, words, out)
    return {**case, "elements": numbers(out), "integers": numbers(encoding.field.lift(out)), "clipped": clipped}


def _encodings(field: Field) -> list[dict[str, Any]]:
    one = FixedPoint(field, 1.0, 10, 50, 4)
    small = FixedPoint(field, exact_clip(0.1), 12, 7, 9, noise_bound=3)
    third, half = 1 / 3, 2**31
    above = float(np.nextafter(np.float32(1), np.float32(2)))
    return [
        _encoding_case("on the grid, nothing is rounded", one, 1,
                       [(0.0, 0), (-0.0, 0), (0.5, 0), (-0.5, TOP), (1.0, 0)]),
        _encoding_case("always up, always down, in between", one, 1,
                       [(third, 0), (third, TOP), (third, half), (-third, 0), (-third, TOP), (-third, half)]),
        _encoding_case("the weight multiplies before rounding", one, 50,
                       [(third, half), (-third, half), (2.0**-16, 0)]),
        _encoding_case("clipped", one, 3, [(above, 0), (-above, TOP), (1.0, 0), (-1.0, 0), (3.0e38, 5), (-7.5, 5)]),
        _encoding_case("tiny values", one, 1, [(1e-45, 0), (1e-45, 1), (-1e-45, 0), (-1e-45, TOP), (1e-12, 1)]),
        _encoding_case("a clip that is not a power of two", small, 7,
                       [(0.05, half), (-0.05, half), (0.1, 0), (0.2, 0)]),
        _edge_words(one),
        _encoding_case("a NaN", one, 1, [(0.0, 0), (math.nan, 0)]),
        _encoding_case("an infinity", one, 1, [(-math.inf, 0), (0.0, 0)]),
    ]  # fmt: skip


def _edge_words(encoding: FixedPoint) -> dict[str, Any]:
    """The word on which rounding turns: up if word / 2^32 < fraction."""
    value = np.float32(0.3)
    fraction = Fraction(float(value)) * 2**encoding.scale_bits % 1
    word = math.ceil(fraction * 2**32)
    cases = [(float(value), word - 1), (float(value), word), (float(value), word + 1)]
    return _encoding_case("the word on which rounding turns", encoding, 1, cases)


def _decodings(field: Field) -> list[dict[str, Any]]:
    encoding = FixedPoint(field, 1.0, 10, 50, 4, noise_bound=2)
    out = []
    for sums, weight, size in (([0, 1, -1, 1024, -1024], 1, 1), ([1000, -999, 123_456], 121, 3), ([7], 200, 4)):
        values = np.array(sums, dtype=np.int64)
        out.append(
            {
                "parameters": parameters(encoding),
                "sum": numbers(values),
                "total_weight": weight,
                "roster_size": size,
                "mean": bits64(encoding.decode(values, weight)),
                "largest_accepted": str(encoding.sum_bound(size, weight)),
            }
        )
    return out


def _refused_parameters() -> list[dict[str, Any]]:
    base: dict[str, Any] = {"field": COMPACT, "clip": 1.0, "scale_bits": 4, "weight_max": 9, "roster_max": 5}
    changes: list[tuple[str, dict[str, Any]]] = [
        ("clip is zero", {"clip": 0.0}), ("clip is negative", {"clip": -1.0}), ("clip is NaN", {"clip": math.nan}),
        ("clip is infinite", {"clip": math.inf}), ("clip is no float32", {"clip": 0.1}),
        ("weight_max is 0", {"weight_max": 0}), ("weight_max is above 2^24", {"weight_max": 2**24 + 1}),
        ("scale_bits is negative", {"scale_bits": -1}), ("scale_bits is above 40", {"scale_bits": 41}),
        ("roster_max is 0", {"roster_max": 0}), ("noise_bound is negative", {"noise_bound": -1}),
        ("the sum could wrap", {"scale_bits": 25}),
        ("the sum of the weights could wrap",
         {"clip": 2.0**-30, "scale_bits": 0, "weight_max": 2**24, "roster_max": 64}),
        ("noise could make the sum wrap", {"noise_bound": COMPACT.prime // 10}),
    ]  # fmt: skip
    out = []
    for about, change in changes:
        values = {**base, "noise_bound": 0, **change}
        got = refusal(lambda values=values: FixedPoint(**values))
        shown = {**values, "field": values["field"].name, "clip": bits64(values["clip"])[0]}
        out.append({"about": about, "parameters": shown, **require({"error": "ParameterError"}, got, about)})
    return out


def _finest(field: Field) -> list[dict[str, Any]]:
    cases = [
        (1.0, 1, 2, 0),
        (1.0, 50, 4, 0),
        (exact_clip(0.1), 1000, 15, 7),
        (2.0**-20, 100, 1000, 0),
        (64.0, 2**20, 60, 0),
    ]
    return [
        {
            "field": field.name, "clip": bits64(clip)[0], "weight_max": weight, "roster_max": roster,
            "noise_bound": noise, "scale_bits": largest_scale_bits(field, clip, weight, roster, noise),
        }
        for clip, weight, roster, noise in cases
    ]  # fmt: skip


PLANS: list[tuple[str, tuple[int, ...], tuple[float, ...]]] = [
    ("one tensor with the manifest's clip", (7,), (1.0,)),
    ("smaller clips have finer grids", (2, 4, 1), (0.5, 0.25, 0.001)),
    ("a clip above the manifest's is cut down to it", (3, 4), (2.0, 1.0)),
    ("clips that are no powers of two", (1, 1, 5), (0.75, 0.1, 0.6)),
    ("no grid is finer than 2^-40", (6, 1), (2.0**-60, 1.0)),
]


def _plan_case(about: str, encoding: FixedPoint, lengths: tuple[int, ...], clips: tuple[float, ...]) -> dict[str, Any]:
    parts = segments(encoding, 7, ClipPlan(lengths, clips))
    return {
        "about": about,
        "parameters": parameters(encoding),
        "dimension": 7,
        "lengths": list(lengths),
        "clips": bits64(clips),
        "segments": [
            {"start": part.start, "stop": part.stop, "clip": bits64(part.encoding.clip)[0],
             "scale_bits": part.encoding.scale_bits}
            for part in parts
        ],
    }  # fmt: skip


def _refused_plans(encoding: FixedPoint) -> list[dict[str, Any]]:
    cases = [
        ("no tensors", (), ()), ("a clip too few", (3, 4), (1.0,)), ("an empty tensor", (7, 0), (1.0, 1.0)),
        ("a clip of zero", (7,), (0.0,)), ("a negative clip", (7,), (-1.0,)), ("a NaN", (7,), (math.nan,)),
        ("an infinite clip", (7,), (math.inf,)), ("a clip below every float32", (7,), (1e-60,)),
        ("another dimension", (3, 3), (1.0, 1.0)),
    ]  # fmt: skip
    out = []
    for about, lengths, clips in cases:
        got = refusal(lambda lengths=lengths, clips=clips: segments(encoding, 7, ClipPlan(lengths, clips)))
        shown = {"lengths": list(lengths), "clips": bits64(clips) if clips else []}
        out.append({"about": about, "dimension": 7, **shown, **require({"error": "ParameterError"}, got, about)})
    return out


def make() -> dict[str, Any]:
    """Both fields."""
    fields = (COMPACT, WIDE)
    capped = FixedPoint(WIDE, 1.0, 20, 50, 4)
    odd = FixedPoint(COMPACT, 0.75, 10, 50, 4)
    return {
        "about": "fixed point, docs/protocol.md, Encoding; float32 and float64 values as their big-endian bytes",
        "encode": [case for field in fields for case in _encodings(field)],
        "decode": [case for field in fields for case in _decodings(field)],
        "finest_scale": [case for field in fields for case in _finest(field)],
        "refused_parameters": _refused_parameters(),
        "clip_plans": [_plan_case(about, encoding, *plan) for encoding in (capped, odd) for about, *plan in PLANS],
        "refused_clip_plans": {"parameters": parameters(capped), "cases": _refused_plans(capped)},
    }  # fmt: skip

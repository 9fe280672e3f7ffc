"""24. A ring in place of a field: refused."""

from __future__ import annotations

import random

import pytest

from privateyes.aggregation.manifest import manifest_from_toml
from privateyes.crypto.field import COMPACT, WIDE, field_by_name
from privateyes.errors import ConfigError


@pytest.mark.parametrize("name", ["ring64", "z2_64", "Compact", "", "compact ", "wide\n", "31"])
def test_only_the_two_prime_fields_have_names(name) -> None:
    with pytest.raises(ConfigError, match="is not a field of this protocol"):
        field_by_name(name)


def test_a_manifest_over_a_ring_is_refused(world) -> None:
    text = world.manifest.to_toml().replace(f'field = "{world.field.name}"', 'field = "ring64"')
    with pytest.raises(ConfigError, match="ring64"):
        manifest_from_toml(text)


def _is_prime(number: int) -> bool:
    """Lucas-Lehmer: 2^q - 1 is prime for an odd prime q if and only if s_(q-2) = 0."""
    exponent, s = number.bit_length(), 4
    for _ in range(exponent - 2):
        s = (s * s - 2) % number
    return s == 0


def test_both_fields_are_prime_and_their_tags_reach_two_to_the_minus_120() -> None:
    for field in (COMPACT, WIDE):
        assert _is_prime(field.prime)
        assert field.prime == 2**field.bits - 1
        assert field.tags * (field.bits - 1) >= 120


def test_in_the_ring_half_of_all_challenges_miss_a_deviation_of_2_to_the_63() -> None:
    generator = random.Random(1)
    for modulus, low, high in ((2**64, 0.4, 0.6), (WIDE.prime, 0.0, 0.0)):
        missed = [generator.randrange(modulus) * 2**63 % modulus == 0 for _ in range(2000)]
        assert low <= sum(missed) / len(missed) <= high

"""The reference arithmetic of both fields."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privateyes.crypto.field import COMPACT, WIDE, field_by_name
from privateyes.errors import ConfigError, MalformedError

FIELDS = st.sampled_from([COMPACT, WIDE])


def _vector(field, values):
    return np.array(values, dtype=field.dtype)


@given(st.data())
def test_addition_subtraction_and_products_are_those_of_python_integers(data) -> None:
    field = data.draw(FIELDS)
    p = field.prime
    element = st.one_of(st.integers(0, p - 1), st.sampled_from([0, 1, p - 1, p // 2]))
    pairs = data.draw(st.lists(st.tuples(element, element), max_size=9))
    left, right = (_vector(field, [pair[k] for pair in pairs]) for k in (0, 1))
    assert field.add(left, right).tolist() == [(a + b) % p for a, b in pairs]
    assert field.subtract(left, right).tolist() == [(a - b) % p for a, b in pairs]
    assert field.dot(left, right) == sum(a * b for a, b in pairs) % p
    assert field.add(left, right).dtype == field.dtype


@given(st.data())
def test_lifting_and_lowering_are_inverse(data) -> None:
    field = data.draw(FIELDS)
    half = field.prime // 2
    edge = st.sampled_from([-half, -1, 0, 1, half])
    values = data.draw(st.lists(st.one_of(st.integers(-half, half), edge), max_size=9))
    lowered = field.lower(np.array(values, dtype=np.int64))
    assert lowered.tolist() == [value % field.prime for value in values]
    assert field.lift(lowered).tolist() == values


@given(st.data())
def test_bytes_are_little_endian_words_and_read_back(data) -> None:
    field = data.draw(FIELDS)
    values = data.draw(st.lists(st.integers(0, field.prime - 1), max_size=9))
    encoded = b"".join(value.to_bytes(field.element_bytes, "little") for value in values)
    assert _vector(field, values).tobytes() == encoded
    assert field.from_bytes(encoded, len(values)).tolist() == values


def test_another_length_is_refused(field) -> None:
    data = bytes(3 * field.element_bytes)
    for wrong in (data[:-1], data + b"\0", b""):
        with pytest.raises(MalformedError, match="a vector of 3"):
            field.from_bytes(wrong, 3)


def test_the_first_word_that_is_no_element_is_named(field) -> None:
    words = _vector(field, [1, field.prime - 1, field.prime, 2 ** (8 * field.element_bytes) - 1])
    with pytest.raises(MalformedError, match=f"word 2 is {field.prime}"):
        field.from_bytes(words.tobytes(), 4)
    field.from_bytes(words[:2].tobytes(), 2)


def test_the_prime_itself_is_no_element(field) -> None:
    with pytest.raises(MalformedError, match=f"word 0 is {field.prime}"):
        field.require_canonical(_vector(field, [field.prime]))


def test_vectors_of_different_lengths_have_no_inner_product(field) -> None:
    with pytest.raises(ValueError, match="shorter"):
        field.dot(field.zeros(3), field.zeros(2))


def test_a_field_has_as_many_tags_as_a_forgery_below_2_to_the_minus_120_takes(field) -> None:
    def bits(tags: int) -> float:
        return tags * (math.log2(field.prime) - 1)

    assert round(bits(field.tags)) == 120
    assert bits(field.tags - 1) < 100


def test_what_was_read_cannot_be_written(field) -> None:
    elements = field.from_bytes(bytes(field.element_bytes), 1)
    with pytest.raises(ValueError, match="read-only"):
        elements[0] = 1


def test_fields_are_found_by_name() -> None:
    assert field_by_name("compact") is COMPACT
    assert field_by_name("wide") is WIDE
    with pytest.raises(ConfigError, match="'F_2'"):
        field_by_name("F_2")

"""The compiled kernels equal the NumPy reference and plain Python integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privateyes.crypto import kernels
from privateyes.crypto.field import COMPACT, WIDE, Field

FIELDS = st.sampled_from([COMPACT, WIDE])
QUICK = settings(deadline=None)


def _elements(field):
    p = field.prime
    return st.one_of(st.integers(0, p - 1), st.sampled_from([0, 1, 2, p - 2, p - 1, p // 2, p // 2 + 1]))


def _words(field):
    top = 2 ** (8 * field.element_bytes) - 1
    p = field.prime
    return st.one_of(st.integers(0, top), st.sampled_from([0, 1, p - 1, p, p + 1, top - 1, top]))


@st.composite
def _pairs(draw):
    field = draw(FIELDS)
    pairs = draw(st.lists(st.tuples(_elements(field), _words(field)), max_size=40))
    elements = np.array([pair[0] for pair in pairs], dtype=field.dtype)
    words = np.array([pair[1] for pair in pairs], dtype=field.dtype)
    return field, elements, words


@QUICK
@given(_pairs())
def test_adding_words_masks_reduces_and_reports_rejected_words(case) -> None:
    field, elements, words = case
    p = field.prime
    expected = [(int(e) + (int(w) & p)) % p for e, w in zip(elements, words, strict=True)]
    masked = (words & field.dtype.type(p)) % field.dtype.type(p)
    assert field.add(elements, masked).tolist() == expected
    result = elements.copy()
    assert kernels.add_words(field, result, words) == any(int(w) & p == p for w in words)
    assert result.tolist() == expected


@QUICK
@given(_pairs())
def test_subtracting_words_masks_reduces_and_reports_rejected_words(case) -> None:
    field, elements, words = case
    p = field.prime
    expected = [(int(e) - (int(w) & p)) % p for e, w in zip(elements, words, strict=True)]
    result = elements.copy()
    assert kernels.subtract_words(field, result, words) == any(int(w) & p == p for w in words)
    assert result.tolist() == expected


@QUICK
@given(_pairs(), st.data())
def test_subtracting_scaled_words_equals_integers(case, data) -> None:
    field, elements, words = case
    p = field.prime
    factor = data.draw(_elements(field))
    expected = [(int(e) - factor * (int(w) & p)) % p for e, w in zip(elements, words, strict=True)]
    result = elements.copy()
    assert kernels.subtract_scaled_words(field, result, words, factor) == any(int(w) & p == p for w in words)
    assert result.tolist() == expected


@QUICK
@given(FIELDS, st.integers(0, 11), st.integers(0, 40), st.integers(0, 2**32))
def test_adding_vectors_equals_integers_and_the_reference_for_any_number_of_them(field, count, size, seed) -> None:
    p, generator = field.prime, np.random.default_rng(seed)
    total, *vectors = (
        np.where(generator.integers(0, 3, size) == 0, p - 1, generator.integers(0, p, size, dtype=np.uint64)).astype(
            field.dtype
        )
        for _ in range(count + 1)
    )
    expected = [sum(map(int, column)) % p for column in zip(total, *vectors, strict=True)]
    reference = total.copy()
    for vector in vectors:
        reference = field.add(reference, vector)
    before = [vector.copy() for vector in vectors]
    kernels.add_vectors(field, total, vectors)
    assert total.tolist() == expected == reference.tolist()
    assert all(np.array_equal(vector, kept) for vector, kept in zip(vectors, before, strict=True))


def test_four_vectors_of_the_largest_elements_do_not_overflow(field) -> None:
    for value in (field.prime - 1, field.prime // 2, field.prime // 2 + 1):
        total = np.full(9, value, dtype=field.dtype)
        kernels.add_vectors(field, total, [total.copy() for _ in range(4)])
        assert total.tolist() == [5 * value % field.prime] * 9


@pytest.mark.parametrize("value", range(5))
@pytest.mark.parametrize("times", range(1, 4))
def test_four_vectors_whose_sum_is_just_above_a_multiple_of_the_prime_are_reduced(field, value, times) -> None:
    p = field.prime
    left = times * p + value
    parts = []
    for _ in range(5):
        parts.append(min(left, p - 1))
        left -= parts[-1]
    assert left == 0
    total, *vectors = (np.full(3, part, dtype=field.dtype) for part in parts)
    kernels.add_vectors(field, total, vectors)
    assert total.tolist() == [value] * 3


@QUICK
@given(FIELDS, st.data())
def test_the_compiled_lift_equals_integers_and_lowering_undoes_it(field, data) -> None:
    elements = np.array(data.draw(st.lists(_elements(field), max_size=40)), dtype=field.dtype)
    lifted = np.empty(elements.size, dtype=np.int64)
    kernels.lift(field, elements, lifted)
    expected = [value - field.prime if value > field.prime // 2 else value for value in elements.tolist()]
    assert lifted.tolist() == expected == field.lift(elements).tolist()
    assert np.array_equal(field.lower(lifted), elements)


@QUICK
@given(st.data())
def test_the_tensor_product_equals_integers_and_the_reference_however_it_is_cut(data) -> None:
    field = data.draw(FIELDS)
    p, tags = field.prime, field.tags
    height, width = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5))
    size = data.draw(st.integers(0, height * width))
    seed = data.draw(st.integers(0, 2**32 - 1))
    generator = np.random.default_rng(seed)

    def draw(*shape):
        edge = generator.integers(0, 4, shape) == 0
        return np.where(edge, p - 1, generator.integers(0, p, shape)).astype(field.dtype)

    rows, columns, values = draw(tags, height), draw(tags, width), draw(size)
    first = np.array(data.draw(st.lists(_elements(field), min_size=tags, max_size=tags)), dtype=np.uint64)
    sums = first.copy()
    cuts = sorted(data.draw(st.lists(st.integers(0, size), max_size=3)))
    for start, end in zip([0, *cuts], [*cuts, size], strict=True):
        kernels.tensor_dot(field, start, values[start:end], rows, columns, sums)
    for tag in range(tags):
        coefficients = [int(rows[tag, t // width]) * int(columns[tag, t % width]) % p for t in range(size)]
        expected = (int(first[tag]) + sum(c * int(v) for c, v in zip(coefficients, values, strict=True))) % p
        assert int(sums[tag]) == expected
        assert (int(first[tag]) + field.dot(np.array(coefficients, dtype=field.dtype), values)) % p == expected


def test_long_sums_of_the_largest_products_do_not_overflow(field) -> None:
    size = 300_000
    values = np.full(size, field.prime - 1, dtype=field.dtype)
    rows = np.full((field.tags, 1), field.prime - 1, dtype=field.dtype)
    columns = np.full((field.tags, size), field.prime - 1, dtype=field.dtype)
    sums = np.full(field.tags, field.prime - 1, dtype=np.uint64)
    kernels.tensor_dot(field, 0, values, rows, columns, sums)
    # (p-1)^3 = -1, so the sum is -1 - size.
    assert sums.tolist() == [(-1 - size) % field.prime] * field.tags


@pytest.mark.parametrize("offset", range(8))
def test_words_may_be_read_only_and_start_at_any_byte(field, offset) -> None:
    size = 19
    clean = np.arange(1, size + 1, dtype=field.dtype)
    words = np.frombuffer(memoryview(bytes(offset) + clean.tobytes())[offset:], dtype=field.dtype)
    for operation, expected in ((kernels.add_words, clean + 5), (kernels.subtract_words, None)):
        result = np.full(size, 5, dtype=field.dtype)
        assert operation(field, result, words) is False
        if expected is None:
            expected = field.subtract(np.full(size, 5, dtype=field.dtype), clean)
        assert np.array_equal(result, expected)


def test_an_array_may_be_added_to_itself(field) -> None:
    values = np.array([0, 1, field.prime - 1, field.prime // 2], dtype=field.dtype)
    expected = field.add(values, values)
    kernels.add_words(field, values, values)
    assert np.array_equal(values, expected)


def _ones(field, values):
    return np.ones_like(values)


IN_PLACE = {
    "add_words": lambda field, values: kernels.add_words(field, values, _ones(field, values)),
    "subtract_words": lambda field, values: kernels.subtract_words(field, values, _ones(field, values)),
    "subtract_scaled_words": lambda field, values: kernels.subtract_scaled_words(
        field, values, _ones(field, values), 3
    ),
    "add one vector": lambda field, values: kernels.add_vectors(field, values, [_ones(field, values)]),
    "add four vectors": lambda field, values: kernels.add_vectors(field, values, [_ones(field, values)] * 4),
}


@pytest.mark.parametrize("operation", IN_PLACE.values(), ids=IN_PLACE)
def test_a_part_of_an_array_is_changed_in_place_and_nothing_beside_it(field, operation) -> None:
    values = np.full(10, 5, dtype=field.dtype)
    operation(field, values[3:6])
    assert values[:3].tolist() == [5] * 3
    assert values[6:].tolist() == [5] * 4
    assert 5 not in values[3:6]


def test_a_lift_and_a_tensor_product_write_only_their_results(field) -> None:
    lifted = np.full(10, 5, dtype=np.int64)
    kernels.lift(field, np.full(3, 7, dtype=field.dtype), lifted[3:6])
    assert lifted.tolist() == [5] * 3 + [7] * 3 + [5] * 4
    sums = np.full(field.tags + 4, 5, dtype=np.uint64)
    rows, columns = np.ones((field.tags + 4, 2), dtype=field.dtype), np.ones((field.tags + 4, 2), dtype=field.dtype)
    here = slice(2, 2 + field.tags)
    kernels.tensor_dot(field, 0, np.ones(4, dtype=field.dtype), rows[here], columns[here], sums[here])
    assert sums.tolist() == [5] * 2 + [9] * field.tags + [5] * 2


@pytest.mark.parametrize("field", [COMPACT, WIDE], ids=lambda field: field.name)
def test_the_compiled_lift_is_the_reference_lift(field: Field) -> None:
    middle = field.prime // 2
    edges = [0, 1, middle - 1, middle, middle + 1, field.prime - 2, field.prime - 1]
    elements = np.array(edges * 40, dtype=field.dtype)
    lifted = np.empty(elements.size, dtype=np.int64)
    kernels.lift(field, elements, lifted)
    assert lifted.tolist() == field.lift(elements).tolist()
    assert lifted[:7].tolist() == [0, 1, middle - 1, middle, -middle, -2, -1]

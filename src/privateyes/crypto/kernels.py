"""Compiled arithmetic in the two fields; field.py is the reference that the tests hold it against.

Every kernel comes in two widths, is compiled once and cached on disk, releases the interpreter lock and works in place
on a chunk that fits the processor's cache. Words are unsigned and little endian; elements are canonical (below p) on
entry and on return.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from privateyes.crypto.field import Elements, Field

P31 = np.uint32(2**31 - 1)
P61 = np.uint64(2**61 - 1)
_P31_WIDE = np.uint64(2**31 - 1)
_SHIFT31 = np.uint64(31)
_SHIFT61 = np.uint64(61)
_SHIFT3 = np.uint64(3)
_SHIFT32 = np.uint64(32)
_LOW32 = np.uint64(2**32 - 1)
_TWO31 = np.uint64(2**31)
_TWO32 = np.uint64(2**32)
_ZERO = np.uint64(0)
_ONE = np.uint64(1)


def _emit_product_high(typing_context: Any, left: Any, right: Any) -> Any:  # noqa: ARG001 - numba's signature
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - numba's signature
        double = ir.IntType(128)
        product = builder.mul(builder.zext(arguments[0], double), builder.zext(arguments[1], double))
        return builder.trunc(builder.lshr(product, ir.Constant(double, 64)), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), codegen


# The upper 64 bits of a 64 x 64 bit product: one instruction, which Python cannot name.
_product_high: Any = intrinsic(_emit_product_high)


# A masked word is at most p, so the largest of them tells whether any was rejected.


@njit(nogil=True, cache=True)
def _add_words_31(elements: Elements, words: Elements) -> bool:
    largest = np.uint32(0)
    for t in range(elements.size):
        word = np.uint32(words[t] & P31)
        largest = max(largest, word)
        total = np.uint32(elements[t] + word)
        elements[t] = min(total, np.uint32(total - P31))
    return bool(largest == P31)


@njit(nogil=True, cache=True)
def _subtract_words_31(elements: Elements, words: Elements) -> bool:
    largest = np.uint32(0)
    for t in range(elements.size):
        word = np.uint32(words[t] & P31)
        largest = max(largest, word)
        total = np.uint32(elements[t] + np.uint32(P31 - word))
        elements[t] = min(total, np.uint32(total - P31))
    return bool(largest == P31)


@njit(nogil=True, cache=True)
def _add_words_61(elements: Elements, words: Elements) -> bool:
    largest = np.uint64(0)
    for t in range(elements.size):
        word = words[t] & P61
        largest = max(largest, word)
        total = elements[t] + word
        elements[t] = min(total, total - P61)
    return bool(largest == P61)


@njit(nogil=True, cache=True)
def _subtract_words_61(elements: Elements, words: Elements) -> bool:
    largest = np.uint64(0)
    for t in range(elements.size):
        word = words[t] & P61
        largest = max(largest, word)
        total = elements[t] + (P61 - word)
        elements[t] = min(total, total - P61)
    return bool(largest == P61)


@njit(nogil=True, cache=True)
def _add_four_31(elements: Elements, first: Elements, second: Elements, third: Elements, fourth: Elements) -> None:
    for t in range(elements.size):
        left = np.uint32(first[t] + second[t])
        right = np.uint32(third[t] + fourth[t])
        left = np.uint32(min(left, np.uint32(left - P31)) + elements[t])
        right = min(right, np.uint32(right - P31))
        total = np.uint32(min(left, np.uint32(left - P31)) + right)
        elements[t] = min(total, np.uint32(total - P31))


@njit(nogil=True, cache=True)
def _add_four_61(elements: Elements, first: Elements, second: Elements, third: Elements, fourth: Elements) -> None:
    # Five elements stay below 2^64, so one folding is enough.
    for t in range(elements.size):
        total = elements[t] + first[t] + second[t] + third[t] + fourth[t]
        total = (total & P61) + (total >> _SHIFT61)
        elements[t] = min(total, total - P61)


@njit(nogil=True, cache=True)
def _lift(elements: Elements, prime: Any, lifted: Any) -> None:
    half = prime // 2
    for t in range(elements.size):
        value = np.int64(elements[t])
        lifted[t] = value - prime if value > half else value


@njit(nogil=True, cache=True)
def _squares_31(values: Any) -> Any:
    # Halves of 32 bits: 2^32 of them fit into each sum.
    first, second = _ZERO, _ZERO
    for t in range(values.size):
        size = np.uint64(abs(values[t])) & _LOW32  # below 2^31 anyway; the mask lets the compiler see it
        square = size * size
        first += square & _LOW32
        second += square >> _SHIFT32
    return first, second


@njit(nogil=True, cache=True)
def _squares_61(values: Any) -> Any:
    first, second, third, fourth = _ZERO, _ZERO, _ZERO, _ZERO
    for t in range(values.size):
        size = np.uint64(abs(values[t]))
        low, high = size * size, _product_high(size, size)
        first += low & _LOW32
        second += low >> _SHIFT32
        third += high & _LOW32
        fourth += high >> _SHIFT32
    return first, second, third, fourth


@njit(nogil=True, cache=True)
def _four_products_31(values: Any, column: Elements, t: int, quarter: int) -> Any:
    # Four products fit into 64 bits; their sum is folded to below 2^34.
    total = values[0] * np.uint64(column[t]) + values[1] * np.uint64(column[t + quarter])
    total += values[2] * np.uint64(column[t + 2 * quarter]) + values[3] * np.uint64(column[t + 3 * quarter])
    return (total & _P31_WIDE) + (total >> _SHIFT31)


@njit(nogil=True, cache=True)
def _dots_31(values: Elements, b_1: Elements, b_2: Elements, b_3: Elements, b_4: Elements) -> Any:
    # With four columns at once, so that each value is loaded and widened once.
    quarter = values.size // 4
    dot_1, dot_2, dot_3, dot_4 = _ZERO, _ZERO, _ZERO, _ZERO
    for t in range(quarter):
        some = (
            np.uint64(values[t]),
            np.uint64(values[t + quarter]),
            np.uint64(values[t + 2 * quarter]),
            np.uint64(values[t + 3 * quarter]),
        )
        dot_1 += _four_products_31(some, b_1, t, quarter)
        dot_2 += _four_products_31(some, b_2, t, quarter)
        dot_3 += _four_products_31(some, b_3, t, quarter)
        dot_4 += _four_products_31(some, b_4, t, quarter)
    for t in range(4 * quarter, values.size):
        value = np.uint64(values[t])
        dot_1 += value * np.uint64(b_1[t]) % _P31_WIDE
        dot_2 += value * np.uint64(b_2[t]) % _P31_WIDE
        dot_3 += value * np.uint64(b_3[t]) % _P31_WIDE
        dot_4 += value * np.uint64(b_4[t]) % _P31_WIDE
    return dot_1 % _P31_WIDE, dot_2 % _P31_WIDE, dot_3 % _P31_WIDE, dot_4 % _P31_WIDE


@njit(nogil=True, cache=True)
def _tensor_dot_31(first: int, values: Elements, rows: Elements, columns: Elements, sums: Elements) -> None:
    width = columns.shape[1]
    t = 0
    while t < values.size:
        row, column = divmod(first + t, width)
        end = column + min(width - column, values.size - t)
        part = values[t : t + end - column]
        dots = _dots_31(
            part, columns[0, column:end], columns[1, column:end], columns[2, column:end], columns[3, column:end]
        )
        for tag in range(4):
            sums[tag] = (sums[tag] + dots[tag] * np.uint64(rows[tag, row])) % _P31_WIDE
        t += part.size


@njit(nogil=True, cache=True)
def _multiply_61(left: Any, right: Any) -> Any:
    low = left * right
    high = (_product_high(left, right) << _SHIFT3) | (low >> _SHIFT61)
    folded = (low & P61) + high
    folded = (folded & P61) + (folded >> _SHIFT61)
    return min(folded, folded - P61)


@njit(nogil=True, cache=True)
def _dot_61(left: Elements, right: Elements) -> Any:
    # In limbs of 31 bits, left = a 2^31 + b and right = c 2^31 + d, because processors multiply 32-bit numbers many at
    # a time. Four products of limbs fit into 64 bits; the halves of such a term are added up apart, 2^30 of them. The
    # mask on a and c tells the compiler that they are small.
    quarter = left.size // 4
    ac_low, ac_high, cross_low, cross_high, bd_low, bd_high = _ZERO, _ZERO, _ZERO, _ZERO, _ZERO, _ZERO
    for t in range(quarter):
        ac, cross, bd = _ZERO, _ZERO, _ZERO
        for start in (0, quarter, 2 * quarter, 3 * quarter):
            a, b = (left[start + t] >> _SHIFT31) & _P31_WIDE, left[start + t] & _P31_WIDE
            c, d = (right[start + t] >> _SHIFT31) & _P31_WIDE, right[start + t] & _P31_WIDE
            ac += a * c
            cross += a * d + b * c
            bd += b * d
        ac_low += ac & _LOW32
        ac_high += ac >> _SHIFT32
        cross_low += cross & _LOW32
        cross_high += cross >> _SHIFT32
        bd_low += bd & _LOW32
        bd_high += bd >> _SHIFT32
    # (ac 2^31 + cross) 2^31 + bd; with 2^30 terms or fewer nothing here reaches 2^64.
    total = _multiply_61(ac_high, _TWO32) + ac_low + (cross_high << _ONE)
    total = _multiply_61(total, _TWO31) + cross_low + (bd_high << _ONE)
    total = _multiply_61(total, _TWO31) + bd_low
    for t in range(4 * quarter, left.size):
        total += _multiply_61(left[t], right[t])
    return total % P61


@njit(nogil=True, cache=True)
def _subtract_scaled_words_31(elements: Elements, words: Elements, factor: Any) -> bool:
    largest = np.uint32(0)
    for t in range(elements.size):
        word = np.uint32(words[t] & P31)
        largest = max(largest, word)
        product = np.uint64(word) * factor
        folded = (product & _P31_WIDE) + (product >> _SHIFT31)
        # Below 3p, so one more folding leaves at most p + 1; the unsigned minimum then subtracts p where it fits.
        total = np.uint64(elements[t]) + _P31_WIDE + _P31_WIDE - folded
        total = (total & _P31_WIDE) + (total >> _SHIFT31)
        elements[t] = np.uint32(min(total, total - _P31_WIDE))
    return bool(largest == P31)


@njit(nogil=True, cache=True)
def _subtract_scaled_words_61(elements: Elements, words: Elements, factor: Any) -> bool:
    largest = np.uint64(0)
    for t in range(elements.size):
        word = words[t] & P61
        largest = max(largest, word)
        total = elements[t] + P61 - _multiply_61(word, factor)
        elements[t] = min(total, total - P61)
    return bool(largest == P61)


@njit(nogil=True, cache=True)
def _tensor_dot_61(first: int, values: Elements, rows: Elements, columns: Elements, sums: Elements) -> None:
    width = columns.shape[1]
    t = 0
    while t < values.size:
        row, column = divmod(first + t, width)
        length = min(width - column, values.size - t)
        for tag in range(rows.shape[0]):
            partial = _dot_61(values[t : t + length], columns[tag, column : column + length])
            sums[tag] = (sums[tag] + _multiply_61(partial, rows[tag, row])) % P61
        t += length


def add_words(field: Field, elements: Elements, words: Elements) -> bool:
    """``elements += words AND p`` mod p, in place.

    Returns:
        Whether any masked word equals p. Such a word adds zero; the caller adds its replacement.
    """
    return bool(_add_words_31(elements, words) if field.bits == 31 else _add_words_61(elements, words))


@lru_cache(maxsize=4)
def _zeros(field: Field, count: int) -> Elements:
    return field.zeros(count)


def add_vectors(field: Field, elements: Elements, vectors: Sequence[Elements]) -> None:
    """``elements += sum of vectors`` mod p, in place; all canonical and of one length.

    Four at a time, in one pass. Zeros, which stay in the cache, take the place of those that are missing of the last
    four: less work than another pass over the sum for each of the others.
    """
    if len(vectors) == 1:
        add_words(field, elements, vectors[0])
        return
    add_four = _add_four_31 if field.bits == 31 else _add_four_61
    given = [*vectors, *[_zeros(field, elements.size)] * (-len(vectors) % 4)]
    for start in range(0, len(given), 4):
        add_four(elements, *given[start : start + 4])


def subtract_words(field: Field, elements: Elements, words: Elements) -> bool:
    """``elements -= words AND p`` mod p, in place; returns as ``add_words``."""
    return bool(_subtract_words_31(elements, words) if field.bits == 31 else _subtract_words_61(elements, words))


def subtract_scaled_words(field: Field, elements: Elements, words: Elements, factor: int) -> bool:
    """``elements -= factor * (words AND p)`` mod p, in place, for a factor below p; returns as ``add_words``."""
    kernel = _subtract_scaled_words_31 if field.bits == 31 else _subtract_scaled_words_61
    return bool(kernel(elements, words, np.uint64(factor)))


def lift(field: Field, elements: Elements, lifted: NDArray[np.int64]) -> None:
    """Write the representatives in (-p/2, p/2) of canonical elements into ``lifted``, of the same length."""
    _lift(elements, np.int64(field.prime), lifted)


def tensor_dot(field: Field, first: int, values: Elements, rows: Elements, columns: Elements, sums: Elements) -> None:
    """Add to each tag's running sum the part of ``<a (x) b, y>`` that a chunk of y contributes.

    Args:
        first: the coordinate index of ``values[0]``.
        values: a chunk of y, (c,).
        rows: the a_l, (k, A), with the k of the field.
        columns: the b_l, (k, B); coordinate t has coefficient ``rows[l, t div B] * columns[l, t mod B]``.
        sums: running sums below p, uint64 (k,), updated in place.
    """
    (_tensor_dot_31 if field.bits == 31 else _tensor_dot_61)(first, values, rows, columns, sums)


def sum_of_squares(field: Field, values: NDArray[np.int64]) -> int:
    """The exact sum of the squares of at most 2^32 integers that ``lift`` wrote."""
    parts = (_squares_31 if field.bits == 31 else _squares_61)(values)
    return sum(int(part) << (32 * position) for position, part in enumerate(parts))

"""Compiled arithmetic in the two fields; field.py is the reference that the tests hold it against.

Every kernel comes in two widths, is compiled once and cached on disk, releases the interpreter lock and works in place
on a chunk that fits the processor's cache. Words are unsigned and little endian; elements are canonical (below p) on
entry and on return.
"""

from __future__ import annotations

from collections.abc import Sequence
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
_ZERO = np.uint64(0)


def _emit_product_high(typing_context: Any, left: Any, right: Any) -> Any:  # noqa: ARG001 - numba's signature
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - numba's signature
        double = ir.IntType(128)
        product = builder.mul(builder.zext(arguments[0], double), builder.zext(arguments[1], double))
        return builder.trunc(builder.lshr(product, ir.Constant(double, 64)), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), codegen


# The upper 64 bits of a 64 x 64 bit product: one instruction, which Python cannot name.
_product_high: Any = intrinsic(_emit_product_high)


@njit(nogil=True, cache=True)
def _add_words_31(elements: Elements, words: Elements) -> bool:
    rejected = np.uint32(0)
    for t in range(elements.size):
        word = np.uint32(words[t] & P31)
        rejected |= np.uint32(word == P31)
        total = np.uint32(elements[t] + word)
        elements[t] = min(total, np.uint32(total - P31))
    return bool(rejected)


@njit(nogil=True, cache=True)
def _subtract_words_31(elements: Elements, words: Elements) -> bool:
    rejected = np.uint32(0)
    for t in range(elements.size):
        word = np.uint32(words[t] & P31)
        rejected |= np.uint32(word == P31)
        total = np.uint32(elements[t] + np.uint32(P31 - word))
        elements[t] = min(total, np.uint32(total - P31))
    return bool(rejected)


@njit(nogil=True, cache=True)
def _add_words_61(elements: Elements, words: Elements) -> bool:
    rejected = np.uint64(0)
    for t in range(elements.size):
        word = words[t] & P61
        rejected |= np.uint64(word == P61)
        total = elements[t] + word
        elements[t] = min(total, total - P61)
    return bool(rejected)


@njit(nogil=True, cache=True)
def _subtract_words_61(elements: Elements, words: Elements) -> bool:
    rejected = np.uint64(0)
    for t in range(elements.size):
        word = words[t] & P61
        rejected |= np.uint64(word == P61)
        total = elements[t] + (P61 - word)
        elements[t] = min(total, total - P61)
    return bool(rejected)


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
def _dot_31(left: Elements, right: Elements) -> Any:
    # Each product is folded to below 2^32, so 2^32 of them fit into the sum.
    total = _ZERO
    for t in range(left.size):
        product = np.uint64(left[t]) * np.uint64(right[t])
        total += (product & _P31_WIDE) + (product >> _SHIFT31)
    return total % _P31_WIDE


@njit(nogil=True, cache=True)
def _dot_61(left: Elements, right: Elements) -> Any:
    total = _ZERO
    for t in range(left.size):
        low = left[t] * right[t]
        high = (_product_high(left[t], right[t]) << _SHIFT3) | (low >> _SHIFT61)
        total += (low & P61) + high
        total = (total & P61) + (total >> _SHIFT61)
    return total % P61


@njit(nogil=True, cache=True)
def _tensor_dot_31(first: int, values: Elements, rows: Elements, columns: Elements, sums: Elements) -> None:
    width = columns.shape[1]
    t = 0
    while t < values.size:
        row, column = divmod(first + t, width)
        length = min(width - column, values.size - t)
        for tag in range(rows.shape[0]):
            partial = _dot_31(values[t : t + length], columns[tag, column : column + length])
            sums[tag] = (sums[tag] + partial * np.uint64(rows[tag, row])) % _P31_WIDE
        t += length


@njit(nogil=True, cache=True)
def _multiply_61(left: Any, right: Any) -> Any:
    low = left * right
    high = (_product_high(left, right) << _SHIFT3) | (low >> _SHIFT61)
    folded = (low & P61) + high
    folded = (folded & P61) + (folded >> _SHIFT61)
    return min(folded, folded - P61)


@njit(nogil=True, cache=True)
def _subtract_scaled_words_31(elements: Elements, words: Elements, factor: Any) -> bool:
    rejected = np.uint32(0)
    for t in range(elements.size):
        word = np.uint32(words[t] & P31)
        rejected |= np.uint32(word == P31)
        product = np.uint64(word) * factor
        folded = (product & _P31_WIDE) + (product >> _SHIFT31)
        # Below 3p, so one more folding leaves at most p + 1; the unsigned minimum then subtracts p where it fits.
        total = np.uint64(elements[t]) + _P31_WIDE + _P31_WIDE - folded
        total = (total & _P31_WIDE) + (total >> _SHIFT31)
        elements[t] = np.uint32(min(total, total - _P31_WIDE))
    return bool(rejected)


@njit(nogil=True, cache=True)
def _subtract_scaled_words_61(elements: Elements, words: Elements, factor: Any) -> bool:
    rejected = np.uint64(0)
    for t in range(elements.size):
        word = words[t] & P61
        rejected |= np.uint64(word == P61)
        total = elements[t] + P61 - _multiply_61(word, factor)
        elements[t] = min(total, total - P61)
    return bool(rejected)


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


def add_vectors(field: Field, elements: Elements, vectors: Sequence[Elements]) -> None:
    """``elements += sum of vectors`` mod p, in place; all canonical and of one length. Four at a time, in one pass."""
    add_four = _add_four_31 if field.bits == 31 else _add_four_61
    whole = len(vectors) - len(vectors) % 4
    for start in range(0, whole, 4):
        add_four(elements, *vectors[start : start + 4])
    for vector in vectors[whole:]:
        add_words(field, elements, vector)


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
        rows: the a_l, (k, A).
        columns: the b_l, (k, B); coordinate t has coefficient ``rows[l, t div B] * columns[l, t mod B]``.
        sums: running sums below p, uint64 (k,), updated in place.
    """
    (_tensor_dot_31 if field.bits == 31 else _tensor_dot_61)(first, values, rows, columns, sums)


def sum_of_squares(field: Field, values: NDArray[np.int64]) -> int:
    """The exact sum of the squares of at most 2^32 integers that ``lift`` wrote."""
    parts = (_squares_31 if field.bits == 31 else _squares_61)(values)
    return sum(int(part) << (32 * position) for position, part in enumerate(parts))

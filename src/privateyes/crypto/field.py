"""The two prime fields and their reference arithmetic in NumPy.

Both primes are Mersenne primes, so that a machine word becomes an element by masking. The functions here are plain,
slow and obviously right: they are the oracle for the compiled kernels in kernels.py.

Prime fields only: in Z_2^64 a deviation of 2^63 passes a linear check half of the time (protocol, "Parameters").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from privateyes.errors import ConfigError, MalformedError

Elements: TypeAlias = NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True, slots=True)
class Field:
    """One prime field F_p with p = 2^bits - 1, and the number of tags that makes a forgery unlikely enough.

    Attributes:
        name: ``compact`` or ``wide``, as a manifest writes it.
        bits: p = 2^bits - 1.
        element_bytes: bytes of an element in memory and in a message, little endian.
        tags: k; a forgery succeeds with probability at most (2/p)^k = 2^-120.
    """

    name: str
    bits: int
    element_bytes: int
    tags: int

    @property
    def prime(self) -> int:
        """p."""
        return (1 << self.bits) - 1

    @property
    def dtype(self) -> np.dtype[Any]:
        """Little-endian unsigned words of ``element_bytes``."""
        return np.dtype(f"<u{self.element_bytes}")

    def zeros(self, count: int) -> Elements:
        """``count`` zero elements."""
        return np.zeros(count, dtype=self.dtype)

    def from_bytes(self, data: bytes | memoryview, count: int) -> Elements:
        """Read exactly ``count`` canonical elements.

        Raises:
            MalformedError: wrong length, or a word that is p or larger.
        """
        size = memoryview(data).nbytes
        if size != count * self.element_bytes:
            raise MalformedError(
                f"a vector of {count} {self.name} elements has {size} bytes, not {count * self.element_bytes}"
            )
        elements: Elements = np.frombuffer(data, dtype=self.dtype)
        self.require_canonical(elements)
        return elements

    def require_canonical(self, elements: Elements) -> None:
        """Refuse any word that is not below p.

        Raises:
            MalformedError: names the first such position.
        """
        if elements.size and int(elements.max()) >= self.prime:
            position = int(np.argmax(elements >= self.prime))
            raise MalformedError(f"word {position} is {int(elements[position])}, not below the prime {self.prime}")

    # Reference arithmetic, exact through Python integers.

    def add(self, left: Elements, right: Elements) -> Elements:
        """Element-wise left + right mod p; both canonical."""
        return self._elements((left.astype(object) + right.astype(object)) % self.prime)

    def subtract(self, left: Elements, right: Elements) -> Elements:
        """Element-wise left - right mod p; both canonical."""
        return self._elements((left.astype(object) - right.astype(object)) % self.prime)

    def dot(self, left: Elements, right: Elements) -> int:
        """Inner product mod p."""
        return sum(int(a) * int(b) for a, b in zip(left, right, strict=True)) % self.prime

    def lift(self, elements: Elements) -> NDArray[np.int64]:
        """The representative of each element in (-p/2, p/2)."""
        values = elements.astype(np.int64)
        lifted: NDArray[np.int64] = np.where(values > self.prime // 2, values - self.prime, values)
        return lifted

    def lower(self, values: NDArray[np.int64]) -> Elements:
        """Integers in (-p/2, p/2) to elements: the inverse of ``lift``."""
        elements: Elements = np.where(values < 0, values + self.prime, values).astype(self.dtype)
        return elements

    def _elements(self, values: NDArray[Any]) -> Elements:
        elements: Elements = values.astype(self.dtype)
        return elements


COMPACT: Final = Field(name="compact", bits=31, element_bytes=4, tags=4)
WIDE: Final = Field(name="wide", bits=61, element_bytes=8, tags=2)


def field_by_name(name: str) -> Field:
    """The field that a manifest names.

    Raises:
        ConfigError: for any other name, rings included.
    """
    for field in (COMPACT, WIDE):
        if field.name == name:
            return field
    raise ConfigError(
        f"field = {name!r} is not a field of this protocol", 'use "compact" (p = 2^31 - 1) or "wide" (p = 2^61 - 1)'
    )

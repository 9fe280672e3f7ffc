"""25. Streams are uniform on [0, p), redrawn words included."""

from __future__ import annotations

import numpy as np
import pytest

from privateyes.crypto.labels import Label, Role
from privateyes.crypto.streams import ElementStream, KeyStream, scratch_words

LABELS = (Label.MASK, Label.MASK_TAIL)
COUNT = 1 << 18


def _chi_square(values, bins: int, prime: int) -> float:
    counts = np.bincount((values.astype(np.float64) * bins / prime).astype(np.int64), minlength=bins)
    expected = values.size / bins
    return float(((counts - expected) ** 2 / expected).sum())


def _stream(field) -> ElementStream:
    return ElementStream(field, bytes(32), LABELS, Role.ALL, b"c", scratch=scratch_words(field))


def test_a_stream_fills_the_field_evenly(field) -> None:
    values = _stream(field).read(COUNT)
    bins = 256
    assert int(values.max()) < field.prime
    # 255 degrees of freedom: mean 255, standard deviation 22.6.
    assert 255 - 6 * 22.6 < _chi_square(values, bins, field.prime) < 255 + 6 * 22.6
    assert _chi_square(values // 2, bins, field.prime) > 1000
    for bit in (0, 1, field.bits - 1):
        ones = int(np.count_nonzero(values >> np.array(bit, values.dtype) & np.array(1, values.dtype)))
        assert abs(ones - COUNT / 2) < 6 * np.sqrt(COUNT / 4)


@pytest.fixture
def often_rejected(monkeypatch: pytest.MonkeyPatch):
    """One word in four of every main and tail stream is p or, in the unused upper bits too, all ones."""
    fill = KeyStream.fill

    def spoilt(self, buffer) -> None:
        fill(self, buffer)
        size = 8 if self.wide else 4
        words = np.frombuffer(buffer, dtype=f"<u{size}")
        chosen = words % 7 < 2
        prime, ones = np.array([self.prime, 2 ** (8 * size) - 1], words.dtype)
        words[chosen] = np.where(words[chosen] % 2 == 0, prime, ones)

    def install(field):
        monkeypatch.setattr(KeyStream, "wide", field.element_bytes == 8, raising=False)
        monkeypatch.setattr(KeyStream, "prime", field.prime, raising=False)
        monkeypatch.setattr(KeyStream, "fill", spoilt)

    return install


def test_redrawn_words_are_uniform_too(field, often_rejected) -> None:
    often_rejected(field)
    values = _stream(field).read(COUNT)
    assert int(values.max()) < field.prime
    assert _chi_square(values, 256, field.prime) < 255 + 6 * 22.6


def test_without_the_tail_a_quarter_of_the_elements_is_zero(field, often_rejected, monkeypatch) -> None:
    monkeypatch.setattr(ElementStream, "_refill", lambda self, piece, words, factor: None)
    often_rejected(field)
    values = _stream(field).read(COUNT)
    assert np.mean(values == 0) > 0.2
    assert _chi_square(values, 256, field.prime) > 1000

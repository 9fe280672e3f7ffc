"""Key streams equal an independent computation with the `cryptography` package."""

from __future__ import annotations

import hashlib
import hmac

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from privateyes.crypto import streams
from privateyes.crypto.field import COMPACT
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.statement import statement
from privateyes.crypto.streams import ElementStream, KeyStream, scratch_words
from privateyes.errors import ParameterError

KEY, CONTEXT = bytes(range(32)), b"context"
LABELS = (Label.MASK, Label.MASK_TAIL)


def _independent_bytes(label: Label, count: int) -> bytes:
    """AES block by block from the counter, the key from the two halves of HKDF done by hand."""
    extracted = hmac.new(bytes(32), KEY, hashlib.sha256).digest()
    material = HKDFExpand(SHA256(), 48, statement(label, Role.ALL, CONTEXT, 5)).derive(extracted)
    block_cipher = Cipher(AES(material[:32]), ECB()).encryptor()  # noqa: S305 - single blocks, to build CTR by hand
    counter = int.from_bytes(material[32:], "big")
    blocks = [block_cipher.update(((counter + index) % 2**128).to_bytes(16, "big")) for index in range(-(-count // 16))]
    return b"".join(blocks)[:count]


def _read(count: int, *pieces: int) -> bytes:
    stream = KeyStream(KEY, Label.MASK, Role.ALL, CONTEXT, 5)
    buffer = bytearray(b"\xff" * count)
    start = 0
    for piece in (*pieces, count - sum(pieces)):
        stream.fill(memoryview(buffer)[start : start + piece])
        start += piece
    return bytes(buffer)


@pytest.mark.parametrize("pieces", [(), (1,), (15, 2), (16, 16), (300, 300)])
def test_a_key_stream_is_aes_256_in_counter_mode_however_it_is_read(pieces) -> None:
    assert _read(1000, *pieces) == _independent_bytes(Label.MASK, 1000)


def test_reads_longer_than_a_chunk_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "CHUNK_BYTES", 48)
    assert _read(1000) == _independent_bytes(Label.MASK, 1000)


def test_a_stream_ends_before_its_counter_could_meet_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MAX_STREAM_BYTES", 64)
    stream = KeyStream(KEY, Label.MASK, Role.ALL, CONTEXT)
    stream.fill(memoryview(bytearray(60)))
    with pytest.raises(ParameterError, match="ends after"):
        stream.fill(memoryview(bytearray(5)))
    stream.fill(memoryview(bytearray(4)))


def test_a_stream_has_2_to_the_30_blocks_of_aes() -> None:
    assert 2**30 * AES.block_size // 8 == streams.MAX_STREAM_BYTES


def test_a_scratch_is_one_chunk(field) -> None:
    assert scratch_words(field).nbytes == streams.CHUNK_BYTES


def _stream(field, scratch=None) -> ElementStream:
    scratch = scratch_words(field) if scratch is None else scratch
    return ElementStream(field, KEY, LABELS, Role.ALL, CONTEXT, 5, scratch=scratch)


def _independent_elements(field, count: int, main: bytes, tail: bytes) -> list[int]:
    size = field.element_bytes
    words = [int.from_bytes(main[t * size : (t + 1) * size], "little") & field.prime for t in range(count)]
    spare = iter(int.from_bytes(tail[t : t + size], "little") & field.prime for t in range(0, len(tail), size))
    return [word if word != field.prime else next(value for value in spare if value != field.prime) for word in words]


@pytest.mark.parametrize("count", [0, 1, 7, 500])
def test_elements_are_masked_little_endian_words(field, count) -> None:
    main = _independent_bytes(Label.MASK, count * field.element_bytes)
    assert _stream(field).read(count).tolist() == _independent_elements(field, count, main, b"")


@pytest.fixture
def crowded(monkeypatch: pytest.MonkeyPatch):
    """Makes a third of all words, of main and tail alike, be rejected; returns what each label's stream then is."""
    fill = KeyStream.fill

    def spoil(field, data: bytes) -> bytes:
        words = np.frombuffer(data, dtype=field.dtype).copy()
        words[words % 3 == 0] = field.prime
        return words.tobytes()

    def install(field):
        def spoilt(self, buffer) -> None:
            fill(self, buffer)
            buffer[:] = spoil(field, bytes(buffer))

        monkeypatch.setattr(KeyStream, "fill", spoilt)
        return lambda label, count: spoil(field, _independent_bytes(label, count * field.element_bytes))

    return install


@pytest.mark.parametrize("pieces", [(400,), (1, 399), (123, 77, 200), (1,) * 400], ids=len)
@pytest.mark.parametrize("chunk", [1, 5, 64, 1000])
def test_rejected_words_are_redrawn_from_the_tail_in_index_order_across_chunks(field, crowded, pieces, chunk) -> None:
    independent = crowded(field)
    expected = _independent_elements(field, 400, independent(Label.MASK, 400), independent(Label.MASK_TAIL, 1000))
    stream = _stream(field, field.zeros(chunk))
    assert [int(value) for piece in pieces for value in stream.read(piece)] == expected


@pytest.mark.parametrize("factor", [1, 2, 5])
def test_subtracting_a_stream_undoes_adding_it_redrawn_words_included(field, crowded, factor) -> None:
    crowded(field)
    start = np.arange(300, dtype=field.dtype)
    values = start.copy()
    for _ in range(factor):
        _stream(field, field.zeros(50)).add_to(values)
    assert not np.array_equal(values, start)
    _stream(field, field.zeros(70)).subtract_from(values, factor)
    assert np.array_equal(values, start)


@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 100, 101])
def test_subtraction_reaches_the_last_element_wherever_chunks_end(field, count) -> None:
    values = _stream(field).read(count)
    _stream(field, field.zeros(50)).subtract_from(values)
    assert values.tolist() == [0] * count


def test_streams_with_one_shared_scratch_do_not_disturb_each_other(field) -> None:
    scratch = scratch_words(field)
    expected = _stream(field).read(600)
    first, second = _stream(field, scratch), _stream(field, scratch)
    total = field.zeros(600)
    for start in range(0, 600, 150):
        first.add_to(total[start : start + 150])
        second.subtract_from(total[start : start + 150])
    assert not total.any()
    assert np.array_equal(_stream(field, scratch).read(600), expected)


def test_every_part_of_the_statement_separates_streams() -> None:
    def read(key=KEY, labels=LABELS, role=Role.ALL, context=CONTEXT, part=5):
        scratch = scratch_words(COMPACT)
        return ElementStream(COMPACT, key, labels, role, context, part, scratch=scratch).read(8).tobytes()

    others = [
        read(key=bytes(32)),
        read(labels=(Label.PAD, Label.PAD_TAIL)),
        read(role=Role.CLIENT),
        read(context=b"other"),
        read(part=6),
    ]
    assert len({read(), *others}) == 6

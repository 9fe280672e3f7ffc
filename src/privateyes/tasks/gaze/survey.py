"""One pass over the pictures of a person, block by block: what `check` needs to know, whatever the file's size."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from privateyes.tasks.gaze.orientation import evidence_of, evidence_rows
from privateyes.tasks.gaze.stored import read_blocks

_BLOCK_BYTES: Final = 32 << 20


@dataclass(frozen=True, slots=True)
class Survey:
    """What the pictures of one data set look like.

    Attributes:
        grey_mean: mean of all values, 0 to 255.
        constant: rows whose picture has one value only.
        digests: 64-bit digests of all pictures; None for a constant one.
        sample_rows: which rows the sample holds.
        sample: (n, h, w) uint8, some pictures, grey and small: `orientation.evidence_of`.
    """

    grey_mean: float
    constant: NDArray[np.intp] = field(repr=False)
    digests: tuple[int | None, ...]
    sample_rows: NDArray[np.int64] = field(repr=False)
    sample: NDArray[np.uint8] = field(repr=False)


def survey_pictures(where: str, pictures: Any) -> Survey:
    """Look at every picture once.

    Args:
        where: names the file, the person and the data set in the message.
        pictures: an open `h5py.Dataset` that keeps the layout's rules.

    Raises:
        DataError: the file is damaged.
    """
    count = pictures.shape[0]
    rows = max(1, _BLOCK_BYTES // int(np.prod(pictures.shape[1:])))
    sample_rows = evidence_rows(count)
    total = 0
    constant: list[int] = []
    digests: list[int | None] = []
    sample = []
    for start, block in read_blocks(where, pictures, rows):
        flat = block.reshape(len(block), -1)
        total += int(flat.sum(dtype=np.int64))
        flat_rows = flat.min(axis=1) == flat.max(axis=1)
        constant += (start + np.flatnonzero(flat_rows)).tolist()
        digests += [None if blank else _digest(picture) for picture, blank in zip(block, flat_rows, strict=True)]
        within = (sample_rows >= start) & (sample_rows < start + len(block))
        sample.append(evidence_of(block[sample_rows[within] - start]))
    mean = total / (count * int(np.prod(pictures.shape[1:])))
    return Survey(mean, np.array(constant, dtype=np.intp), tuple(digests), sample_rows, np.concatenate(sample))


def _digest(picture: NDArray[np.uint8]) -> int:
    content = str(picture.shape).encode() + picture.tobytes()
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest())

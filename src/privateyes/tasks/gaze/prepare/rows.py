"""From single rows to blocks: what a converter that meets one image at a time hands over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from privateyes.tasks.gaze.layout import PICTURES, STORED_AS
from privateyes.tasks.gaze.prepare.converter import BLOCK_ROWS, Block
from privateyes.tasks.gaze.prepare.tally import Tally

# One row: a value for each column of the layout, as NumPy can stack it.
Row = Mapping[str, Any]
BLOCK_BYTES: Final = 32 << 20


def in_blocks(rows: Iterable[Row], tally: Tally) -> Iterator[Block]:
    """Stack rows into blocks of at most 32 MiB of pictures and at most `BLOCK_ROWS` rows, and count them as used.

    Args:
        rows: all with the same columns and shapes; consumed no further than the block needs.
        tally: told before each block.
    """
    taken: list[Row] = []
    for row in rows:
        taken.append(row)
        row_bytes = sum(row[name].nbytes for name in PICTURES if name in row)
        if len(taken) == BLOCK_ROWS or (len(taken) + 1) * row_bytes > BLOCK_BYTES:
            yield _block(taken, tally)
            taken = []
    if taken:
        yield _block(taken, tally)


def _block(rows: list[Row], tally: Tally) -> Block:
    tally.use(len(rows))
    return {name: _stacked(name, [row[name] for row in rows]) for name in rows[0]}


def _stacked(name: str, values: list[Any]) -> NDArray[Any]:
    return np.array(values) if name == "frame" else np.stack(values).astype(STORED_AS[name], copy=False)

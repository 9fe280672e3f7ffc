"""Divide MPIIGaze's p00 by recording days, so that one person's model can be tested on days that it has not seen.

    export PRIVATEYES_DATA=/folder/of/the/data
    python examples/p00_by_days.py runs/p00_by_days.h5
    privateyes compare examples/p00_within_person.toml

The 39 days become six blocks of consecutive days with about 500 eyes each. A block takes the place of a person, as if
p00 had used a new device every week or so: four blocks train, the last two are the test. A random division would put
neighbouring frames of a day on both sides and make the task too easy.

Which row was recorded on which day stands in the file of labels of both eyes, in the order of the images. MPIIGaze is
CC BY-NC-SA 4.0 and shows a real person: keep what this writes to yourself.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

from privateyes.tasks.gaze.dataset import load_persons, write_persons

BLOCKS = 6


def divide(data: Path, out: Path) -> None:
    person = load_persons(data / "MPIIGaze_p00_36x60.h5", ["p00"])[0]
    with np.load(data / "MPIIGaze_eval_labels_both_eyes_p00-p09.npz") as labels:
        day = np.array([int(name[3:5]) for name in labels["p00_file"]])  # "day08/0069.jpg"
    # The day that ends a block is the one in which a sixth of the rows, or a multiple of it, is full.
    ends = np.sort(day)[np.arange(1, BLOCKS) * len(day) // BLOCKS]
    block_of_row = np.searchsorted(ends, day, side="left")
    blocks = []
    for block in range(BLOCKS):
        rows = person.rows(np.flatnonzero(block_of_row == block))
        days = day[block_of_row == block]
        name = f"p00-days{days.min():02d}-{days.max():02d}"
        blocks.append(type(rows)(name, rows.image, rows.pose, rows.gaze, {"day": days.astype(np.uint16)}))
        print(f"{name}: {len(rows)} eyes")
    write_persons(out, blocks)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    divide(Path(os.environ["PRIVATEYES_DATA"]) / "mpiigaze", target)

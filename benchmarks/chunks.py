"""How large the chunks of a data file's pictures should be: its size against the time of a row that is read at random.

    python benchmarks/chunks.py [--json FILE]

The same rendered eyes are written in chunks of several sizes, gzipped as `privateyes data render` does. Then the same
rows are read at random, as training does: 1.1 % of all, which is what 16 MiB of batches are of a person of 1.5 GB. All
rows are read in their order too, as for evaluation and for a person who fits into memory. Each run opens the file anew,
off the clock, because HDF5 keeps unpacked chunks. The system has the file in its cache, so a row's time is that of
finding and unpacking its chunk.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from measuring import Effort, Work, caption, in_turn, machine, wide_console, write_json
from privateyes.tasks.gaze.dataset import chunk_of_pictures
from privateyes.tasks.gaze.stored import read_rows
from privateyes.tasks.gaze.synthetic import render_person

RENDERED: Final = 3_000
PICTURES: Final = 24_000
READ_AT_ONCE: Final = 264
CHUNK_BYTES: Final = (2 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20)
EFFORT: Final = Effort(repeats=7, seconds=30)


def write_packed(path: Path, pictures: NDArray[np.uint8], rows: int) -> Path:
    """Write `pictures`, uint8 (N, H, W), in chunks of `rows`."""
    with h5py.File(path, "w") as file:
        chunks = (rows, *pictures.shape[1:])
        file.create_dataset("image", data=pictures, chunks=chunks, compression="gzip", compression_opts=4)
    return path


def reading(path: Path, wanted: NDArray[np.int64]) -> Work:
    """To read the rows `wanted`, int64 (B,), `READ_AT_ONCE` at a time, of a file that was opened just before."""

    def ready() -> tuple[Any]:
        return (h5py.File(path, "r")["image"],)

    def read(dataset: Any) -> None:
        for start in range(0, len(wanted), READ_AT_ONCE):
            read_rows("here", dataset, wanted[start : start + READ_AT_ONCE])

    return Work(read, ready)


def main() -> None:
    parser = argparse.ArgumentParser(description="The size of chunks: files against the time of a row.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers to this file")
    given = parser.parse_args()
    about = machine()
    pictures = np.resize(render_person(0, 0, RENDERED).image, (PICTURES, 36, 60))
    wanted = np.random.default_rng(0).permutation(PICTURES)[:READ_AT_ONCE]
    ours = chunk_of_pictures(pictures.shape)[0]
    with tempfile.TemporaryDirectory() as folder:
        many = [max(1, size // pictures[0].nbytes) for size in CHUNK_BYTES]
        paths = {rows: write_packed(Path(folder) / f"{rows}.h5", pictures, rows) for rows in many}
        some = in_turn({str(rows): reading(path, wanted) for rows, path in paths.items()}, EFFORT)
        every = in_turn({str(rows): reading(path, np.arange(PICTURES)) for rows, path in paths.items()}, EFFORT)
        sizes = {rows: path.stat().st_size for rows, path in paths.items()}
    results = [
        {"rows": rows, "chunk_bytes": rows * pictures[0].nbytes, "file_bytes": sizes[rows]}
        | {
            "us_at_random": 1e6 * some[str(rows)].cpu / READ_AT_ONCE,
            "us_in_order": 1e6 * every[str(rows)].cpu / PICTURES,
        }
        for rows in many
    ]
    used = next(one for one in results if one["rows"] == ours)
    table = Table(title=f"{PICTURES:,} eyes of 36 x 60; the ratios are to what is used", caption=caption(about))
    for heading in (
        "pictures a chunk",
        "kB",
        "file, MB",
        "of ours",
        "us at random",
        "of ours",
        "us in order",
        "of ours",
    ):
        table.add_column(heading, justify="right")
    for one in results:
        size = f"{one['file_bytes'] / 1e6:.1f}", f"{one['file_bytes'] / used['file_bytes']:.3f}"
        times = [
            text
            for name in ("us_at_random", "us_in_order")
            for text in (f"{one[name]:.0f}", f"{one[name] / used[name]:.2f}")
        ]
        table.add_row(f"{one['rows']}", f"{one['chunk_bytes'] / 1e3:.1f}", *size, *times)
    wide_console().print(table)
    write_json(given.json, {"benchmark": "chunks", "machine": about, "results": results})


if __name__ == "__main__":
    main()

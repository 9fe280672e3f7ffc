"""What a person costs who does not fit into memory: a pass over rows that are read batch by batch, and over held ones.

    python benchmarks/large_person.py [--json FILE] [--gigabytes N] [--share S]

Both passes train the same model on the same file, each in a fresh process: once with the bound on held samples that
`privateyes train` has, and once with room for all of them. Peak memory is the process's, torch and all.

Who holds everything reads everything first. So a small share of a pass makes the rows that are read batch by batch look
cheap: only `--share 1` compares the times of a pass. Memory is compared by any share.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, Final

import numpy as np
from rich.table import Table

from measuring import caption, machine, wide_console, write_json

HEIGHT: Final = 36
WIDTH: Final = 60
_BLOCK_ROWS: Final = 20_000


def write_person(path: Path, size_bytes: int) -> int:
    """Write one person of that many bytes of pictures, block by block; the number of pictures."""
    import h5py

    from privateyes.tasks.gaze.dataset import Person, write_persons

    generator = np.random.default_rng(0)
    some = generator.integers(0, 255, size=(64, HEIGHT, WIDTH), dtype=np.uint8)
    count = size_bytes // (HEIGHT * WIDTH)
    angles = generator.uniform(-0.3, 0.3, size=(64, 2)).astype(np.float32)
    write_persons(path, [Person("p00", some, angles, angles)])
    with h5py.File(path, "r+") as file:
        person = file["p00"]
        for name in list(person):
            small = person[name]
            values, attributes = small[:], dict(small.attrs)
            packed = {
                "chunks": small.chunks,
                "compression": small.compression,
                "compression_opts": small.compression_opts,
            }
            del person[name]
            large = person.create_dataset(name, (count, *values.shape[1:]), values.dtype, **packed)
            large.attrs.update(attributes)
            for start in range(0, count, _BLOCK_ROWS):
                stop = min(start + _BLOCK_ROWS, count)
                large[start:stop] = np.resize(values, (stop - start, *values.shape[1:]))
    return count


def one_pass(path: str, held_bytes: int, share: float | None) -> None:
    """In the fresh process: train a share of a pass, or predict every sample, and print what it took."""
    from privateyes.engines.local.pool import PredictJob, TrainJob, WorkerPool
    from privateyes.tasks.gaze.task import GazeTask
    from privateyes.training.settings import LocalSettings
    from privateyes.training.vector import vector_from_model

    task = GazeTask(Path(path), "lenet", (HEIGHT, WIDTH))
    settings = LocalSettings(1, 1, share or 1.0, 32, "sgd", 0.01, 0.0, 0.0, "constant")
    vector = vector_from_model(task.build_model(1))
    with WorkerPool(task, settings, workers=1, held_bytes=held_bytes) as pool:
        started, cpu = perf_counter(), process_time()
        if share is None:
            samples = sum(map(len, pool.predict([PredictJob("p00", vector)])))
        else:
            samples = sum(update.passed for update in pool.train([TrainJob("p00", ("p00",), 0, vector)]))
        took = {"seconds": perf_counter() - started, "cpu_s": process_time() - cpu}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(took | {"peak_bytes": peak, "samples": samples}))


def measure(path: Path, held_bytes: int, share: float | None) -> dict[str, Any]:
    """A share of a pass, or with None the predictions for every sample, in a fresh process.

    Returns:
        ``seconds`` on the wall, ``cpu_s``, ``peak_bytes`` of the process and the number of ``samples``.
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    code = f"import large_person; large_person.one_pass({str(path)!r}, {held_bytes}, {share})"
    done = subprocess.run([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
    return dict(json.loads(done.stdout))


def main() -> None:
    from privateyes.training.cache import HELD_BYTES

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers to this file")
    parser.add_argument("--gigabytes", type=float, default=1.5, help="of pictures (default 1.5)")
    parser.add_argument("--share", type=float, default=0.1, help="of a pass that is trained (default 0.1)")
    given = parser.parse_args()
    about, size = machine(), int(given.gigabytes * 1e9)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "person.h5"
        count = write_person(path, size)
        found = {
            "batch by batch": measure(path, HELD_BYTES, given.share),
            "all held": measure(path, 4 * size, given.share),
        }
    held = found["all held"]
    table = Table(
        title=f"{given.share:g} of a pass over {count:,} eyes of {HEIGHT} x {WIDTH}, {size / 1e9:.1f} GB",
        caption=caption(about),
    )
    for heading in ("samples are", "peak memory, MB", "of all held", "seconds", "cpu seconds", "of all held"):
        table.add_column(heading, justify="right")
    for name, one in found.items():
        memory = f"{one['peak_bytes'] / 1e6:.0f}", f"{one['peak_bytes'] / held['peak_bytes']:.2f}"
        time = f"{one['seconds']:.1f}", f"{one['cpu_s']:.1f}", f"{one['cpu_s'] / held['cpu_s']:.2f}"
        table.add_row(name, *memory, *time)
    wide_console().print(table)
    write_json(
        given.json,
        {"benchmark": "large person", "machine": about, "pictures": count, "bytes": size, "share": given.share} | found,
    )


if __name__ == "__main__":
    main()

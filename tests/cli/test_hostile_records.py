"""A megabyte that makes every check work as hard as it can is checked in seconds, in little memory.

What is measured is the process's own peak beyond its imports. The time is the test's own limit.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hostile_records import MEGABYTE, SHAPES, HostileTask, lines_of

pytestmark = pytest.mark.timeout(60)  # the command itself takes a second or two, on a machine with nothing else to do

MOST_MIB = 200
MOST_OUTPUT = 1 << 19

MEASURED = """
import sys
import privateyes.aggregation.audit, privateyes.cli.audit_tables, privateyes.cli.records
from privateyes.cli.main import main


def peak():
    # Not ru_maxrss, which a process inherits from the one that started it.
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM:")).split()[1]) // 1024


before = peak()
try:
    main()
finally:
    print("peak", peak() - before, file=sys.stderr)
"""


def verified(folder: Path) -> tuple[subprocess.CompletedProcess[str], int]:
    """What the command says about a folder, and the MiB that it took beyond its imports."""
    arguments = ["transcript", "verify", str(folder), "--manifest", str(folder / "manifest.toml")]
    done = subprocess.run([sys.executable, "-c", MEASURED, *arguments], capture_output=True, text=True, check=False)
    *_, last = done.stderr.splitlines()
    return done, int(last.removeprefix("peak "))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
@pytest.mark.parametrize(("shape", "task"), SHAPES.values(), ids=SHAPES.keys())
def test_a_hostile_record_is_checked_in_bounded_time_and_memory(shape: Any, task: Any, tmp_path: Path) -> None:
    hostile = HostileTask(**task)
    (tmp_path / "manifest.toml").write_text(hostile.manifest.to_toml())
    with (tmp_path / "record.jsonl").open("w") as file:
        file.writelines(lines_of(shape(hostile)))
    done, peak = verified(tmp_path)
    assert done.returncode in (0, 1), done.stderr
    assert "manifest: " + hostile.manifest.digest().hex() in done.stdout
    assert peak <= MOST_MIB
    assert len(done.stdout) <= MOST_OUTPUT


def _vectors() -> Iterator[tuple[str, str]]:
    yield "endless brackets", "[" * MEGABYTE
    yield "many objects", "[" + "{}," * (MEGABYTE // 3) + "{}]"
    yield "many lists", "[" + "[]," * (MEGABYTE // 3) + "[]]"
    yield "many keys", "{" + ",".join(f'"{number}":0' for number in range(MEGABYTE // 9)) + "}"
    yield "a long number", '{"type":' + "1" * (MEGABYTE - 10) + "}"
    yield "a long text", '{"type": "Vote", "bytes": "' + "00" * (MEGABYTE // 2 - 20) + '"}'
    yield "a long name", '{"type": "' + "\\u0000" * (MEGABYTE // 6 - 20) + '", "bytes": ""}'


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
@pytest.mark.parametrize("line", [line for _, line in _vectors()], ids=[name for name, _ in _vectors()])
def test_a_line_of_a_megabyte_is_refused_in_bounded_time_and_memory(line: str, tmp_path: Path) -> None:
    """The task's model is so large that its vectors make lines of that length."""
    hostile = HostileTask(dimension=20_000)
    (tmp_path / "manifest.toml").write_text(hostile.manifest.to_toml())
    (tmp_path / "record.jsonl").write_text(line + "\n")
    done, peak = verified(tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {tmp_path / 'record.jsonl'}, line 1: ")
    assert peak <= MOST_MIB
    assert len(done.stderr) < 1000

"""tools/mutation.py on a tiny project: it kills what a test notices, lists what none does, and touches nothing."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks children and limits them as Linux can")

SUMS = '''"""Sums."""


def strong(a: int, b: int) -> int:
    """a + b, at most 10."""
    return min(a + b, 10)


def weak(a: int) -> bool:
    """Whether a is negative."""
    return a < 0
'''
TEST_SUMS = """
from tiny import sums


def test_strong():
    assert sums.strong(2, 3) == 5
    assert sums.strong(9, 9) == 10
    assert sums.strong(4, 6) == 10
    assert sums.strong(4, 5) == 9
    assert sums.strong(6, 5) == 10


def test_weak():
    assert sums.weak(-5)
    assert not sums.weak(5)
"""


@pytest.fixture
def weakly_tested(tiny):
    tiny.write("src/tiny/sums.py", SUMS)
    tiny.write("tests/tiny/test_sums.py", TEST_SUMS)
    return tiny


def _files(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not {"build", "__pycache__"} & set(path.relative_to(root).parts)
    }


def _outcomes(root: Path) -> dict[str, str]:
    lines = (root / "build" / "mutation" / "results.jsonl").read_text(encoding="utf-8").splitlines()
    return {record["identity"]["mutated"]: record["outcome"] for record in map(json.loads, lines)}


def test_survivors_are_those_of_the_weakly_tested_function_and_every_other_mutant_is_killed(weakly_tested) -> None:
    before = _files(weakly_tested.root)
    done = weakly_tested.mutate()
    assert done.returncode == 1, done.stderr
    outcomes = _outcomes(weakly_tested.root)
    survivors = {mutated for mutated, outcome in outcomes.items() if outcome == "survived"}
    assert survivors == {"return a <= 0", "return a < 1", "return a < -1"}
    assert {"return max(a + b, 10)", "return min(a - b, 10)", "return min(a + b, 11)", "return a >= 0"} <= (
        outcomes.keys() - survivors
    )
    assert "tiny/sums.py:11 in weak\n  - return a < 0\n  + return a <= 0\n" in done.stdout
    assert "ran 2 tests (2 reach it): 2 of tests/tiny/test_sums.py" in done.stdout
    assert "3 survivors that nobody reviewed" in done.stdout
    assert _files(weakly_tested.root) == before


def _reviewed(*mutated: str) -> str:
    entry = (
        '[[survivor]]\nfile = "tiny/sums.py"\nfunction = "weak"\n'
        'original = "return a < 0"\nmutated = "{}"\nwhy = "Nobody asks."\n'
    )
    return "\n".join(entry.format(text) for text in mutated)


def test_reviewed_survivors_end_well_and_a_review_of_what_is_gone_does_not(weakly_tested) -> None:
    reviewed = _reviewed("return a <= 0", "return a < 1", "return a < -1")
    weakly_tested.write("tools/mutation_reviewed.toml", reviewed)
    done = weakly_tested.mutate()
    assert done.returncode == 0, done.stdout + done.stderr
    weakly_tested.write("tools/mutation_reviewed.toml", reviewed + _reviewed("return a < 7"))
    done = weakly_tested.mutate()
    assert done.returncode == 1
    assert "no such mutant any more: tiny/sums.py, weak: return a < 7" in done.stdout
    weakly_tested.write("tools/mutation_reviewed.toml", reviewed.replace("Nobody asks.", ""))
    done = weakly_tested.mutate()
    assert done.returncode == 2
    assert "no sentence" in done.stderr


def test_the_survivors_are_written_as_entries_to_review(weakly_tested) -> None:
    done = weakly_tested.mutate("--toml")
    assert done.returncode == 1
    entries = done.stdout.replace('why = ""', 'why = "Nobody asks."')
    weakly_tested.write("tools/mutation_reviewed.toml", entries)
    assert weakly_tested.mutate().returncode == 0


def test_a_second_run_repeats_only_what_could_come_out_otherwise(weakly_tested) -> None:
    results = weakly_tested.root / "build" / "mutation" / "results.jsonl"
    weakly_tested.mutate()
    first = results.read_text(encoding="utf-8").splitlines()
    done = weakly_tested.mutate()
    assert done.returncode == 1
    assert results.read_text(encoding="utf-8").splitlines() == first
    # A run that was ended leaves a result out and a line half written.
    results.write_text("\n".join(first[:-1]) + "\n" + first[-1][:20], encoding="utf-8")
    weakly_tested.mutate()
    again = results.read_text(encoding="utf-8").splitlines()
    assert again[:-1] == first[:-1]
    assert _outcomes(weakly_tested.root).keys() == {json.loads(line)["identity"]["mutated"] for line in first}
    weakly_tested.write(
        "tests/tiny/test_more.py", "from tiny.sums import weak\n\n\ndef test_zero():\n    assert not weak(0)\n"
    )
    done = weakly_tested.mutate()
    assert "return a <= 0" not in done.stdout
    assert "return a < -1" in done.stdout


def test_a_test_that_only_looks_at_a_constant_kills_its_change(weakly_tested) -> None:
    weakly_tested.write("src/tiny/sums.py", SUMS + "\nLIMIT = 3\n")
    weakly_tested.write("tests/tiny/test_sums.py", TEST_SUMS + "\n\ndef test_limit():\n    assert sums.LIMIT == 3\n")
    weakly_tested.mutate()
    outcomes = _outcomes(weakly_tested.root)
    assert (outcomes["LIMIT = 4"], outcomes["LIMIT = 2"]) == ("killed", "killed")


def test_a_mutant_reaches_the_modules_that_import_its_own(tiny) -> None:
    tiny.write("src/tiny/base.py", "SIZE = 4\n")
    tiny.write("src/tiny/middle.py", "from tiny import base\n\n\ndef double():\n    return base.SIZE * 2\n")
    tiny.write("src/tiny/top.py", "from tiny.middle import double\n\n\ndef more():\n    return double() + 1\n")
    tiny.write("tests/tiny/test_top.py", "from tiny.top import more\n\n\ndef test_more():\n    assert more() == 9\n")
    done = tiny.mutate()
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(_outcomes(tiny.root).values()) == {"killed"}


COMPILED = """
from numba import njit

STEP = 3


@njit(cache=True)
def _scaled(a):
    return a * STEP


def scaled(a):
    return int(_scaled(a))
"""


def test_a_compiled_function_is_compiled_anew_for_what_the_cache_does_not_look_at(tiny) -> None:
    """Numba's cache would give the old code: it looks at neither the constants nor the globals of a function."""
    tiny.write("src/tiny/compiled.py", COMPILED)
    tiny.write(
        "tests/tiny/test_compiled.py",
        "from tiny import compiled\n\n\ndef test_scaled():\n    assert compiled.scaled(5) == 15\n",
    )
    done = tiny.mutate()
    assert done.returncode == 0, done.stdout + done.stderr
    outcomes = _outcomes(tiny.root)
    assert outcomes.keys() >= {"STEP = 4", "STEP = 2", "return a // STEP"}
    assert set(outcomes.values()) == {"killed"}


def test_a_mutant_that_runs_for_ever_or_ends_its_process_is_no_survivor(tiny) -> None:
    tiny.write(
        "src/tiny/loops.py", "def count(n):\n    done = 0\n    while done < n:\n        done += 1\n    return done\n"
    )
    tiny.write(
        "tests/tiny/test_loops.py",
        "from tiny.loops import count\n\n\ndef test_count():\n    assert (count(-1), count(3)) == (0, 3)\n",
    )
    done = tiny.mutate("--patience", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {"done += 2": "killed", "done -= 1": "timed out"}.items() <= _outcomes(tiny.root).items()
    tiny.write(
        "src/tiny/ends.py", "import os\n\nBAD = 0\n\n\ndef end():\n    if BAD:\n        os.abort()\n    return 1\n"
    )
    tiny.write("tests/tiny/test_ends.py", "from tiny.ends import end\n\n\ndef test_end():\n    assert end() == 1\n")
    tiny.mutate("--patience", "1")
    assert _outcomes(tiny.root)["BAD = 1"] == "killed"


def test_tests_that_fail_on_unchanged_code_end_the_run(weakly_tested) -> None:
    weakly_tested.write("tests/tiny/test_sums.py", TEST_SUMS.replace("not sums", "sums"))
    done = weakly_tested.mutate()
    assert done.returncode == 2
    assert "fails on unchanged code" in done.stderr
    assert "test_weak" in done.stderr


def test_a_target_that_does_not_exist_is_named(weakly_tested) -> None:
    done = weakly_tested.mutate("src/other")
    assert done.returncode == 2
    assert "src/other does not exist" in done.stderr


@pytest.mark.parametrize("drawn", ["st.integers(-9, 9)", "st.integers(-9, 9).filter(lambda a: a)"])
def test_drawn_examples_are_the_same_in_every_run(tiny, drawn) -> None:
    tiny.write("src/tiny/sums.py", SUMS[SUMS.index("def weak") :])
    tiny.write(
        "tests/tiny/test_sums.py",
        f"from hypothesis import given, strategies as st\nfrom tiny.sums import weak\n\n\n"
        f"@given({drawn})\ndef test_weak(a):\n    assert weak(a) == (a < 0)\n",
    )
    tiny.mutate()
    first = _outcomes(tiny.root)
    tiny.mutate("--fresh")
    assert _outcomes(tiny.root) == first

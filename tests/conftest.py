"""Data that many tests share: small eyes, quickly made, and the parties of a small aggregation task."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

import coverage_table
from doubles import LaxClient
from privateyes.aggregation.client import Client
from privateyes.crypto.field import COMPACT, WIDE, Field
from privateyes.storage import majority
from small_eyes import write_small_eyes
from small_faces import write_small_faces
from world import World

# Times say nothing on a loaded machine, and the first call of a kernel compiles it.
hypothesis.settings.register_profile("privateyes", deadline=None)
hypothesis.settings.load_profile("privateyes")

# Their assertions judge; a failed one shows its values, as in a test.
pytest.register_assert_rewrite("judging", "network", "situations", "walk")


def pytest_configure() -> None:
    """Ctrl-C reaches the programs that tests start, even where the tests run in the background of a shell.

    Such a shell has its jobs ignore SIGINT, and children inherit that.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the random schedules met, if they ran (tests/adversary/test_any_schedule.py)."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    kept = [value for report in reports for name, value in report.user_properties if name == coverage_table.CELLS]
    lines = coverage_table.table(kept)
    if lines:
        terminalreporter.section("schedules: steps and faults")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def make_eyes() -> Callable[..., Path]:
    """Writes a file of persons p00, p01, ... with 9x15 images."""
    return write_small_eyes


@pytest.fixture(scope="session")
def eyes(tmp_path_factory: pytest.TempPathFactory, make_eyes: Callable[..., Path]) -> Path:
    """Five persons with 24 images each; read only."""
    return make_eyes(tmp_path_factory.mktemp("eyes") / "eyes.h5")


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four persons as in GazeCapture, 24 frames each: face, both eyes, face grid, point in cm; read only."""
    return write_small_faces(tmp_path_factory.mktemp("faces") / "faces.h5")


@pytest.fixture(scope="session")
def experiment_text() -> Callable[..., str]:
    """An experiment file's text over a data file: two rounds, p03 and p04 for testing, one worker."""

    def text(
        data: Path, methods: str = '["federated"]', extra_training: str = "", tail: str = "", rounds: int = 2
    ) -> str:
        return f"""
name = "small"
seed = 3
methods = {methods}
[data]
path = "{data}"
[split]
test_persons = ["p03", "p04"]
[model]
name = "resnet_preact_8"
[training]
rounds = {rounds}
batch_size = 8
{extra_training}
[runtime]
workers = 1
{tail}
"""

    return text


@pytest.fixture(scope="module")
def copied_stores() -> Iterator[None]:
    """Stores that were copied beside the first one open: a test begins from a copy of what took long to make."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(majority, "_require_no_copy", lambda *_: None)
        yield


@pytest.fixture(scope="session")
def make_world() -> type[World]:
    """Builds the parties of a small aggregation task; see World."""
    return World


@pytest.fixture(params=[(2, COMPACT), (3, COMPACT), (2, WIDE), (3, WIDE)], ids=lambda case: f"{case[0]}-{case[1].name}")
def world(request: pytest.FixtureRequest) -> World:
    """Four clients and two or three aggregators, in either field."""
    return World(n=request.param[0], field=request.param[1])


@pytest.fixture(params=[COMPACT, WIDE], ids=lambda field: field.name)
def field(request: pytest.FixtureRequest) -> Field:
    """Either field."""
    chosen: Field = request.param
    return chosen


@pytest.fixture(scope="session")
def untagged_client() -> type[Client]:
    """The class of clients that do not look at the tags."""
    return LaxClient

"""The driver, with the real program on a stub engine: everything but the computation."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from privateyes.baselines.mpc.driver import Launcher, Trained, train_under_mpc
from privateyes.baselines.mpc.job import TrainingJob
from privateyes.errors import EngineError, TrainingError

STUB = Path(__file__).parents[2] / "support" / "stub_engine" / "program.py"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the locked environment is for Linux")


def children_of(parent: int) -> list[int]:
    """Identities of a process's children, dead ones that nobody waited for included."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                after_name = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(after_name[1]) == parent:
                found.append(int(entry.name))
    return found


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


def is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


Outcome = tuple[TrainingJob, Trained, list[tuple[int, int]]]


@pytest.fixture(scope="module")
def outcome(make_job: Callable[..., TrainingJob]) -> Outcome:
    """A training that went well, and the steps that were told."""
    job, steps = make_job(), []
    trained = train_under_mpc(
        job, Launcher(Path(sys.executable), STUB), lambda done, count: steps.append((done, count))
    )
    return job, trained, steps


def test_a_training_ends_with_the_parameters_that_the_parties_hold_shares_of(outcome: Outcome) -> None:
    job, trained, _ = outcome
    assert np.array_equal(trained.vector, job.initial)  # the stub trains nothing


def test_every_step_is_told_once_all_parties_have_made_it(outcome: Outcome) -> None:
    _, trained, steps = outcome
    assert steps == [(done, 6) for done in range(1, 7)]
    assert len(trained.step_s) == len(trained.step_cpu_s) == 6
    assert all(cpu_s >= 0 for cpu_s in trained.step_cpu_s)
    assert trained.total_s > trained.setup_s > 0


def test_each_party_is_charged_for_its_steps_and_not_for_pooling(outcome: Outcome) -> None:
    _, trained, _ = outcome
    assert [party.step_bytes for party in trained.parties] == [(1000,) * 6] * 3
    assert [party.step_messages for party in trained.parties] == [(5,) * 6] * 3
    assert all(party.cpu_s > 0 and party.peak_memory_bytes > 1 << 20 for party in trained.parties)
    # Shares of 10 samples with 9 values, and of 32 parameters and as many velocities, four bytes each in the stub.
    assert trained.share_bytes == 4 * (10 * 9 + 2 * 32)


def test_as_many_parties_work_as_the_job_says(stub: Launcher, make_job: Callable[..., TrainingJob]) -> None:
    trained = train_under_mpc(make_job(protocol="cheetah", parties=2), stub, lambda *_: None)
    assert len(trained.parties) == 2


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("party dies", r"party 1 ended with exit code 9 \(terminate called .*bad_alloc'\)"),
        ("party killed", "party 1 was killed by signal 9"),
        ("party leaves", "party 1 ended before its work was done"),
        ("engine fails", r"party 1 stopped: \[channel.cc:431\] Get data timeout"),
        ("owner dies", "the process of owner p00 ended with exit code 11"),
        ("garbage", "party . said what is no event: 'Segmentation fault"),
        ("damaged share", "party . sent a damaged event 'share'"),
        ("opened", "party . stopped: tensor0 came out of the computation in the clear"),
        ("wrong shape", "other tensors than the network"),
        ("no log", "0 executions of 6"),
    ],
)
def test_whatever_fails_is_named_and_nothing_is_left_running(
    fault: str, told: str, stub: Launcher, make_job: Callable[..., TrainingJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_ENGINE", fault)
    before = set(children_of(os.getpid()))
    with pytest.raises(EngineError, match=told) as raised:
        train_under_mpc(make_job(), stub, lambda *_: None)
    assert raised.value.remedy
    assert "stacktrace" not in str(raised.value)
    assert set(children_of(os.getpid())) <= before


def test_parameters_that_wrapped_around_are_no_result(
    stub: Launcher, make_job: Callable[..., TrainingJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_ENGINE", "overflow")
    with pytest.raises(TrainingError, match=r"left the range of fixed point; lower mpc\.learning_rate"):
        train_under_mpc(make_job(), stub, lambda *_: None)


def test_silence_ends_a_training(
    stub: Launcher, make_job: Callable[..., TrainingJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_ENGINE", "silence")
    with pytest.raises(EngineError, match=r"nothing was heard of party .* for 4 s; raise mpc.silence_s"):
        train_under_mpc(make_job(silence_s=4), stub, lambda *_: None)


def test_a_port_that_was_taken_meanwhile_is_replaced(
    stub: Launcher, make_job: Callable[..., TrainingJob], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STUB_ENGINE", "port taken twice")
    monkeypatch.setenv("STUB_TRIES", str(tmp_path / "tries"))
    assert len(train_under_mpc(make_job(), stub, lambda *_: None).parties) == 3
    assert (tmp_path / "tries").read_text() == "xxx"


def test_ports_that_are_always_taken_end_in_an_error(
    stub: Launcher, make_job: Callable[..., TrainingJob], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STUB_ENGINE", "port taken for ever")
    monkeypatch.setenv("STUB_TRIES", str(tmp_path / "tries"))
    with pytest.raises(EngineError, match="no free ports were found on the loopback in 5 attempts"):
        train_under_mpc(make_job(), stub, lambda *_: None)


def test_an_interpreter_that_is_not_there_is_named(make_job: Callable[..., TrainingJob], tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"party 0 cannot be started \(.*/python: No such file"):
        train_under_mpc(make_job(), Launcher(tmp_path / "python"), lambda *_: None)


_DRIVER = """
import sys
from pathlib import Path
import numpy as np
from privateyes.baselines.mpc.driver import Launcher, train_under_mpc
from privateyes.baselines.mpc.job import Network, Owner, Sgd, TrainingJob
owner = Owner("p00", np.ones((2, 3), np.float32), np.ones((2, 2), np.float32))
network = Network("perceptron", ((2, 3), (2,)))
job = TrainingJob("aby3", 3, (owner,), network, np.zeros(8, np.float32), Sgd(0.1, 0.0, "l2"), ((0,),) * 9)
train_under_mpc(job, Launcher(Path(sys.executable), Path(sys.argv[1])), lambda done, _: print(done, flush=True))
"""


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_party_outlives_the_command(sent: signal.Signals, stub: Launcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUB_ENGINE", "silence")
    driver = subprocess.Popen(
        [sys.executable, "-c", _DRIVER, str(stub.program)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert driver.stdout is not None
    with driver.stdout as lines:
        assert lines.readline() == b"1\n"  # training goes on
        running = {pid: Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") for pid in children_of(driver.pid)}
        parties = [pid for pid, command in running.items() if b"party" in command]
        assert len(parties) == 3
        driver.send_signal(sent)
        driver.wait(20)
    assert wait_for(lambda: not any(map(is_alive, parties)))


def test_parties_see_only_their_pipes_and_their_shares(stub: Launcher, make_job: Callable[..., TrainingJob]) -> None:
    """No file holds data: a party's open files are pipes, sockets and the null device; its arguments are numbers."""
    seen: list[tuple[list[str], list[str]]] = []

    def look(*_: int) -> None:
        for pid in children_of(os.getpid()):
            command = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            if "party" in command:
                files = [os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()]
                seen.append((command[command.index("party") : -1], files))

    train_under_mpc(make_job(), stub, look)
    assert seen
    for arguments, files in seen:
        assert arguments == ["party", str(os.getpid())]
        assert all(name.startswith(("pipe:", "socket:", "/dev/", "anon_inode:")) for name in files), files

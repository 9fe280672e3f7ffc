"""The locked environment is made completely or not at all. Pythons and pip are scripts here: nothing is installed."""

from __future__ import annotations

import fcntl
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from privateyes.baselines.mpc.environment import ensure_environment, environment_folder, find_python
from privateyes.baselines.mpc.lock import Lock, read_lock
from privateyes.errors import EngineError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the locked environment is for Linux")

REAL_PYTHON = sys.executable
# Answers what an interpreter is asked for: its version, an environment, pip, a trial.
_INTERPRETER = """#!/bin/sh
echo "$@" >> "$FAKE/calls"
case "$*" in
  *"venv, ensurepip"*) echo {version} ;;
  *"-m venv "*) for last; do :; done; mkdir -p "$last/bin" && cp "$0" "$last/bin/python" ;;
  *"-m pip install"*) . "$FAKE/pip" ;;
  *"import jax"*) test ! -e "$FAKE/broken" || {{ echo "Illegal instruction"; exit 132; }} ;;
  *"print('here')"*) test ! -e "$FAKE/gone" && echo here ;;
esac
"""
_GOOD_PIP = """echo "Collecting jax==0.4.34 (from -r requirements.lock (line 3))"
echo "  Downloading jax-0.4.34-py3-none-any.whl (2.1 MB)"
echo "Processing ./wheels/ml_dtypes-0.5.4-cp311-cp311-linux_x86_64.whl"
echo "Installing collected packages: jax"
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with a Python 3.11 whose pip works."""
    (tmp_path / "bin").mkdir()
    put_interpreter(tmp_path / "bin" / "python3.11", "3.11")
    (tmp_path / "pip").write_text(_GOOD_PIP)
    monkeypatch.setenv("FAKE", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("PRIVATEYES_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PRIVATEYES_MPC_PYTHON", raising=False)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
    return tmp_path


@pytest.fixture
def lock(tmp_path: Path) -> Lock:
    """Two packages for this machine."""
    path = tmp_path / "small.lock"
    here = f"{platform.system().lower()} {platform.machine().lower()}"
    hashes = f"jax==0.4.34 --hash=sha256:{'a' * 64}\nml-dtypes==0.5.4 --hash=sha256:{'b' * 64}\n"
    path.write_text(f"# python: 3.11\n# platform: {here}\n{hashes}")
    return read_lock(path)


def put_interpreter(path: Path, version: str) -> None:
    path.write_text(_INTERPRETER.format(version=version))
    path.chmod(0o755)


def silent(_: str) -> None:
    pass


def test_it_is_made_once(machine: Path, lock: Lock) -> None:
    told: list[str] = []
    python = ensure_environment(told.append, lock)
    assert python == environment_folder(lock) / "bin" / "python"
    assert told[0].startswith(f"making the environment for MPC in {environment_folder(lock)}")
    assert told[1:] == [
        "environment for MPC, 1 of 2: jax 0.4.34",
        "environment for MPC, 2 of 2: ml-dtypes 0.5.4",
        "environment for MPC: installing",
    ]
    (machine / "pip").write_text("exit 1\n")
    assert ensure_environment(told.append, lock) == python
    assert len(told) == 4


def test_pip_is_held_to_the_lock_and_chooses_the_index_itself(machine: Path, lock: Lock) -> None:
    ensure_environment(silent, lock)
    (call,) = [line for line in (machine / "calls").read_text().splitlines() if "pip install" in line]
    for option in ("--require-hashes", "--no-deps", "--only-binary=:all:", f"--requirement {lock.path}"):
        assert option in call
    assert "index" not in call
    assert "find-links" not in call


@pytest.mark.parametrize(
    ("pip", "told"),
    [
        (
            "echo 'ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.'; exit 1",
            "another hash than",
        ),
        (
            "echo 'Max retries exceeded: Temporary failure in name resolution'; exit 1",
            "pip cannot reach its index; conn",
        ),
        (
            "echo 'ERROR: No matching distribution found for spu==0.9.5'; exit 1",
            r"index lacks a package \(ERROR: No matching distribution found for spu==0.9.5\); configure pip",
        ),
        ("echo 'OSError: [Errno 28] No space left on device'; exit 1", "the disk is full; free 2 GB"),
        ("echo 'ERROR: something new'; exit 7", r"\(exit code 7: ERROR: something new\); run the command again"),
    ],
)
def test_a_failed_installation_is_explained_and_leaves_nothing(pip: str, told: str, machine: Path, lock: Lock) -> None:
    (machine / "pip").write_text(pip + "\n")
    with pytest.raises(EngineError, match=told):
        ensure_environment(silent, lock)
    assert [path.suffix for path in (machine / "cache").iterdir()] == [".lock"]


def test_an_engine_that_does_not_load_is_no_environment(machine: Path, lock: Lock) -> None:
    (machine / "broken").touch()
    with pytest.raises(EngineError, match="exit code 132: Illegal instruction"):
        ensure_environment(silent, lock)
    assert not environment_folder(lock).exists()


def test_what_a_kill_left_behind_is_replaced(machine: Path, lock: Lock) -> None:
    part = environment_folder(lock).with_name(f"{environment_folder(lock).name}.part")
    (part / "bin").mkdir(parents=True)
    (part / "half").touch()
    ensure_environment(silent, lock)
    assert not part.exists()
    assert not (environment_folder(lock) / "half").exists()


def test_an_environment_whose_interpreter_is_gone_is_made_anew(machine: Path, lock: Lock) -> None:
    python = ensure_environment(silent, lock)
    python.unlink()
    python.symlink_to(machine / "uninstalled")
    told: list[str] = []
    assert ensure_environment(told.append, lock) == python
    assert told
    assert python.exists()


def test_an_interrupted_installation_leaves_nothing(machine: Path, lock: Lock) -> None:
    """Ctrl-C, in a process of its own."""
    (machine / "pip").write_text("touch $FAKE/installing; exec sleep 60\n")
    program = (
        "import sys; from pathlib import Path; sys.executable = ''\n"
        "from privateyes.baselines.mpc.environment import ensure_environment\n"
        "from privateyes.baselines.mpc.lock import read_lock\n"
        f"ensure_environment(print, read_lock(Path({str(lock.path)!r})))"
    )
    with subprocess.Popen(
        [REAL_PYTHON, "-c", program],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as command:
        assert wait_for((machine / "installing").exists)
        os.killpg(command.pid, signal.SIGINT)
        command.wait(20)
    assert [path.suffix for path in (machine / "cache").iterdir()] == [".lock"]


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not condition():
        time.sleep(0.02)
    return condition()


def test_a_second_command_waits_for_the_first(machine: Path, lock: Lock) -> None:
    folder = environment_folder(lock)
    folder.parent.mkdir(parents=True)
    told: list[str] = []
    with folder.with_name(f"{folder.name}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        second = threading.Thread(target=ensure_environment, args=(told.append, lock))
        second.start()
        assert wait_for(lambda: bool(told))
        assert told == ["another command is making the environment for MPC; waiting for it"]
        (folder / "bin").mkdir(parents=True)
        put_interpreter(folder / "bin" / "python", "3.11")
        fcntl.flock(held, fcntl.LOCK_UN)
        second.join(20)
    assert len(told) == 1  # it was there by then


def test_pip_keeps_the_lock_when_the_command_is_killed(machine: Path, lock: Lock) -> None:
    (machine / "pip").write_text("ls -l /proc/self/fd > $FAKE/open\n")
    ensure_environment(silent, lock)
    assert f"{environment_folder(lock).name}.lock" in (machine / "open").read_text()


def test_another_platform_is_refused_before_anything_is_made(
    machine: Path, lock: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    with pytest.raises(EngineError, match=r"is locked for linux .*, and this is linux arm64; run it on linux"):
        ensure_environment(silent, lock)
    assert not (machine / "cache").exists()


def test_a_machine_without_that_python_is_told_what_to_do(
    machine: Path, lock: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(machine / "bin"))
    put_interpreter(machine / "bin" / "python3.11", "3.12")
    with pytest.raises(
        EngineError, match=r"needs Python 3.11 .* none was found; install it, or set PRIVATEYES_MPC_PYTH"
    ):
        ensure_environment(silent, lock)


def test_the_running_interpreter_is_taken_first(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_interpreter(machine / "own", "3.11")
    monkeypatch.setattr(sys, "executable", str(machine / "own"))
    assert find_python("3.11") == machine / "own"
    put_interpreter(machine / "own", "3.13")
    assert find_python("3.11") == machine / "bin" / "python3.11"


def test_a_named_interpreter_is_the_only_one_that_counts(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_interpreter(machine / "named", "3.10")
    monkeypatch.setenv("PRIVATEYES_MPC_PYTHON", str(machine / "named"))
    with pytest.raises(EngineError, match=r'PRIVATEYES_MPC_PYTHON = ".*named" is no Python 3.11'):
        find_python("3.11")
    put_interpreter(machine / "named", "3.11")
    assert find_python("3.11") == machine / "named"


def test_a_cache_that_cannot_be_written_is_named(machine: Path, lock: Lock, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine / "file").touch()
    monkeypatch.setenv("PRIVATEYES_CACHE", str(machine / "file"))
    with pytest.raises(EngineError, match=r"cannot be written .* set PRIVATEYES_CACHE to a folder that can be written"):
        ensure_environment(silent, lock)

"""The locked environment: made on first use, in a cache folder, completely or not at all.

It is built beside its place under the name `<place>.part` and renamed when it has been tried. A lock on a file beside
it keeps two commands apart; pip inherits the lock, so that it holds even if the command is killed and pip goes on.
What was downloaded before an interruption is in pip's own cache, so the next attempt goes on from there.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from privateyes.baselines.mpc.lock import Lock, read_lock
from privateyes.errors import EngineError

if sys.platform != "win32":
    import fcntl

CACHE_VARIABLE: Final = "PRIVATEYES_CACHE"
PYTHON_VARIABLE: Final = "PRIVATEYES_MPC_PYTHON"
_PROBE: Final = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
# Whether the engine loads, and finds the processor's instructions that it was built for.
_TRIAL: Final = "import jax, numpy, spu; from spu.api import check_cpu_feature; check_cpu_feature()"
_PROBE_S: Final = 60
_KEPT_LINES: Final = 40
Notify = Callable[[str], None]


def ensure_environment(notify: Notify, lock: Lock | None = None) -> Path:
    """The interpreter of the locked environment, which is made if it is not there.

    Args:
        notify: told in a line what happens, when something has to be made.
        lock: the content; the packaged lock by default.

    Raises:
        EngineError: this machine is not what the lock is for, there is no such Python, or the installation failed.
    """
    lock = read_lock() if lock is None else lock
    folder = environment_folder(lock)
    python = folder / "bin" / "python"
    if _works(python):
        return python
    _refuse_other_platforms(lock)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _only_one(folder.with_name(f"{folder.name}.lock"), notify) as held:
            if not _works(python):
                _make(folder, lock, held, notify)
    except OSError as error:
        remedy = f"free some space, or set {CACHE_VARIABLE} to a folder that can be written"
        raise EngineError(f"{folder}: cannot be written ({error.strerror})", remedy) from error
    return python


def environment_folder(lock: Lock) -> Path:
    """Where the environment of a lock stands: below $PRIVATEYES_CACHE, else below ~/.cache/privateyes."""
    given = os.environ.get(CACHE_VARIABLE)
    base = Path(given) if given else Path.home() / ".cache" / "privateyes"
    return base.absolute() / f"mpc-{lock.digest}"


def find_python(wanted: str) -> Path:
    """An interpreter of this version that can make environments.

    Looks at $PRIVATEYES_MPC_PYTHON only, if it is set; else at the running one, then along $PATH.

    Raises:
        EngineError: there is none.
    """
    given = os.environ.get(PYTHON_VARIABLE)
    if given:
        if _version_of(given) != wanted:
            problem = f'{PYTHON_VARIABLE} = "{given}" is no Python {wanted} with venv and pip'
            raise EngineError(problem, f"name an interpreter of Python {wanted}, or unset it")
        return Path(given)
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    along_path = [str(Path(folder) / f"python{wanted}") for folder in folders if folder]
    for candidate in (sys.executable, *along_path):
        if candidate and _version_of(candidate) == wanted:
            return Path(candidate)
    problem = f"the environment for MPC needs Python {wanted} with venv and pip, and none was found"
    raise EngineError(problem, f"install it, or set {PYTHON_VARIABLE} to its interpreter")


def _works(python: Path) -> bool:
    """Whether an environment is there whose interpreter still is, too."""
    if not python.exists():
        return False
    return _answer([str(python), "-E", "-s", "-c", "print('here')"]) == "here"


def _version_of(interpreter: str) -> str | None:
    return _answer([interpreter, "-I", "-c", _PROBE]) if shutil.which(interpreter) else None


def _answer(command: Sequence[str]) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 (an interpreter that the user's settings name)
            list(command), capture_output=True, text=True, timeout=_PROBE_S, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _refuse_other_platforms(lock: Lock) -> None:
    here = f"{platform.system().lower()} {platform.machine().lower()}"
    if here != lock.platform:
        problem = f"the engine for MPC is locked for {lock.platform}, and this is {here}"
        raise EngineError(problem, f"run it on {lock.platform}; every other method of training runs here")


@contextmanager
def _only_one(path: Path, notify: Notify) -> Iterator[int]:
    """Hold the lock file; yields its descriptor."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            notify("another command is making the environment for MPC; waiting for it")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _make(folder: Path, lock: Lock, held: int, notify: Notify) -> None:
    interpreter = find_python(lock.python)
    part = folder.with_name(f"{folder.name}.part")
    for old in (part, folder):  # left behind by a kill, or of an interpreter that is gone
        shutil.rmtree(old, ignore_errors=True)
    notify(f"making the environment for MPC in {folder} (once; about 230 MB to download, 1 GB on disk)")
    try:
        _run([str(interpreter), "-I", "-m", "venv", str(part)], held, lambda _: None)
        _install(part, lock, held, notify)
        _run([str(part / "bin" / "python"), "-E", "-s", "-c", _TRIAL], held, lambda _: None)
        part.rename(folder)
    finally:
        with suppress(OSError):
            shutil.rmtree(part, ignore_errors=True)


def _install(part: Path, lock: Lock, held: int, notify: Notify) -> None:
    seen: list[str] = []

    def follow(line: str) -> None:
        name = _package_in(line)
        if name in lock.packages and name not in seen:
            seen.append(name)
            notify(f"environment for MPC, {len(seen)} of {len(lock.packages)}: {name} {lock.packages[name]}")
        elif line.startswith("Installing collected packages"):
            notify("environment for MPC: installing")

    options = ["--require-hashes", "--no-deps", "--only-binary=:all:", "--no-input", "--progress-bar=off"]
    pip = [str(part / "bin" / "python"), "-I", "-m", "pip", "install", "--disable-pip-version-check", *options]
    _run([*pip, "--requirement", str(lock.path)], held, follow)


def _package_in(line: str) -> str:
    """The package of a line of pip's: ``Collecting jax==0.4.34 (...)`` or ``Processing /there/jax-0.4.34-py3...``."""
    kind, _, rest = line.strip().partition(" ")
    if kind == "Collecting":
        return rest.split("==")[0]
    return Path(rest).name.split("-")[0].replace("_", "-").lower() if kind == "Processing" else ""


def _run(command: Sequence[str], held: int, follow: Callable[[str], None]) -> None:
    """Run a command to its end, or end it if this one is interrupted.

    Raises:
        EngineError: it failed.
    """
    last: deque[str] = deque(maxlen=_KEPT_LINES)
    with subprocess.Popen(  # noqa: S603 (pip and venv of the interpreter that was found)
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        pass_fds=(held,),
    ) as process:
        try:
            for line in process.stdout or ():
                last.append(line.rstrip())
                follow(line.rstrip())
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise _explain("\n".join(last), process.returncode)


def _explain(said: str, returncode: int) -> EngineError:
    """What a failed installation means, from what pip said."""
    what = "the environment for MPC could not be made"
    lower = said.lower()
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    reason = next((line for line in reversed(lines) if line.startswith("ERROR: ")), lines[-1] if lines else "")
    if "do not match the hashes" in lower:
        remedy = "the index serves a changed or damaged file: empty pip's cache (pip cache purge), or use another index"
        return EngineError(f"{what}: a downloaded file has another hash than the lock says", remedy)
    if "no space left on device" in lower:
        return EngineError(f"{what}: the disk is full", f"free 2 GB, or set {CACHE_VARIABLE} to another disk")
    network = ("connection", "name resolution", "max retries", "network is unreachable", "timed out", "proxy")
    if any(word in lower for word in network):
        remedy = "connect to the network or configure pip's index (pip config), and run the command again"
        return EngineError(f"{what}: pip cannot reach its index", remedy)
    if "no matching distribution" in lower or "could not find a version" in lower:
        remedy = "configure pip with an index that has it (pip config), and run the command again"
        return EngineError(f"{what}: pip's index lacks a package ({reason[:200]})", remedy)
    return EngineError(f"{what} (exit code {returncode}: {reason[:200]})", "run the command again")

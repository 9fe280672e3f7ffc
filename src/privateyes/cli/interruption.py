"""Ctrl-C and SIGTERM: work ends in order, and one line says how it goes on."""

from __future__ import annotations

import shlex
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

_EXIT_INTERRUPTED: Final = 128 + signal.SIGINT
_EXIT_TERMINATED: Final = 128 + signal.SIGTERM


class Terminated(KeyboardInterrupt):
    """SIGTERM came: everything ends as after Ctrl-C, with another exit code."""


@contextmanager
def sigterm_as_interruption() -> Iterator[None]:
    """Let SIGTERM raise `Terminated`, once: a second one ends the process at once. Where it is ignored it stays so."""
    before = signal.getsignal(signal.SIGTERM)
    if before is not signal.SIG_DFL or threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise Terminated

    signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def exit_code(error: KeyboardInterrupt) -> int:
    """130 or 143, as a shell says it of a process that the signal ended."""
    return _EXIT_TERMINATED if isinstance(error, Terminated) else _EXIT_INTERRUPTED


def told(error: KeyboardInterrupt) -> str:
    """The line for people."""
    return ": ".join(["interrupted", *getattr(error, "__notes__", [])])


@contextmanager
def work_that_goes_on(how: str | Callable[[], str]) -> Iterator[None]:
    """Have an interruption of the block say how its work goes on.

    Args:
        how: the words, or what finds them once it is interrupted.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        error.add_note(how if isinstance(how, str) else how())
        raise


def by_resuming(what: str, command: str, directory: Path, file: str) -> str:
    """The command that continues what a directory holds.

    Args:
        what: it holds, such as ``run``.
        command: of privateyes.
        directory: the one.
        file: in it once there is something to continue.
    """
    if not (directory / file).is_file():
        return "nothing was begun; give the same command again"
    return f"continue the {what} with `privateyes {command} {shlex.quote(str(directory))} --resume`"

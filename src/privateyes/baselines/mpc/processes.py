"""Processes that work together: started, listened to, and ended together, whatever happens.

Each says what it has to say as JSON, one object a line, on its standard output. Every process is a direct child that
asks the kernel to be killed when this one is gone (`inside.party`), so none outlives even a kill of this process. Start
them from a thread that lives as long as they do: the kernel means the thread that started them.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import IO, Any, BinaryIO

from privateyes.errors import EngineError

_LONGEST_LINE_BYTES = 1 << 30
_KEPT_LOG_LINES = 20
_END_S = 10.0  # a thread whose process was killed ends by itself; this bounds the wait for it


@dataclass(slots=True, eq=False)
class Member:
    """One process.

    Attributes:
        name: what to call it in messages.
        process: a direct child.
        log: the last lines of its standard error.
    """

    name: str
    process: subprocess.Popen[bytes]
    log: deque[str] = field(default_factory=lambda: deque(maxlen=_KEPT_LOG_LINES))

    @property
    def stdin(self) -> BinaryIO:
        """Its standard input."""
        pipe: IO[bytes] | None = self.process.stdin
        if pipe is None:
            raise EngineError(f"{self.name} has no standard input", "report this as a bug")
        return pipe  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class Said:
    """What a process said: an event, a line of its log, or that it ended."""

    member: Member
    event: dict[str, Any] | None = None
    log_line: str | None = None
    returncode: int | None = None


class ProcessGroup:
    """Processes that are killed together when the block ends, normally or not.

    Args:
        silence_s: how long all of them may be silent.
    """

    def __init__(self, silence_s: float) -> None:
        self._silence_s = silence_s
        self._said: queue.Queue[Said | EngineError] = queue.Queue()
        self._members: list[Member] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> ProcessGroup:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill what still runs; by the identity of our own children, which no other process can have until then."""
        for member in self._members:
            if member.process.poll() is None:
                member.process.kill()
        for member in self._members:
            member.process.wait()
        for thread in self._threads:
            thread.join(_END_S)
        for member in self._members:
            for pipe in (member.process.stdin, member.process.stdout, member.process.stderr):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()

    def start(self, name: str, command: Sequence[str], inherited: Sequence[int] = ()) -> Member:
        """Start a process.

        Args:
            name: what to call it in messages.
            command: program and arguments.
            inherited: file descriptors that it may use besides the standard ones.

        Raises:
            EngineError: the program cannot be started.
        """
        try:
            process = subprocess.Popen(  # noqa: S603 (our own program in our own environment)
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=tuple(inherited),
                start_new_session=True,  # Ctrl-C reaches this process only, which then ends the others in order
            )
        except OSError as error:
            problem = f"{name} cannot be started ({command[0]}: {error.strerror})"
            raise EngineError(problem, "delete the folder of the environment; it is made anew") from error
        member = Member(name, process)
        self._members.append(member)
        self._spawn(self._listen, member)
        return member

    def feed(self, member: Member, write: Callable[[BinaryIO], None], close: bool) -> None:
        """Write to a process's standard input, from a thread: it may take its time to read."""

        def run() -> None:
            try:
                write(member.stdin)
                member.stdin.flush()
                if close:
                    member.stdin.close()
            except BrokenPipeError:  # it ended, or was ended; its end is reported by who listens
                pass
            except (OSError, ValueError) as error:
                if member.stdin.closed:  # the block ended
                    return
                self._said.put(EngineError(f"{member.name} cannot be written to ({error})", "try again"))

        self._spawn(run)

    def listen(self) -> Said:
        """The next thing that anybody says.

        Raises:
            EngineError: nobody said anything for too long, a process said what is no event, or one failed.
        """
        try:
            said = self._said.get(timeout=self._silence_s)
        except queue.Empty:
            running = [member.name for member in self._members if member.process.poll() is None]
            problem = f"nothing was heard of {', '.join(running) or 'any process'} for {self._silence_s:g} s"
            raise EngineError(
                problem, "raise mpc.silence_s, or train with smaller batches or a smaller network"
            ) from None
        if isinstance(said, EngineError):
            raise said
        if said.returncode:
            raise _failure(said.member, said.returncode)
        return said

    def _spawn(self, target: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _listen(self, member: Member) -> None:
        """Until both of its outputs have ended; then its exit code."""
        log = threading.Thread(target=self._read_log, args=(member, member.process.stderr), daemon=True)
        log.start()
        self._read_events(member, member.process.stdout)
        log.join()
        self._said.put(Said(member, returncode=member.process.wait()))

    def _read_events(self, member: Member, pipe: IO[bytes] | None) -> None:
        if pipe is None:
            return
        while line := pipe.readline(_LONGEST_LINE_BYTES):
            try:
                event = json.loads(line)
            except ValueError:
                event = None
            if not isinstance(event, dict) or not isinstance(event.get("event"), str):
                shown = line[:60].decode(errors="backslashreplace").strip()
                problem = f"{member.name} said what is no event: {shown!r}"
                self._said.put(EngineError(problem, "delete the folder of the environment; it is made anew"))
                continue
            self._said.put(Said(member, event=event))

    def _read_log(self, member: Member, pipe: IO[bytes] | None) -> None:
        if pipe is None:
            return
        while line := pipe.readline(1 << 16):
            text = line.decode(errors="replace").rstrip()
            member.log.append(text)
            self._said.put(Said(member, log_line=text))


def _failure(member: Member, returncode: int) -> EngineError:
    how = f"was killed by signal {-returncode}" if returncode < 0 else f"ended with exit code {returncode}"
    last = next((line.strip() for line in reversed(member.log) if line.strip()), "")
    remedy = "run it again; if memory ran out, train fewer samples or a smaller network"
    if "ModuleNotFoundError" in last or "ImportError" in last:
        remedy = "delete the folder of the environment; it is made anew"
    return EngineError(f"{member.name} {how}{f' ({last[:200]})' if last else ''}", remedy)


def free_ports(count: int) -> list[int]:
    """Ports on the loopback that are free now; somebody else may still take one before it is used."""
    import socket

    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


def this_process() -> int:
    """The identity that children compare their parent's with."""
    return os.getpid()

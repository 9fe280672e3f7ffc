"""One process of a training under MPC. Usage: party.py {share,party,open} PARENT_PID [FD,FD,...]

    share   a data owner: plain arrays on stdin, one share of each to every party's pipe
    party   a computing party: its shares on stdin, the link to the others, the training; its shares of the model out
    open    whoever gets the model: all parties' shares of it on stdin, the model out

What a process says goes to stdout as one JSON object a line; the engine's own log goes to stderr. Nothing is written
to disk, and no process but `share` and `open` ever holds a plain value.
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from privateyes.baselines.mpc.inside import frames
else:
    import frames

_PR_SET_PDEATHSIG = 1


class RefusalError(Exception):
    """A process stops, and this is why; `code` lets the driver tell what it can repair."""

    def __init__(self, code: str, problem: str) -> None:
        super().__init__(code, problem)
        self.code = code
        self.problem = problem


def main(arguments: list[str]) -> int:
    """Run a role; 0 if it went well."""
    role, parent = arguments[0], int(arguments[1])
    die_with(parent)
    told = take_stdout()
    try:
        if role == "share":
            share_arrays(sys.stdin.buffer, [int(number) for number in arguments[2].split(",")])
        elif role == "party":
            Party(frames.read_json(sys.stdin.buffer), told).run()
        else:
            open_model(sys.stdin.buffer, told)
    except RefusalError as refusal:
        told(event="refused", code=refusal.code, problem=refusal.problem)
        return 3
    except frames.BrokenFrameError as fault:
        told(event="refused", code="input", problem=str(fault))
        return 3
    except RuntimeError as fault:  # what the engine raises, with a stack trace of several pages
        lines = [line.strip() for line in str(fault).splitlines() if line.strip() not in ("", "what:")]
        told(event="refused", code="engine", problem=lines[0] if lines else "no reason given")
        return 3
    return 0


def die_with(parent: int) -> None:
    """Let the kernel kill this process when its parent is gone, however that came."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was gone already
        os._exit(3)


def take_stdout() -> Callable[..., None]:
    """A function that writes events to stdout; whatever else writes there, from now on, goes to stderr."""
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(**event: Any) -> None:
        lines.write(json.dumps(event) + "\n")
        lines.flush()

    return tell


def share_arrays(source: BinaryIO, targets: list[int]) -> None:
    """Split every array that comes into one share for each party, and hand each party its own.

    The engine draws the shares from AES-128 under a seed that it makes afresh for every array [SPU].
    """
    import numpy as np
    import spu

    job = frames.read_json(source)
    io = spu.Io(job["parties"], runtime_config(job))
    pipes = [os.fdopen(target, "wb") for target in targets]
    for _ in range(job["arrays"]):
        header = frames.read_json(source)
        values = np.frombuffer(frames.read_frame(source), dtype=np.float32).reshape(header["shape"])
        shares = io.make_shares(values, spu.Visibility.VIS_SECRET)
        for pipe, share in zip(pipes, shares, strict=True):
            frames.write_share(pipe, frames.Share(header["name"], share.meta, tuple(share.share_chunks)))
            pipe.flush()


def open_model(source: BinaryIO, told: Callable[..., None]) -> None:
    """Add up the parties' shares of every tensor."""
    import numpy as np
    import spu

    job = frames.read_json(source)
    io = spu.Io(job["parties"], runtime_config(job))
    for _ in range(job["arrays"]):
        shares = [to_engine(frames.read_share(source)) for _ in range(job["parties"])]
        values = np.ascontiguousarray(io.reconstruct(shares), dtype=np.float32)
        told(event="tensor", shape=list(values.shape), values=base64.b64encode(values.tobytes()).decode())


def runtime_config(job: dict[str, Any]) -> Any:
    """The engine's settings; all parties and owners of a job must use the same."""
    import spu

    config = spu.RuntimeConfig(
        getattr(spu.ProtocolKind, job["protocol"]),
        {64: spu.FieldType.FM64, 128: spu.FieldType.FM128}[job["ring_bits"]],
        job["fraction_bits"],
    )
    config.enable_pphlo_profile = True  # makes the engine log how many bytes each execution sent
    return config


def to_engine(share: frames.Share) -> Any:
    """A share as the engine's own object."""
    import spu

    value = spu.libspu.Share()
    value.meta, value.share_chunks = share.meta, list(share.chunks)
    return value


class Party:
    """A computing party: it sees its shares, the other parties' messages and what the job says in public.

    Args:
        job: see `baselines.mpc.driver`.
        told: takes events.
    """

    def __init__(self, job: dict[str, Any], told: Callable[..., None]) -> None:
        import spu

        self._job, self._told, self._spu = job, told, spu
        self._config = runtime_config(job)
        self._link = self._open_link()
        self._runtime = spu.Runtime(self._link, self._config)
        self._io = spu.Io(job["parties"], self._config)
        self._tensors = [f"tensor{index}" for index in range(len(job["tensors"]))]
        self._velocities = [f"velocity{index}" for index in range(len(job["tensors"]))]
        self._steps: dict[int, Any] = {}
        told(event="linked")

    def run(self) -> None:
        """Receive, train, hand out the shares of the model."""
        received = 0
        for name in self._job["inputs"]:
            share = frames.read_share(sys.stdin.buffer)
            if share.name != name:
                raise RefusalError("input", f"the share of {share.name} came where that of {name} was due")
            self._runtime.set_var(name, to_engine(share))
            received += sum(map(len, share.chunks))
        self._told(event="received", bytes=received)
        self._pool()
        for number, rows in enumerate(self._job["plan"]):
            self._step(number, rows)
        for name in self._tensors:
            value = self._runtime.get_var(name)
            share = frames.Share(name, value.meta, tuple(value.share_chunks))
            self._told(event="share", **frames.share_as_json(share))
        self._link.stop_link()
        usage = resource.getrusage(resource.RUSAGE_SELF)
        self._told(event="done", cpu_s=usage.ru_utime + usage.ru_stime, peak_memory_bytes=usage.ru_maxrss * 1024)

    def _open_link(self) -> Any:
        job, link = self._job, self._spu.libspu.link
        description = link.Desc()
        description.recv_timeout_ms = description.http_timeout_ms = job["silence_s"] * 1000
        description.connect_retry_times = job["silence_s"]
        for rank, port in enumerate(job["ports"]):
            description.add_party(f"party{rank}", f"127.0.0.1:{port}")
        try:
            return link.create_brpc(description, job["rank"])
        except RuntimeError as error:
            if "server failed start" in str(error):
                raise RefusalError("port", f"port {job['ports'][job['rank']]} is taken") from error
            raise

    def _pool(self) -> None:
        """All owners' samples as one array; a matter of the shares alone."""
        import jax.numpy as jnp
        import numpy as np

        owners, shapes = self._job["owners"], self._job["columns"]
        for kind, columns in zip(("features", "targets"), shapes, strict=True):
            parts = [np.zeros((samples, columns), np.float32) for samples in owners]
            names = [f"{kind}{index}" for index in range(len(owners))]

            def pool(*arrays: Any) -> Any:
                return jnp.concatenate(arrays)

            self._execute(self._compile(pool, parts, names, [kind]), [kind])
            for name in names:
                self._runtime.del_var(name)

    def _step(self, number: int, rows: list[int]) -> None:
        import numpy as np

        index = np.asarray(rows, dtype=np.int32)
        if len(rows) not in self._steps:
            self._steps[len(rows)] = self._compile_step(index)
        public = self._io.make_shares(index, self._spu.Visibility.VIS_PUBLIC)[self._job["rank"]]
        self._runtime.set_var("rows", public)
        started, cpu_before = perf_counter(), process_time()
        self._execute(self._steps[len(rows)], [*self._tensors, *self._velocities])
        self._told(event="step", number=number, seconds=perf_counter() - started, cpu_s=process_time() - cpu_before)

    def _compile_step(self, rows: Any) -> Any:
        if TYPE_CHECKING:
            from privateyes.baselines.mpc.inside import networks
        else:
            import networks
        import numpy as np

        job = self._job
        samples = sum(job["owners"])
        tensors = [np.zeros(shape, np.float32) for shape in job["tensors"]]
        features, targets = (np.zeros((samples, columns), np.float32) for columns in job["columns"])
        forward = networks.forward_of(job["network"])
        step = networks.step_of(forward, job["loss"], job["learning_rate"], job["momentum"])
        started = perf_counter()
        names = [*self._tensors, *self._velocities, "features", "targets", "rows"]
        arguments = (tensors, tensors, features, targets, rows)
        compiled = self._compile(step, arguments, names, [*self._tensors, *self._velocities], public=1)
        self._told(event="compiled", batch=len(rows), seconds=perf_counter() - started)
        return compiled

    def _compile(self, function: Any, arguments: Any, inputs: list[str], outputs: list[str], public: int = 0) -> Any:
        """Translate a jax function for the engine; the last `public` inputs are public, all others secret."""
        from spu.utils import frontend

        kinds = self._spu.Visibility
        visible = [kinds.VIS_SECRET] * (len(inputs) - public) + [kinds.VIS_PUBLIC] * public
        compiled, _ = frontend.compile(
            frontend.Kind.JAX, function, arguments, {}, inputs, visible, lambda found: outputs[: len(found)]
        )
        return compiled

    def _execute(self, program: Any, outputs: list[str]) -> None:
        """Run it; refuse if anything that comes out is not secret."""
        self._runtime.run(program)
        for name in outputs:
            if self._runtime.get_var_meta(name).visibility != self._spu.Visibility.VIS_SECRET:
                raise RefusalError("secrecy", f"{name} came out of the computation in the clear")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

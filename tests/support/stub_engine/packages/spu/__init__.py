"""A stand-in for the engine: "shares" that hide nothing, no computation, the same log line."""

from __future__ import annotations

import os
import signal
import time
from enum import Enum
from pathlib import Path
from types import SimpleNamespace

import numpy as np


def fault() -> str:
    """What is to go wrong in this process."""
    return os.environ.get("STUB_ENGINE", "")


class Visibility(Enum):
    VIS_SECRET = 1
    VIS_PUBLIC = 2


class FieldType(Enum):
    FM64 = 2
    FM128 = 3


class ProtocolKind(Enum):
    SEMI2K = 2
    ABY3 = 3
    CHEETAH = 4


class RuntimeConfig:
    def __init__(self, protocol: ProtocolKind, field: FieldType, fraction_bits: int) -> None:
        self.settings = (protocol, field, fraction_bits)


class Share:
    def __init__(self) -> None:
        self.meta = b""
        self.share_chunks: list[bytes] = []


def _share(values: np.ndarray, kept: bool) -> Share:
    share = Share()
    share.meta = repr(values.shape).encode()
    share.share_chunks = [(values if kept else np.zeros_like(values)).astype(np.float32).tobytes()]
    return share


def _values(share: Share) -> np.ndarray:
    shape = [int(side) for side in share.meta.decode().strip("()").split(",") if side.strip()]
    return np.frombuffer(share.share_chunks[0], np.float32).reshape(shape)


class Io:
    def __init__(self, parties: int, config: RuntimeConfig) -> None:
        self._parties = parties

    def make_shares(self, values: np.ndarray, visibility: Visibility) -> list[Share]:
        if fault() == "owner dies" and values.shape == (6, 7):
            os._exit(11)
        return [_share(values, rank == 0 or visibility is Visibility.VIS_PUBLIC) for rank in range(self._parties)]

    def reconstruct(self, shares: list[Share]) -> np.ndarray:
        total = sum(_values(share) for share in shares)
        return {"wrong shape": total.ravel()[:1], "overflow": total + np.float32(3e13)}.get(fault(), total)


class _Link:
    def __init__(self, rank: int) -> None:
        self.rank = rank

    def stop_link(self) -> None:
        pass


class _Desc:
    def add_party(self, name: str, host: str) -> None:
        pass


def _create_brpc(description: _Desc, rank: int) -> _Link:
    if fault().startswith("port taken") and rank == 1:
        tries = Path(os.environ["STUB_TRIES"])
        tries.write_text(tries.read_text() + "x" if tries.exists() else "x")
        if fault() == "port taken for ever" or len(tries.read_text()) < 3:
            raise RuntimeError("what: \n\t[brpc_link.cc:106] brpc server failed start\nstacktrace: \n#0 yacl")
    return _Link(rank)


libspu = SimpleNamespace(Share=Share, link=SimpleNamespace(Desc=_Desc, create_brpc=_create_brpc))


class Runtime:
    def __init__(self, link: _Link, config: RuntimeConfig) -> None:
        self._rank, self._values, self._runs = link.rank, {}, 0

    def set_var(self, name: str, value: Share) -> None:
        self._values[name] = value

    def get_var(self, name: str) -> Share:
        return self._values[name]

    def del_var(self, name: str) -> None:
        del self._values[name]

    def get_var_meta(self, name: str) -> SimpleNamespace:
        opened = fault() == "opened" and name == "tensor0"
        return SimpleNamespace(visibility=Visibility.VIS_PUBLIC if opened else Visibility.VIS_SECRET)

    def run(self, program: SimpleNamespace) -> None:
        self._runs += 1
        if self._rank == 1 and self._runs == 4:
            _go_wrong()
        if len(program.outputs) == 1:  # pooling
            parts = [_values(self._values[name]) for name in program.inputs]
            self._values[program.outputs[0]] = _share(np.concatenate(parts), True)
        if fault() != "no log":
            sent = 1000 if len(program.outputs) > 1 else 0
            print(
                f"Link details: total send bytes {sent}, recv bytes 9, send actions 5, recv actions 5",
                flush=True,
            )


def _go_wrong() -> None:
    """In the middle of training, in one party."""
    if fault() == "party dies":
        os.write(2, b"terminate called after throwing an instance of 'std::bad_alloc'\n")
        os._exit(9)
    elif fault() == "party killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif fault() == "party leaves":
        os._exit(0)
    elif fault() == "engine fails":
        raise RuntimeError("what: \n\t[channel.cc:431] Get data timeout, key=root\nstacktrace: \n#0 yacl::link")
    elif fault() == "silence":
        time.sleep(3600)

"""Where a method stands after a round, as one safetensors file.

Tensors: ``model`` (or ``model/<client>`` for each client's own) float32 (d,), ``moment/<i>`` float64 (d,), and
``lineage`` uint8 (n, 32), the digests of the weights before it. The metadata hold one entry only: with several,
safetensors would write them in an order that changes from run to run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from privateyes.errors import ParameterError, RunDirectoryError
from privateyes.federation.lineage import WEIGHTS_BYTES, split_lineage
from privateyes.federation.rounds import ServerState
from privateyes.files import write_atomically

if TYPE_CHECKING:
    from privateyes.encoding.clips import ClipPlan

SHARED = ""
"""The model's name in `Checkpoint.vectors` where all clients share one."""
_VERSION = 2
_LINEAGE = "lineage"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A method after `round` rounds.

    Args:
        round: rounds that are over, void ones included.
        vectors: client -> its own model, float32 (d,); a single entry `SHARED` where there is one model for all.
        moments: of the server optimiser, each float64 (d,).
        last_sid: of the last accepted aggregation session; empty where there is none.
        clips: of each tensor, where they adapt.
        void_rounds: how many of the rounds changed nothing.
        lineage: W of every earlier state of the task, oldest first; see `federation.lineage`.
    """

    round: int
    vectors: Mapping[str, NDArray[np.float32]] = field(repr=False)
    moments: tuple[NDArray[np.float64], ...] = field(default=(), repr=False)
    last_sid: bytes = b""
    clips: ClipPlan | None = None
    void_rounds: int = 0
    lineage: tuple[bytes, ...] = field(default=(), repr=False)

    @classmethod
    def of_state(cls, state: ServerState) -> Checkpoint:
        """The checkpoint of a method whose clients share a model."""
        return cls(
            state.rounds_run, {SHARED: state.vector}, state.moments, state.last_sid, state.clips, state.void_rounds,
            state.lineage,
        )  # fmt: skip

    def state(self) -> ServerState:
        """Back to the state; for methods whose clients share a model."""
        return ServerState(
            self.vectors[SHARED], self.moments, self.round - self.void_rounds, self.last_sid, self.clips,
            self.void_rounds, self.lineage,
        )  # fmt: skip


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Replace `path` atomically. Equal checkpoints give equal bytes."""
    tensors: dict[str, NDArray[Any]] = {
        _tensor_name(client): np.ascontiguousarray(vector) for client, vector in checkpoint.vectors.items()
    }
    for index, moment in enumerate(checkpoint.moments):
        tensors[f"moment/{index}"] = np.ascontiguousarray(moment)
    if checkpoint.lineage:
        digests = np.frombuffer(b"".join(checkpoint.lineage), dtype=np.uint8)
        tensors[_LINEAGE] = digests.reshape(-1, WEIGHTS_BYTES)
    facts: dict[str, object] = {
        "version": _VERSION, "last_sid": checkpoint.last_sid.hex(), "round": checkpoint.round,
    }  # fmt: skip
    if checkpoint.void_rounds:
        facts["void_rounds"] = checkpoint.void_rounds
    if checkpoint.clips is not None:
        facts["clips"] = [[length, clip] for length, clip in checkpoint.clips.pairs()]
    write_atomically(path, save(tensors, metadata={"privateyes": json.dumps(facts, sort_keys=True)}))


def read_checkpoint(path: Path) -> Checkpoint | None:
    """The checkpoint at `path`; None if there is none.

    Raises:
        RunDirectoryError: the file is damaged, or was written by another version.
    """
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            facts = json.loads(file.metadata()["privateyes"])
            version = int(facts.get("version", 1))
            if version != _VERSION:
                raise RunDirectoryError(
                    f"{path} was written by another version of privateyes (checkpoint {version}, not {_VERSION})",
                    "use that version, or run again in a new directory",
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        lineage = split_lineage(tensors.pop(_LINEAGE).tobytes()) if _LINEAGE in tensors else ()
        vectors = {_client_name(name): tensors[name] for name in sorted(tensors) if name.startswith("model")}
        return Checkpoint(
            round=int(facts["round"]),
            vectors=vectors,
            moments=tuple(tensors[f"moment/{index}"] for index in range(len(tensors) - len(vectors))),
            last_sid=bytes.fromhex(facts["last_sid"]),
            clips=_clips(facts["clips"]) if "clips" in facts else None,
            void_rounds=int(facts.get("void_rounds", 0)),
            lineage=lineage,
        )
    except (SafetensorError, ParameterError, ValueError, KeyError, TypeError, json.JSONDecodeError, OSError) as error:
        remedy = "delete the run's directory, or restore this file, and run again"
        raise RunDirectoryError(f"{path} is damaged ({error})", remedy) from error


def _clips(pairs: Any) -> ClipPlan:
    from privateyes.encoding.clips import plan_of_pairs  # with the compiled kernels, which few checkpoints need

    return plan_of_pairs(pairs)


def _tensor_name(client: str) -> str:
    return f"model/{client}" if client else "model"


def _client_name(tensor: str) -> str:
    return tensor.removeprefix("model").removeprefix("/")

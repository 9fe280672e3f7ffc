from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from privateyes.encoding.clips import ClipPlan
from privateyes.errors import RunDirectoryError
from privateyes.experiments.checkpoint import SHARED, Checkpoint, read_checkpoint, write_checkpoint
from privateyes.federation.rounds import ServerState

VECTOR = np.linspace(-1, 1, 5, dtype=np.float32)


def test_a_state_comes_back_with_every_field(tmp_path: Path) -> None:
    lineage = (bytes(range(32)), bytes(32), b"\xff" * 32)
    state = ServerState(VECTOR, (VECTOR.astype(np.float64), np.ones(5)), 7, b"\x00sid", void_rounds=2, lineage=lineage)
    write_checkpoint(tmp_path / "a", Checkpoint.of_state(state))
    checkpoint = read_checkpoint(tmp_path / "a")
    assert checkpoint is not None
    assert checkpoint.state().digest() == state.digest()
    assert (checkpoint.state().lineage, checkpoint.state().void_rounds) == (lineage, 2)


def test_clips_come_back_exactly(tmp_path: Path) -> None:
    clips = ClipPlan((3, 2), (2.0**-20, 0.1))
    state = ServerState(VECTOR, round=2, clips=clips)
    write_checkpoint(tmp_path / "a", Checkpoint.of_state(state))
    checkpoint = read_checkpoint(tmp_path / "a")
    assert checkpoint is not None
    assert checkpoint.state().clips == clips
    assert checkpoint.state().digest() == state.digest()


def test_each_clients_own_model_comes_back_under_its_name(tmp_path: Path) -> None:
    vectors = {"p01": VECTOR, "p.0-2_x": VECTOR * 2}
    write_checkpoint(tmp_path / "a", Checkpoint(3, vectors))
    checkpoint = read_checkpoint(tmp_path / "a")
    assert checkpoint is not None
    assert set(checkpoint.vectors) == set(vectors)
    assert SHARED not in checkpoint.vectors
    np.testing.assert_array_equal(checkpoint.vectors["p.0-2_x"], VECTOR * 2)


def test_equal_checkpoints_are_equal_bytes_in_every_process(tmp_path: Path) -> None:
    program = (
        "import sys, numpy as np; from pathlib import Path;"
        "from privateyes.experiments.checkpoint import *;"
        "v = np.linspace(-1, 1, 5, dtype=np.float32);"
        "write_checkpoint(Path(sys.argv[1]), Checkpoint(3, {'b': v, 'a': v, 'c': v}, (np.ones(5),), b'sid'))"
    )
    paths = [tmp_path / str(index) for index in range(3)]
    for path in paths:
        subprocess.run([sys.executable, "-c", program, str(path)], check=True)
    assert len({path.read_bytes() for path in paths}) == 1


def test_no_file_is_no_checkpoint(tmp_path: Path) -> None:
    assert read_checkpoint(tmp_path / "none") is None


@pytest.mark.parametrize(("facts", "version"), [({}, 1), ({"version": 1}, 1), ({"version": 3}, 3)])
def test_a_checkpoint_of_another_version_is_refused_with_a_remedy(
    tmp_path: Path, facts: dict[str, int], version: int
) -> None:
    metadata = {"privateyes": json.dumps({**facts, "last_sid": "", "round": 3})}
    (tmp_path / "a").write_bytes(save({"model": VECTOR}, metadata=metadata))
    with pytest.raises(RunDirectoryError, match=f"another version of privateyes .checkpoint {version}, not 2") as error:
        read_checkpoint(tmp_path / "a")
    assert error.value.remedy


@pytest.mark.parametrize("content", [b"", b"rubbish" * 10, None])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a"
    write_checkpoint(path, Checkpoint(3, {SHARED: VECTOR}))
    path.write_bytes(path.read_bytes()[:-4] if content is None else content)
    with pytest.raises(RunDirectoryError, match="is damaged"):
        read_checkpoint(path)

"""How a run reads its data file: seldom, only what it uses, and only as long as the file stays what it was."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from privateyes.errors import DataError
from privateyes.experiments.record import RunDirectory
from privateyes.experiments.run import run_experiment
from privateyes.experiments.spec import ExperimentSpec, parse_spec
from privateyes.tasks.gaze.reader import FileReader

METHODS = '["centralised", "local", "federated"]'
# To see whether it can be opened, to check it, to describe the model, to compare labels with pixels, to train, and to
# describe the clients.
OPENS = 6

MakeSpec = Callable[..., ExperimentSpec]


@pytest.fixture
def make_spec(make_eyes: Callable[..., Path], experiment_text: Callable[..., str], tmp_path: Path) -> MakeSpec:
    """An experiment on a file of its own: of all persons the last one is for testing."""

    def make(persons: int, images: int = 24, data: str = "", **changes: Any) -> ExperimentSpec:
        path = make_eyes(tmp_path / f"{persons}.h5", persons, images)
        text = experiment_text(path, **changes).replace('["p03", "p04"]', f'["p{persons - 1:02d}"]')
        return parse_spec(text.replace("[split]", f"{data}\n[split]"), "small.toml", tmp_path)

    return make


@pytest.fixture
def opens(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of all HDF5 files that are opened."""
    noted: list[str] = []
    original = h5py.File.__init__

    def noting(self: h5py.File, name: Any, *given: Any, **named: Any) -> None:
        if isinstance(name, str | os.PathLike):  # h5py wraps an open file's own handle in another `File`
            noted.append(Path(name).name)
        original(self, name, *given, **named)

    monkeypatch.setattr(h5py.File, "__init__", noting)
    return noted


@pytest.fixture
def rows_read(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """(person, row) of every picture that is read for training and testing, in this process."""
    noted: list[tuple[str, int]] = []
    original = FileReader.pictures

    def noting(self: FileReader, person: str, part: str, rows: np.ndarray) -> np.ndarray:
        noted.extend((person, row) for row in rows.tolist())
        return original(self, person, part, rows)

    monkeypatch.setattr(FileReader, "pictures", noting)
    return noted


@pytest.mark.parametrize(("persons", "methods", "rounds"), [(3, METHODS, 2), (5, '["federated"]', 3)])
def test_a_run_opens_its_file_six_times_whatever_there_is_to_do(
    make_spec: MakeSpec, tmp_path: Path, listener: Any, opens: list[str], persons: int, methods: str, rounds: int
) -> None:
    spec = make_spec(persons, methods=methods, rounds=rounds)
    opens.clear()
    run_experiment(spec, tmp_path / "run", listener)
    assert opens == [f"{persons}.h5"] * OPENS


def test_each_picture_is_read_once_and_with_a_limit_no_other(
    make_spec: MakeSpec, tmp_path: Path, listener: Any, rows_read: list[tuple[str, int]]
) -> None:
    run_experiment(make_spec(3, methods=METHODS, data="image_limit = 6"), tmp_path / "run", listener, extras=False)
    kept = [0, 4, 8, 12, 16, 20]
    assert sorted(rows_read) == [(person, row) for person in ("p00", "p01", "p02") for row in kept]


class Changing:
    """Is told how a run goes on, and changes its data file after the first round."""

    def __init__(self, listener: Any, path: Path) -> None:
        self._listener, self._path = listener, path
        status = path.stat()
        self._content, self._times = path.read_bytes(), (status.st_atime_ns, status.st_mtime_ns)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._listener, name)

    def round_done(self, line: Mapping[str, Any]) -> None:
        self._path.write_bytes(self._content + b"more")

    def put_back(self) -> None:
        self._path.write_bytes(self._content)
        os.utime(self._path, ns=self._times)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_file_that_changes_under_a_run_is_refused_and_put_back_the_run_goes_on(
    make_spec: MakeSpec, tmp_path: Path, listener: Any, workers: int
) -> None:
    spec = make_spec(3, methods='["federated", "local"]')
    training = spec.training.model_copy(update={"workers": workers})
    spec = spec.model_copy(update={"training": training})
    run_experiment(spec, tmp_path / "whole", listener)
    changing = Changing(listener, Path(str(spec.data.path)))
    with pytest.raises(DataError, match=r"3\.h5 was changed while it was in use; put the file back"):
        run_experiment(spec, tmp_path / "run", changing)
    changing.put_back()
    run_experiment(spec, tmp_path / "run", listener, resume=True)
    for method in ("federated", "local"):
        whole, resumed = (RunDirectory(tmp_path / name).checkpoint_path("all", method) for name in ("whole", "run"))
        assert whole.read_bytes() == resumed.read_bytes()

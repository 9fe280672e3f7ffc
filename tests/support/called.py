"""The command line, called in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from privateyes.cli.main import app


@pytest.fixture(scope="session")
def call() -> Callable[..., Result]:
    """Calls `privateyes` with the given arguments; an error that is not meant for people fails the test."""

    def run(*arguments: str | Path) -> Result:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture(autouse=True, scope="session")
def _no_width() -> Iterator[None]:
    """Tables are as wide as in a pipe, whatever the shell that runs the tests exports; in shared fixtures, too."""
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("COLUMNS", raising=False)
        yield


@pytest.fixture
def experiment(tmp_path: Path, eyes: Path, experiment_text: Callable[..., str]) -> Path:
    """A small experiment file."""
    path = tmp_path / "small.toml"
    path.write_text(experiment_text(eyes))
    return path


@pytest.fixture(scope="session")
def trained(
    tmp_path_factory: pytest.TempPathFactory,
    eyes: Path,
    experiment_text: Callable[..., str],
    call: Callable[..., Result],
) -> tuple[Path, Result]:
    """A run that `privateyes train` wrote, and what it printed; read only."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "small.toml").write_text(experiment_text(eyes, methods='["centralised", "local", "federated"]'))
    result = call("train", folder / "small.toml", "--out", folder / "run")
    return folder / "run", result

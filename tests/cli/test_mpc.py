"""`privateyes mpc`: the table, the errors; the engine is a stub."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from privateyes.baselines.mpc.driver import Launcher
from privateyes.errors import EngineError
from privateyes.experiments.mpc import run

STUB = Path(__file__).parents[1] / "support" / "stub_engine" / "program.py"
TABLE = "\n[mpc]\nsamples_per_person = 4\nbatch_size = 6\nepochs = 2\n"


@pytest.fixture
def stubbed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No environment is made; the parties run on the stub."""
    monkeypatch.setattr(run, "ensure_environment", lambda notify: Path(sys.executable))
    monkeypatch.setattr(run, "Launcher", lambda python: Launcher(python, STUB))


@pytest.fixture
def small(tmp_path: Path, eyes: Path) -> Path:
    path = tmp_path / "small.toml"
    text = f'name = "small"\n[data]\npath = "{eyes}"\n[split]\ntest_persons = ["p03"]\n[model]\nname = "small_cnn"\n'
    path.write_text(text + TABLE)
    return path


@pytest.mark.usefixtures("stubbed")
def test_measured_and_extrapolated_columns_stand_side_by_side_above_the_threat_model(
    call: Callable[..., Result], small: Path, tmp_path: Path
) -> None:
    result = call("mpc", small, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    (head,) = [line for line in lines if "EXTRAPOLATED" in line and "measured" in line and "no figure" not in line]
    assert head.split() == ["measured", "measured", "measured", "EXTRAPOLATED", "EXTRAPOLATED"]
    (networks,) = [line for line in lines if line.strip().startswith("network ")]
    assert networks.split()[1:] == ["perceptron", "small_cnn", "small_cnn", "perceptron", "small_cnn"]
    assert any(
        line.startswith("extrapolated (small_cnn): line through the measured steps of 1 and 4") for line in lines
    )
    (threats,) = [line for line in lines if line.startswith("threat model: ")]
    assert "semi-honest, honest majority of 3: weaker than ours" in threats
    assert "ABY3 with 3 parties, ring of 64 bits with 18 for the fraction" in result.stdout


@pytest.mark.usefixtures("stubbed")
def test_a_finished_run_is_shown_again_without_the_engine(
    call: Callable[..., Result], small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.write_text(small.read_text() + "probe_batches = []\n")
    first = call("mpc", small, "--out", tmp_path / "out")

    def refuse(_: Any) -> Path:
        raise EngineError("no environment", "none")

    monkeypatch.setattr(run, "ensure_environment", refuse)
    assert call("mpc", small, "--out", tmp_path / "out").stdout == first.stdout


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ('protocol = "spdz"', 'mpc.protocol = "spdz"'),
        ("parties = 2", "mpc.parties = 2, but the protocol aby3 takes 3"),
        ("hiden = [3]", "mpc.hiden is not a known key; did you mean mpc.hidden?"),
        ("learning_rate = 0", "mpc.learning_rate = 0"),
        ("ring_bits = 32", "mpc.ring_bits = 32"),
    ],
)
def test_a_wrong_table_is_one_clear_line(
    change: str, told: str, call: Callable[..., Result], small: Path, tmp_path: Path
) -> None:
    small.write_text(small.read_text() + change + "\n")
    result = call("mpc", small, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert told in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_an_environment_that_cannot_be_made_is_one_clear_line(
    call: Callable[..., Result], small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRIVATEYES_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PRIVATEYES_MPC_PYTHON", str(tmp_path / "python9"))
    result = call("mpc", small, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert 'python9" is no Python 3.11 with venv and pip; name an interpreter' in result.stderr

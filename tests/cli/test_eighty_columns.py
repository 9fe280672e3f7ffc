"""Every table of every command, 80 columns wide: nothing is cut short."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

import privateyes
from local_task import refuse
from privateyes.aggregation.audit.findings import Audit, Finding, Level, Outcome, SessionAudit
from privateyes.aggregation.manifest import Manifest
from privateyes.baselines.mpc.driver import Launcher
from privateyes.cli.audit_tables import print_audit, print_differences
from privateyes.cli.fitted_table import FittedTable
from privateyes.cli.records import read_manifest
from privateyes.crypto.field import COMPACT
from privateyes.encoding.fixed_point import FixedPoint
from privateyes.engines.local.parties import SecurePlan
from privateyes.engines.local.secure import SecureExchange
from privateyes.experiments.mpc import run as mpc_run
from privateyes.federation.participants import ClientUpdate
from privateyes.federation.rounds import ServerState
from privateyes.federation.server_step import FedAvg
from taking_part import taking_part

Call = Callable[..., Result]
STUB = Path(__file__).parents[1] / "support" / "stub_engine" / "program.py"
PACKAGE = Path(privateyes.__file__).parent
_LONGEST = 16  # a longer word, such as a path, may go on in the next line


def test_no_other_table_is_printed_than_one_that_fits() -> None:
    assert {path.name for path in PACKAGE.rglob("*.py") if "rich.table" in path.read_text()} == {"fitted_table.py"}


@pytest.fixture
def makers(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, str]]:
    """Fills with the functions that made a table: module and name."""
    found: set[tuple[str, str]] = set()
    original = FittedTable.__init__

    def noted(self: FittedTable, *arguments: Any) -> None:
        caller = sys._getframe(1)
        found.add((caller.f_globals["__name__"].removeprefix("privateyes."), caller.f_code.co_name))
        original(self, *arguments)

    monkeypatch.setattr(FittedTable, "__init__", noted)
    return found


def in_the_source() -> Iterator[tuple[str, str]]:
    for path in PACKAGE.rglob("*.py"):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef):
                calls = [node.func for node in ast.walk(function) if isinstance(node, ast.Call)]
                if any(isinstance(called, ast.Name) and called.id == "FittedTable" for called in calls):
                    yield module, function.name


@pytest.fixture
def at_80(call: Call, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """Calls a command, or a function that prints, with 80 columns and with many more, and compares."""

    def printed(columns: int, what: Callable[..., object] | None, arguments: tuple[Any, ...]) -> str:
        monkeypatch.setenv("COLUMNS", str(columns))
        if what is None:
            result = call(*arguments)
            assert result.exit_code in (0, 1), result.output
            return result.stdout
        capsys.readouterr()
        what(*arguments)
        return capsys.readouterr().out

    def compare(*arguments: Any, what: Callable[..., object] | None = None) -> None:
        wide, narrow = (printed(columns, what, arguments) for columns in (400, 80))
        assert "…" not in narrow, narrow
        short = {word for word in wide.split() if len(word) <= _LONGEST}
        assert short <= set(narrow.split()), short - set(narrow.split())

    return compare


def refused_in(run: Path) -> None:
    """A task of a run waits for a decision."""
    names = ("ada", "bob", "a client of the clinic in the north", "dan")
    updates = [ClientUpdate(name, 2, np.full(20, 0.1, np.float32), 0.0) for name in names]
    plan = SecurePlan(names, 20, 3, FixedPoint(COMPACT, 1.0, 12, weight_max=20, roster_max=4), 2)
    with closing(SecureExchange(plan, FedAvg(), run / "aggregation/all/private", seed=1)) as exchange:
        state, _ = exchange.exchange(ServerState(np.zeros(20, np.float32)), taking_part(updates))
        refuse(exchange, state, updates[:3])
    (run / "experiment.toml").write_text("")


def a_long_audit() -> Audit:
    guilty = Finding(Level.PROVEN, "step 4", "opened something else than it had committed to", ("aggregator 2",))
    several = Finding(Level.INCONSISTENT, "step 3", "its words differ " * 9, ("client 1", "client 2", "aggregator 3"))
    sid = bytes(range(32))
    session = SessionAudit(
        sid, bytes(32), 123456, 1234567, Outcome.REFUSED, 5, (1, 2), None, (guilty, several), ((1, 5), (2, 5))
    )
    return Audit((session,) * 1200, (several,), 1234567, 1234567)


def test_no_table_of_any_command_is_cut_at_80_columns(
    at_80: Callable[..., None],
    call: Call,
    makers: set[tuple[str, str]],
    eyes: Path,
    experiment_text: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file, run = tmp_path / "a.toml", tmp_path / "run"
    file.write_text(experiment_text(eyes, methods='["local", "federated", "private", "private-adaptive"]', rounds=1))
    assert call("train", file, "--out", run).exit_code == 0
    at_80("train", run, "--resume")
    at_80("evaluate", run)
    at_80("calibrate", run, "--k", "1,2,3", "--draws", "2")
    at_80("predict", run, eyes)
    at_80("clean", run, "--dry-run")
    at_80("models")
    at_80("data", "check", eyes)
    at_80("data", "partition", eyes)
    at_80("transcript", "verify", run / "aggregation/all/private")
    manifest: Manifest = read_manifest(run / "aggregation/all/private/manifest.toml")
    at_80("task", "verify", run / "aggregation/all/private/manifest.toml")
    at_80(manifest, a_long_audit(), what=print_audit)
    at_80(["clip: 1.0 here, 2.0 there"], Path("mine.toml"), Path("theirs.toml"), what=print_differences)
    refused_in(tmp_path / "refused")
    at_80("task", "continue", tmp_path / "refused")

    monkeypatch.setattr(mpc_run, "ensure_environment", lambda notify: Path(sys.executable))
    monkeypatch.setattr(mpc_run, "Launcher", lambda python: Launcher(python, STUB))
    settings = "[mpc]\nsamples_per_person = 4\nbatch_size = 6\nepochs = 2\n[compare]\nparallel = 2\n"
    methods = '["centralised", "adaptive", "federated", "private-adaptive", "mpc"]'
    file.write_text(
        experiment_text(eyes, methods=methods, rounds=1, tail=f"[calibration]\ndraws = 2\nsamples = [1]\n{settings}")
    )
    at_80("mpc", file, "--out", tmp_path / "mpc")
    assert call("compare", file, "--out", tmp_path / "c").exit_code == 0
    at_80("compare", tmp_path / "c", "--table")
    assert makers == set(in_the_source())

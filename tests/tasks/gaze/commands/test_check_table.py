from __future__ import annotations

from pathlib import Path

import pytest

from privateyes.tasks.gaze.check import CheckReport, Finding, Severity
from privateyes.tasks.gaze.commands.check_table import print_check


def test_findings_are_counted_in_singular_and_plural(capsys: pytest.CaptureFixture[str]) -> None:
    finding = Finding(Severity.WARNING, "p00", "something", "a remedy")
    print_check(CheckReport(Path("x.h5"), (finding,), ()))
    assert capsys.readouterr().out.splitlines()[-1] == "0 errors, 1 warning"

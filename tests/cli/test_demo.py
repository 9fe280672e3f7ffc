from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from privateyes.experiments import locate
from privateyes.experiments.spec import parse_spec


def test_the_demo_renders_trains_and_shows_and_may_be_called_again(
    call: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = """
name = "demo"
methods = ["centralised", "federated"]
[data.synthetic]
persons = 3
images_per_person = 6
[split]
test_persons = ["r02"]
[model]
name = "resnet_preact_8"
[training]
rounds = 1
[runtime]
workers = 1
"""
    monkeypatch.setattr(locate, "demo_experiment", lambda: parse_spec(text, "demo.toml", Path()))
    first, second = (call("demo", "--out", tmp_path / "run") for _ in range(2))
    assert first.exit_code == second.exit_code == 0
    assert "rendering 3 persons" in first.stderr
    assert "finished already" in second.stderr
    assert first.stdout == second.stdout
    assert (tmp_path / "run/report.html").exists()

"""docs/own-tasks.md: its experiment file trains, its metric is the example's, its table has what a task may bring."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

import shapes_task
from privateyes.cli.main import app
from privateyes.experiments.task import Task
from privateyes.training.metric import Metric

TEXT = (Path(__file__).parents[2] / "docs" / "own-tasks.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    """The page's only block of that language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    return str(found)


def test_the_pages_experiment_trains_and_can_be_evaluated(tmp_path: Path) -> None:
    (tmp_path / "shapes.toml").write_text(block("toml"), encoding="utf-8")
    run = str(tmp_path / "run")
    for command in (["train", str(tmp_path / "shapes.toml"), "--out", run], ["evaluate", run, "--method", "private"]):
        result = CliRunner().invoke(app, command, env={"COLUMNS": "160"})
        assert result.exit_code == 0, result.output
        assert "mean Dice score" in result.output


def test_the_pages_metric_is_that_of_the_example() -> None:
    names: dict[str, Any] = {"Metric": Metric, "dice": shapes_task.dice}
    exec(block("python"), names)  # noqa: S102 - our own page
    assert names["DICE"] == shapes_task.DICE


def test_the_table_names_all_that_a_task_may_bring_with_its_arguments_and_nothing_besides() -> None:
    table = TEXT.partition("## The object")[2].partition("\n## ")[0]
    told = {
        name: arguments
        for line in table.splitlines()
        if line.startswith("| ")
        for name, arguments in re.findall(r"`([a-z_]+)(?:\(([^)]*)\))?`", line.split("|")[2])
    }
    brought = {name for name in vars(Task) if not name.startswith("_")} | set(Task.__annotations__)
    assert set(told) == brought - {"metric"}, "`metric` finds one of `metrics`, and is not for a task to bring"
    for name, arguments in told.items():
        if arguments:
            own = [given for given in inspect.signature(getattr(Task, name)).parameters if given != "self"]
            assert len(arguments.split(", ")) == len(own), name

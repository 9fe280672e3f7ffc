"""The documented surface: every name is there, and the examples of docs/python.md run as they stand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import privateyes as pe
from privateyes.errors import ConfigError, RunDirectoryError, UsageError

PAGE = Path(__file__).parents[1] / "docs" / "python.md"


@pytest.fixture(scope="module")
def after(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The names that the page's examples define, run one after the other in a folder of their own."""
    names: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("page"))
        for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
            exec(compile(block, str(PAGE), "exec"), names)  # noqa: S102 - our own page
        names["folder"] = Path.cwd()
    return names


def test_every_example_of_the_page_runs(after) -> None:
    assert after["tested"].error["r02"] == after["private"].per_person["r02"]
    assert after["private"].mean_error == pytest.approx(after["run"].row("federated").mean_error, abs=1e-3)
    assert set(after["comparison"].row("private").per_seed) == {"1", "2", "3"}
    assert after["result"].counted == ("ada", "bob", "cyd")
    assert (after["folder"] / "runs" / "first" / "report.html").is_file()


def test_a_run_and_a_comparison_are_read_again_and_name_the_methods_that_they_have(after) -> None:
    folder = after["folder"] / "runs"
    assert pe.open_comparison(folder / "compare-first").rows == after["comparison"].rows
    for made in (after["run"], after["comparison"]):
        with pytest.raises(UsageError, match=r"no method adaptive in it.*federated, private"):
            made.row("adaptive")


def test_a_finished_run_is_not_trained_over_and_tables_are_checked_as_files_are(after, tmp_path) -> None:
    with pytest.raises(RunDirectoryError, match="already holds this run, finished; see it with `privateyes report`"):
        pe.train(after["experiment"], out=after["folder"] / "runs" / "first")
    with pytest.raises(ConfigError, match=r"the experiment: training.round is not a known key.*did you mean"):
        pe.train({**after["experiment"], "training": {"round": 1}}, out=tmp_path / "run")
    with pytest.raises(RunDirectoryError):
        pe.open_run(tmp_path)
    assert not (tmp_path / "run").exists()


def test_a_script_that_trains_while_a_worker_imports_it_is_told_about_the_guard(tmp_path) -> None:
    script = tmp_path / "unguarded.py"
    tables = {
        "name": "own",
        "methods": ["federated"],
        "data": {"synthetic": {"persons": 3, "images_per_person": 4}},
        "split": {"test_persons": ["r02"]},
        "model": {"name": "resnet_preact_8"},
        "training": {"rounds": 1, "workers": 2},
    }
    script.write_text(f"import privateyes as pe\npe.train({tables!r}, out='run')\n", encoding="utf-8")
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert 'put it below if __name__ == "__main__":' in done.stderr


def test_a_result_is_a_frame_where_pandas_is_installed_and_says_so_where_it_is_not(after, monkeypatch) -> None:
    class Frame:
        """Stands for pandas, which is no dependency."""

        @staticmethod
        def DataFrame(*content: Any, **named: Any) -> Any:
            return content, named

    monkeypatch.setitem(sys.modules, "pandas", Frame)
    assert after["run"].frame()[0][0]["private"] == after["private"].per_person
    estimates = after["estimates"]
    assert pe.as_frame(estimates) == ((estimates.rows,), {"columns": list(estimates.columns)})
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match="pip install pandas"):
        after["comparison"].frame()


def test_the_list_of_names_is_the_table_that_they_are_imported_by() -> None:
    assert pe.__all__ == sorted(pe._PLACES)
    for name in pe.__all__:
        assert getattr(pe, name).__name__ == name


def test_every_name_stands_in_an_example_or_the_text_of_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    missing = [name for name in pe.__all__ if f"pe.{name}" not in page]
    assert missing == ["Average", "Comparison", "Run", "open_comparison"], "types that examples return, and one reader"


def test_what_needs_training_says_how_to_install_it_where_torch_is_missing() -> None:
    code = "import sys; sys.modules['torch'] = None\nimport privateyes as pe\npe.SecureAverage\npe.train"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ImportError: privateyes.train needs torch, which is not installed" in done.stderr

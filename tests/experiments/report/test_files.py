"""What the page takes from a run's directory, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from privateyes.errors import DataError, RunDirectoryError
from privateyes.experiments.report.files import read_run

Maker = Callable[..., Path]


def test_a_finished_run_is_read_whole(run_maker: Maker) -> None:
    files = read_run(run_maker(rounds=3))
    assert len(files.rounds) == 4 * 3
    assert files.results is not None
    assert files.samples is not None
    assert files.samples.images.dtype == np.uint8
    assert files.notes == ()


def test_an_unfinished_run_is_read_as_far_as_it_goes(run_maker: Maker) -> None:
    files = read_run(run_maker(rounds=3, stop_after=("local", 2)))
    assert len(files.rounds) == 3 + 2
    assert files.results is None
    assert files.samples is None


def test_samples_that_were_not_asked_for_are_not_opened(run_maker: Maker) -> None:
    run = run_maker(rounds=2)
    (run / "samples.npz").write_bytes(b"not an archive")
    assert read_run(run, with_samples=False).samples is None


@pytest.mark.parametrize("cut", [1, 20, 200])
def test_a_half_written_last_line_is_ignored_with_a_note(run_maker: Maker, cut: int) -> None:
    run = run_maker(rounds=3, stop_after=("local", 2))
    path = run / "metrics.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + whole.splitlines()[0][:cut])
    files = read_run(run)
    assert len(files.rounds) == 3 + 2
    assert "half written" in files.notes[0]


def test_a_last_line_that_broke_off_inside_a_character_is_ignored_too(run_maker: Maker) -> None:
    run = run_maker(rounds=2, stop_after=("local", 1))
    with (run / "metrics.jsonl").open("ab") as stream:
        stream.write('{"event":"round","fold":"ü'.encode()[:-1])
    assert len(read_run(run).notes) == 1


def test_a_damaged_line_in_the_middle_is_refused_by_its_number(run_maker: Maker) -> None:
    run = run_maker(rounds=3)
    path = run / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    lines[4] = lines[4][:30] + "\n"
    path.write_text("".join(lines))
    with pytest.raises(DataError, match=r"metrics\.jsonl is damaged in line 5: .*; restore"):
        read_run(run)


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [("mean_error", "x", "mean_error"), ("round", 0, "round"), ("error", {"p": -1}, r"error\.p")],
)
def test_a_line_with_an_impossible_value_is_refused_by_its_key(
    run_maker: Maker, key: str, value: object, named: str
) -> None:
    run = run_maker(rounds=2, stop_after=("centralised", 1))
    path = run / "metrics.jsonl"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}) + "\n")
    with pytest.raises(DataError, match=rf"line 1: {named}"):
        read_run(run)


def test_not_a_number_is_refused(run_maker: Maker) -> None:
    run = run_maker(rounds=2)
    path = run / "results.json"
    content = json.loads(path.read_text())
    content["rows"][2]["mean_error"] = float("nan")
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"results\.json is damaged: rows\.2\.mean_error: .*finite"):
        read_run(run)


@pytest.mark.parametrize("name", ["experiment.toml", "environment.json", "results.json"])
@pytest.mark.parametrize("content", [b"{ half", b"\xff\xfe\x00"])
def test_a_damaged_file_is_refused_by_its_name(run_maker: Maker, name: str, content: bytes) -> None:
    run = run_maker(rounds=2)
    (run / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"{name} is damaged: .*; restore"):
        read_run(run)


def test_methods_that_are_no_list_of_names_are_refused(run_maker: Maker) -> None:
    run = run_maker(rounds=2, methods=("federated",))
    path = run / "experiment.toml"
    path.write_text(path.read_text().replace('["federated"]', "3"))
    with pytest.raises(DataError, match="methods is no list of names"):
        read_run(run)


def test_what_is_no_run_is_refused_with_a_remedy(tmp_path: Path, run_maker: Maker) -> None:
    with pytest.raises(RunDirectoryError, match="is not a directory; name the directory of a run"):
        read_run(tmp_path / "nowhere")
    with pytest.raises(RunDirectoryError, match=r"has no experiment\.toml; name"):
        read_run(tmp_path)
    run = run_maker(rounds=2)
    (run / "environment.json").unlink()
    with pytest.raises(RunDirectoryError, match=r"has lost its environment\.json; restore"):
        read_run(run)


def test_results_without_rounds_are_refused(run_maker: Maker) -> None:
    run = run_maker(rounds=2)
    (run / "metrics.jsonl").unlink()
    with pytest.raises(RunDirectoryError, match="has results but no rounds"):
        read_run(run)


@pytest.mark.parametrize(
    ("name", "array", "problem"),
    [
        ("true", None, "no array 'true'"),
        ("images", np.zeros((8, 36, 60), dtype=np.float32), "not uint8"),
        ("person", np.array(["a"]), "one name for each"),
        ("predicted_private", np.full((8, 2), np.nan), "predicted_private must be 8 finite pairs"),
        ("true", np.zeros((8, 3)), "true must be 8 finite pairs"),
    ],
)
def test_samples_of_another_shape_are_refused(
    run_maker: Maker, name: str, array: np.ndarray | None, problem: str
) -> None:
    run = run_maker(rounds=2)
    with np.load(run / "samples.npz") as archive:
        arrays = {key: archive[key] for key in archive.files}
    if array is None:
        del arrays[name]
    else:
        arrays[name] = array
    np.savez(run / "samples.npz", **arrays)
    with pytest.raises(DataError, match=rf"samples\.npz is damaged: .*{problem}"):
        read_run(run)


@pytest.mark.parametrize("keep", [0, 10, 3000])
def test_a_cut_archive_of_samples_is_refused(run_maker: Maker, keep: int) -> None:
    path = run_maker(rounds=2) / "samples.npz"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"samples\.npz is damaged"):
        read_run(path.parent)


def test_pickled_objects_in_samples_are_never_loaded(run_maker: Maker) -> None:
    run = run_maker(rounds=2)
    np.savez(run / "samples.npz", images=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match=r"samples\.npz is damaged"):
        read_run(run)


def test_a_round_that_was_repeated_after_a_kill_counts_once(run_maker: Maker) -> None:
    run = run_maker(rounds=2, stop_after=("centralised", 2))
    path = run / "metrics.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[-1]]) + "\n")
    assert len(read_run(run).rounds) == 2


def test_lines_about_other_events_are_passed_over(run_maker: Maker) -> None:
    run = run_maker(rounds=2, stop_after=("centralised", 2))
    with (run / "metrics.jsonl").open("a") as stream:
        stream.write('{"event":"something else"}\n')
    assert len(read_run(run).rounds) == 2

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from privateyes.engines.local.pool import PoolTrainer
from privateyes.experiments import record as record_module
from privateyes.experiments import run as run_module
from privateyes.experiments.checkpoint import Checkpoint
from privateyes.experiments.evaluate import evaluate_run
from privateyes.experiments.record import RunDirectory
from privateyes.experiments.report import write_report
from privateyes.experiments.run import run_experiment
from privateyes.experiments.spec import ExperimentSpec, parse_spec
from privateyes.experiments.stopping import Stopping, result_line
from privateyes.federation.participants import Participant
from privateyes.training.stopping import best_round, is_over
from taking_part import taking_part

Make = Callable[..., ExperimentSpec]


def lines_of(errors: list[float], patience: int | None) -> list[dict[str, Any]]:
    stopping = Stopping(patience, [])
    return [{"round": number, **stopping.judge(number, {"v": error})} for number, error in enumerate(errors, start=1)]


def test_a_line_says_the_best_round_so_far_and_whether_it_is_the_last() -> None:
    lines = lines_of([5.0, 3.0, 4.0, 3.0], 2)
    assert [(line["best_round"], line["stopped"]) for line in lines] == [(1, False), (2, False), (2, False), (2, True)]
    assert result_line(lines) is lines[1]


def test_without_patience_errors_are_recorded_and_the_last_round_is_the_result() -> None:
    lines = lines_of([5.0, 3.0, 4.0, 6.0, 7.0], None)
    assert lines[0] == {"round": 1, "validation": {"v": 5.0}, "validation_error": 5.0}
    assert result_line(lines) is lines[-1]


def test_without_validation_persons_nothing_is_recorded_or_decided() -> None:
    stopping = Stopping(None, [{"round": 1}])
    assert stopping.judge(2, {}) == {}
    assert not stopping.over
    assert not stopping.improved


@pytest.mark.parametrize("resumed_after", range(1, 5))
def test_void_rounds_cost_no_patience_and_a_resumed_run_knows_them(resumed_after: int) -> None:
    void = [False, True, True, False, True, False]
    stopping, lines = Stopping(2, []), []
    for number, left in enumerate(void, start=1):
        line = {"round": number, "participation": {"void": left}}
        lines.append({**line, **stopping.judge(number, {"v": 3.0 if number < 4 else 4.0}, left)})
    assert [line["stopped"] for line in lines] == [False, False, False, False, False, True]
    again = Stopping(2, json.loads(json.dumps(lines[:resumed_after])))
    rest = list(zip(lines, void, strict=True))[resumed_after:]
    found = [again.judge(line["round"], line["validation"], left) for line, left in rest]
    assert [line["stopped"] for line in found] == [line["stopped"] for line in lines[resumed_after:]]


@pytest.mark.parametrize("resumed_after", range(1, 6))
def test_from_the_lines_on_disk_it_decides_as_if_never_interrupted(resumed_after: int) -> None:
    errors = [5.0, 3.0, 4.0, 2.9, 3.0, 3.1]
    lines = lines_of(errors, 2)
    again = Stopping(2, json.loads(json.dumps(lines[:resumed_after])))
    assert again.over == lines[resumed_after - 1]["stopped"]
    assert again.judge(resumed_after + 1, {"v": errors[resumed_after]}).items() <= lines[resumed_after].items()


@pytest.mark.parametrize("resumed_after", range(1, 9))
def test_patience_counts_rounds_also_where_only_some_are_evaluated(resumed_after: int) -> None:
    """Every second round is: 2 is the best, and by 6 four rounds have passed; the void round 5 does not count."""
    errors = {2: 3.0, 4: 3.5, 6: 3.1, 8: 3.2}
    stopping, lines = Stopping(4, []), []
    for number in range(1, 9):
        line = {"round": number, "participation": {"void": number == 5}}
        judged = stopping.judge(number, {"v": errors[number]} if number in errors else {}, number == 5)
        lines.append({**line, **judged})
    assert [line.get("stopped") for line in lines] == [None, False, None, False, None, False, None, True]
    assert result_line(lines) is lines[1]
    again = Stopping(4, json.loads(json.dumps(lines[:resumed_after])))
    for line in lines[resumed_after:]:
        found = again.judge(line["round"], line.get("validation", {}), line["participation"]["void"])
        assert found.items() <= line.items()
        assert found.get("stopped") == line.get("stopped")


@pytest.mark.parametrize("patience", [None, 5])
def test_a_line_whose_round_converged_is_the_last(patience: int | None) -> None:
    stopping, lines = Stopping(patience, []), []
    for number in (1, 2, 3):
        assert not stopping.over
        converged = number == 3
        line = {"round": number, "converged": converged, **stopping.judge(number, {"v": 3.0}, converged, converged)}
        lines.append(line)
    assert stopping.over
    assert [Stopping(patience, lines[:count]).over for count in range(4)] == [False, False, False, True]
    assert result_line(lines)["round"] == (3 if patience is None else 1)


# Whole runs. What a model's errors would be is made up, so that the rounds in which they are best are known.

PATIENCE = 2
VALIDATION = [5.0, 4.0, 3.0, 3.5, 3.2, 1.0, 1.0, 1.0]  # best in round 3, over after round 5
TEST = [9.0, 8.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0]  # best in round 2, over after round 4
ROUNDS = len(VALIDATION)
METHODS = '["centralised", "local", "federated", "adaptive", "private"]'


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """p02 is the validation person; the errors follow from the round alone."""

    def errors(
        method: str, context: object, task: object, true: dict[str, object], checkpoint: Checkpoint
    ) -> list[dict[str, float]]:
        index = checkpoint.round - 1
        return [{person: (VALIDATION if person == "p02" else TEST)[index] for person in true}]

    monkeypatch.setattr(run_module, "_measured", errors)


@pytest.fixture
def make(eyes: Path, experiment_text: Callable[..., str]) -> Make:
    """As small_spec, with p02 for validation and so much patience."""

    def made(patience: int, methods: str = METHODS, rounds: int = ROUNDS) -> ExperimentSpec:
        text = experiment_text(eyes, methods, f"patience = {patience}", rounds=rounds)
        split = 'test_persons = ["p03", "p04"]\nvalidation_persons = ["p02"]\n'
        text = text.replace('test_persons = ["p03", "p04"]\n', split)
        return parse_spec(text.replace("[split]", "image_limit = 8\n[split]"), "small.toml", Path())

    return made


@pytest.fixture
def spec(make: Make) -> ExperimentSpec:
    return make(PATIENCE)


@pytest.mark.usefixtures("made_up")
def test_every_method_stops_by_the_validation_persons_and_not_by_the_test_persons(
    spec: ExperimentSpec, tmp_path: Path, listener: Any
) -> None:
    peeked = dict(enumerate(TEST[:4], start=1))
    assert is_over(peeked, PATIENCE)  # peeking at the test persons would stop here, and keep round 2
    assert best_round(peeked) == 2
    results = run_experiment(spec, tmp_path / "run", listener)
    run = RunDirectory(tmp_path / "run")
    for row in results["rows"]:
        assert [line["round"] for line in run.read_rounds("all", row["method"])] == [1, 2, 3, 4, 5]
        assert row["best_rounds"] == {"all": 3}
        assert row["rounds_run"] == {"all": 5}
        assert row["per_person"] == {"p03": TEST[2], "p04": TEST[2]}  # of the model that was chosen: not the best there
    assert ("note", "local stops after round 5: round 3 was the best on p02") in listener.told
    assert results["folds"] == [{"fold": "all", "train": ["p00", "p01"], "test": ["p03", "p04"]}]


@pytest.mark.usefixtures("made_up")
def test_the_best_rounds_model_is_kept_and_used(
    spec: ExperimentSpec, tmp_path: Path, listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, recorded = RunDirectory.record_round, {}

    def noting(self: RunDirectory, line: dict[str, Any], checkpoint: Checkpoint, best: bool = False) -> None:
        recorded[line["method"], line["round"]] = checkpoint
        record(self, line, checkpoint, best)

    monkeypatch.setattr(RunDirectory, "record_round", noting)
    run_experiment(spec, tmp_path / "run", listener)
    run = RunDirectory(tmp_path / "run")
    for method in spec.methods:
        result, last = run.read_result("all", method), run.read_checkpoint("all", method)
        assert result is not None
        assert last is not None
        assert (result.round, last.round) == (3, 5)
        for name, vector in result.vectors.items():
            assert vector.tobytes() == recorded[method, 3].vectors[name].tobytes()
            assert vector.tobytes() != last.vectors[name].tobytes()
        assert evaluate_run(tmp_path / "run", method).round == 3


@pytest.mark.usefixtures("made_up")
@pytest.mark.parametrize("stop_after", range(1, 6))
@pytest.mark.parametrize("moment", ["before", "between", "after"])
def test_a_run_that_is_killed_at_any_round_stops_where_it_would_have(
    make: Make, tmp_path: Path, listener: Any, monkeypatch: pytest.MonkeyPatch, stop_after: int, moment: str
) -> None:
    """Before the line, between the line and the checkpoint (the best one written or not), or after both."""
    spec = make(PATIENCE, '["federated"]')
    whole = run_experiment(spec, tmp_path / "whole", listener)
    record = RunDirectory.record_round
    done = []

    def stop(self: RunDirectory, line: dict[str, Any], checkpoint: Checkpoint, best: bool = False) -> None:
        done.append(line)
        if len(done) == stop_after and moment == "before":
            raise KeyboardInterrupt
        last = self.read_checkpoint("all", "federated")
        record(self, line, checkpoint, best)
        if len(done) == stop_after:
            if moment == "between":  # the method's own checkpoint, which comes last, was not replaced
                path = self.checkpoint_path("all", "federated")
                path.unlink() if last is None else path.write_bytes(previous[0])
            raise KeyboardInterrupt
        previous[:] = [self.checkpoint_path("all", "federated").read_bytes()]

    previous: list[bytes] = []
    monkeypatch.setattr(RunDirectory, "record_round", stop)
    with pytest.raises(KeyboardInterrupt):
        run_experiment(spec, tmp_path / "run", listener)
    monkeypatch.setattr(RunDirectory, "record_round", record)
    resumed = run_experiment(spec, tmp_path / "run", listener, resume=True)
    rows = [
        [{key: row[key] for key in row if "seconds" not in key} for row in found["rows"]] for found in (whole, resumed)
    ]
    assert rows[0] == rows[1]
    for name in ("federated.safetensors", "federated.best.safetensors"):
        files = [(tmp_path / folder / "checkpoints" / "all" / name).read_bytes() for folder in ("whole", "run")]
        assert files[0] == files[1]


@pytest.mark.usefixtures("made_up")
def test_a_finished_method_that_stopped_early_is_not_gone_on_with(
    spec: ExperimentSpec, tmp_path: Path, listener: Any
) -> None:
    run_experiment(spec, tmp_path / "run", listener)
    (tmp_path / "run" / "results.json").unlink()
    listener.told.clear()
    run_experiment(spec, tmp_path / "run", listener, resume=True)
    assert [told for told in listener.told if told[0] in ("started", "round")] == []


@pytest.mark.usefixtures("made_up")
@pytest.mark.parametrize("stop_after", [3, 4])
def test_only_some_rounds_are_evaluated_and_always_the_last(
    make: Make, tmp_path: Path, listener: Any, monkeypatch: pytest.MonkeyPatch, stop_after: int
) -> None:
    """The best round of those evaluated is kept; an interruption after an unevaluated round changes nothing."""
    spec = make(100, '["federated"]', rounds=5)
    spec = spec.model_copy(update={"training": spec.training.model_copy(update={"evaluate_every": 2})})
    record = RunDirectory.record_round

    def stop(self: RunDirectory, line: dict[str, Any], checkpoint: Checkpoint, best: bool = False) -> None:
        record(self, line, checkpoint, best)
        if line["round"] == stop_after:
            raise KeyboardInterrupt

    monkeypatch.setattr(RunDirectory, "record_round", stop)
    with pytest.raises(KeyboardInterrupt):
        run_experiment(spec, tmp_path / "run", listener)
    monkeypatch.setattr(RunDirectory, "record_round", record)
    results = run_experiment(spec, tmp_path / "run", listener, resume=True)
    lines = RunDirectory(tmp_path / "run").read_rounds("all", "federated")
    assert ["error" in line for line in lines] == [False, True, False, True, True]
    assert ["validation" in line for line in lines] == ["mean_error" in line for line in lines]
    assert results["rows"][0]["best_rounds"] == {"all": 5}  # the third would be better, and was not evaluated
    assert results["rows"][0]["per_person"] == {"p03": TEST[4], "p04": TEST[4]}


# Runs whose clients have nothing to add after some rounds.

SETTLING = '["centralised", "federated", "private"]'


@pytest.fixture
def settling(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Updates are zero from the third round on; holds the rounds that were trained."""
    train, trained = PoolTrainer.train, []

    def train_or_rest(self: PoolTrainer, round_index: int, *arguments: Any) -> list[Participant]:
        trained.append(round_index + 1)
        trained_now = train(self, round_index, *arguments)
        updates = [participant.hand_over() for participant in trained_now]
        if round_index < 2:
            return trained_now
        return taking_part(replace(update, delta=0 * update.delta) for update in updates)

    monkeypatch.setattr(PoolTrainer, "train", train_or_rest)
    return trained


def test_a_method_whose_model_no_longer_changes_ends_and_keeps_its_results(
    small_spec: Make, tmp_path: Path, listener: Any, settling: list[int]
) -> None:
    spec = small_spec(methods=SETTLING, rounds=6, extra_training="evaluate_every = 5")
    results = run_experiment(spec, tmp_path / "run", listener, extras=False)
    run = RunDirectory(tmp_path / "run")
    for row in results["rows"]:
        lines = run.read_rounds("all", row["method"])
        assert [line["converged"] for line in lines] == [False, False, True]
        assert row["per_person"] == lines[-1]["error"]  # evaluated, though it was not its turn
        assert (row["converged"], row["void_rounds"]) == ({"all": 3}, 0)
        checkpoint = run.read_checkpoint("all", row["method"])
        assert checkpoint is not None
        assert (checkpoint.round, checkpoint.void_rounds, len(checkpoint.lineage)) == (3, 1, 2)
        said = f"{row['method']} stops after round 3: the model no longer changes, for the round gave weights that"
        assert any(text.startswith(said) for kind, text, *_ in listener.told if kind == "note")
    assert not (tmp_path / "run/aggregation/all/private/parties.sqlite").exists()
    assert settling == [1, 2, 3] * 3
    text = write_report(tmp_path / "run").read_text(encoding="utf-8")
    assert "had had before: centralised 3; federated 3; private 3." in text


@pytest.mark.parametrize("method", ["federated", "private"])
@pytest.mark.parametrize("moment", ["before the line", "after the line", "after the checkpoint", "after the method"])
def test_a_run_that_is_killed_around_its_last_round_ends_as_it_would_have(
    small_spec: Make, tmp_path: Path, listener: Any, monkeypatch: pytest.MonkeyPatch, settling: list[int], method: str,
    moment: str,
) -> None:  # fmt: skip
    spec = small_spec(methods=f'["{method}"]', rounds=6)
    record, write = RunDirectory.record_round, record_module.write_checkpoint

    def stop(self: RunDirectory, line: dict[str, Any], checkpoint: Checkpoint, best: bool = False) -> None:
        if line["converged"] and moment == "before the line":
            raise KeyboardInterrupt
        record(self, line, checkpoint, best)
        if line["converged"] and moment == "after the checkpoint":
            raise KeyboardInterrupt

    def stop_writing(path: Path, checkpoint: Checkpoint) -> None:
        if checkpoint.void_rounds and moment == "after the line":
            raise KeyboardInterrupt
        write(path, checkpoint)

    def stop_compiling(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(RunDirectory, "record_round", stop)
        patched.setattr(record_module, "write_checkpoint", stop_writing)
        if moment == "after the method":
            patched.setattr(run_module, "compile_results", stop_compiling)
        with pytest.raises(KeyboardInterrupt):
            run_experiment(spec, tmp_path / "run", listener, extras=False)
    results = run_experiment(spec, tmp_path / "run", listener, resume=True, extras=False)
    assert results["rows"][0]["converged"] == {"all": 3}
    lines = RunDirectory(tmp_path / "run").read_rounds("all", method)
    assert [line["converged"] for line in lines] == [False, False, True]
    assert settling == [1, 2, 3] + [3] * (moment in ("before the line", "after the line"))


def test_validation_persons_neither_train_nor_are_tested_in_a_real_run(
    make: Make, tmp_path: Path, listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from privateyes.engines.local.pool import TrainJob, WorkerPool

    trained: set[str] = set()
    train = WorkerPool.train

    def noting(self: WorkerPool, jobs: list[TrainJob]) -> Any:
        trained.update(str(owner) for job in jobs for owner in job.owners)
        return train(self, jobs)

    monkeypatch.setattr(WorkerPool, "train", noting)
    results = run_experiment(make(1, rounds=2), tmp_path / "run", listener)
    assert trained == {"p00", "p01"}
    for line in RunDirectory(tmp_path / "run").read_metrics():
        assert set(line["error"]) == {"p03", "p04"}
        assert set(line["validation"]) == {"p02"}
    assert all(set(row["per_person"]) == {"p03", "p04"} for row in results["rows"])

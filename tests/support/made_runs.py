"""Run directories for the tests of the page: written by the schema, with toy eyes drawn from a few circles."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

METHODS = ("centralised", "local", "federated", "private")
FINAL_DEG = {"centralised": 4.31, "local": 8.87, "federated": 5.42, "private": 5.42}
LEARNED = {
    "centralised": {"client": "the model", "hub": "every image and every label", "aggregator": "takes no part"},
    "local": {"client": "its own model", "hub": "takes no part", "aggregator": "takes no part"},
    "federated": {"client": "the model", "hub": "every client's update", "aggregator": "takes no part"},
    "private": {
        "client": "the average update and the model of each round",
        "hub": "the roster, sizes and times; no update, no model",
        "aggregator": "the roster, sizes and times; no update, no model",
    },
}
EXPERIMENT = """\
name = "{name}"
seed = 1
methods = ["centralised", "local", "federated", "private"]
[data]
{data}
[split]
{split}
[model]
name = "resnet_preact_8"
[training]
rounds = {rounds}
local_epochs = 1
batch_size = 32
optimiser = "sgd"
learning_rate = 0.05
momentum = 0.9
weight_decay = 0.0001
schedule = "cosine"
loss = "l1"
[runtime]
workers = 0
[federation]
cohort_fraction = 1.0
server_optimiser = "fedavg"
server_learning_rate = 1.0
[aggregation]
aggregators = 3
field = "compact"
clip = 1.0
roster_min = {clients}
corrupt_clients = 0
"""
ENVIRONMENT = {
    "python": "3.11.2",
    "packages": {"numpy": "2.4.6", "torch": "2.9.1", "cryptography": "50.0.0"},
    "platform": "Linux x86_64",
    "cores": 2,
    "git_commit": None,
}


def toy_eye(rng: np.random.Generator, gaze: np.ndarray) -> np.ndarray:
    """A grey picture, uint8 (36, 60): skin, an almond of white, an iris moved by the gaze, a pupil, a lid."""
    rows, columns = np.mgrid[0:36, 0:60].astype(np.float64)
    image = 150 + 25 * np.cos(columns / 22 - 1) + 4 * rng.standard_normal((36, 60))
    opening = ((columns - 30) / 21) ** 2 + ((rows - 19) / (8 + rng.uniform(-1, 2))) ** 2 < 1
    x, y = 30 - 26 * np.sin(gaze[1]) * np.cos(gaze[0]), 18.5 - 20 * np.sin(gaze[0])
    radius = np.hypot(columns - x, rows - y)
    inside = np.where(radius < 3, 18, np.where(radius < 7.5, 70 + 6 * radius / 7.5, 205))
    image = np.where(opening, inside + 5 * rng.standard_normal((36, 60)), image)
    lid = np.abs(((columns - 30) / 22) ** 2 + ((rows - 19) / 9.5) ** 2 - 1) < 0.12
    image[lid & (rows < 19)] -= 80
    return np.clip(image, 0, 255).astype(np.uint8)


def _errors(method: str, progress: float, people: list[str], rng: np.random.Generator) -> dict[str, float]:
    level = FINAL_DEG[method] + (13.1 - FINAL_DEG[method]) * np.exp(-4.5 * progress)
    # the same people are difficult in every method
    difficulty = [np.random.default_rng(list(name.encode())).uniform(-0.9, 0.9) for name in people]
    wobble = 0.12 * rng.standard_normal(len(people))
    return {name: float(level + d + w) for name, d, w in zip(people, difficulty, wobble, strict=True)}


def _line(fold: str, method: str, number: int, rounds: int, train: list[str], test: list[str]) -> dict[str, Any]:
    # federated and private draw the same wobble: they differ by rounding only
    rng = np.random.default_rng([number, *fold.encode(), {"centralised": 1, "local": 2}.get(method, 3)])
    errors = _errors(method, number / rounds, test, rng)
    exchange = {"centralised": 0.0, "local": 0.0, "federated": 0.004, "private": 0.31}[method]
    shared = method in ("federated", "private")
    line: dict[str, Any] = {
        "event": "round", "fold": fold, "method": method, "round": number, "rounds": rounds, "train_loss": 0.3 / number,
        "error": errors, "mean_error": float(np.mean(list(errors.values()))),
        "seconds": 1.31 + exchange, "seconds_training": 1.31, "seconds_exchange": exchange,
        "bytes_up_per_client": 308192 + 1240 * (method == "private") if shared else 0,
        "bytes_down_per_client": 308184 + 6400 * (method == "private") if shared else 0,
        "details": {},
    }  # fmt: skip
    if method == "private":
        bound = len(train) / (len(train) * 300 * 2**20)
        line["details"] = {
            "sid": "00" * 32, "roster": train, "saturated": 0, "deviation": bound * float(rng.uniform(0.15, 0.35)),
            "deviation_bound": bound, "scale_bits": 20, "attempts": 1,
        }  # fmt: skip
    return line


def _results(name: str, lines: list[dict[str, Any]], folds: list[dict[str, Any]], train: list[str]) -> dict[str, Any]:
    rows = []
    for method in dict.fromkeys(line["method"] for line in lines):
        own = [line for line in lines if line["method"] == method]
        last = [line for line in own if line["round"] == line["rounds"]]
        per_person = {person: error for line in last for person, error in line["error"].items()}
        rows.append({
            "method": method, "mean_error": float(np.mean(list(per_person.values()))),
            "spread": float(np.std(list(per_person.values()), ddof=1)) if len(per_person) > 1 else None,
            "per_person": per_person, "seconds_per_round": own[0]["seconds"],
            "seconds_exchange_per_round": own[0]["seconds_exchange"],
            "bytes_up_per_client_round": own[0]["bytes_up_per_client"],
            "bytes_down_per_client_round": own[0]["bytes_down_per_client"],
            "bytes_up_per_client_once": 652800.0 if method == "centralised" else 0.0, "learned": LEARNED[method],
        })  # fmt: skip
    tested = [person for fold in folds for person in fold["test"]]
    private = [line["details"] for line in lines if line["method"] == "private"]
    largest = max((entry["deviation"] for entry in private), default=0.0)
    bound = private[0]["deviation_bound"] if private else 1.0
    equality = {
        "largest_deviation": largest, "bound": bound, "ratio": largest / bound, "saturated": 0,
        "error_difference": 3.1e-5,
    }  # fmt: skip
    replay = {
        "altered_by": "aggregator 2", "what": "it added 1 to one coordinate before committing",
        "control_accepted": train,
        "verdicts": [{"client": c, "refused": True, "reason": "tag 1 does not fit the sum"} for c in train],
    }  # fmt: skip
    return {
        "name": name, "seed": 1, "parameters": 77046, "folds": folds,
        "mean_predictor": {"mean_error": 14.23, "per_person": {p: 14.23 + 0.3 * i for i, p in enumerate(tested)}},
        "rows": rows, "equality": equality if private else None, "replay": replay if private else None,
    }  # fmt: skip


def write_samples(path: Path, people: list[str], per_person: int = 4) -> None:
    """``samples.npz`` with toy eyes; private differs from federated by next to nothing."""
    rng = np.random.default_rng(7)
    names = [name for name in people for _ in range(per_person)]
    true = np.stack([rng.uniform(-0.3, 0.12, len(names)), rng.uniform(-0.35, 0.35, len(names))], axis=1)
    arrays: dict[str, Any] = {
        "images": np.stack([toy_eye(rng, gaze) for gaze in true]), "person": np.array(names), "true": true.astype("f4"),
    }  # fmt: skip
    for method in METHODS:
        noise = np.random.default_rng({"centralised": 1, "local": 2}.get(method, 3)).standard_normal(true.shape)
        predicted = true + np.deg2rad(FINAL_DEG[method]) * 0.7 * noise + (1e-7 if method == "private" else 0)
        arrays[f"predicted_{method}"] = predicted.astype("f4")
    np.savez(path, **arrays)


def make_run(
    directory: Path,
    *,
    name: str = "demo",
    rounds: int = 15,
    train: int = 7,
    test: int = 2,
    folds: int = 1,
    methods: tuple[str, ...] = METHODS,
    stop_after: tuple[str, int] | None = None,
    samples: bool = True,
    synthetic: bool = True,
) -> Path:
    """Writes a run's directory. `stop_after` = (method, round) leaves it unfinished there; several folds leave one
    out.
    """
    directory.mkdir(parents=True, exist_ok=True)
    everyone = [f"r{index:02}" for index in range(train + test if folds == 1 else folds)]
    if folds == 1:
        split = [{"fold": "all", "train": everyone[:train], "test": everyone[train:]}]
    else:
        split = [{"fold": p, "train": [q for q in everyone if q != p], "test": [p]} for p in everyone]
    data = "[data.synthetic]\npersons = 9\nimages_per_person = 300" if synthetic else 'path = "/srv/secret/eyes.h5"'
    tests = f"test_persons = {json.dumps(split[0]['test'])}" if folds == 1 else "leave_one_out = true"
    experiment = EXPERIMENT.format(name=name, data=data, split=tests, rounds=rounds, clients=len(split[0]["train"]))
    experiment = experiment.replace('["centralised", "local", "federated", "private"]', json.dumps(list(methods)))
    (directory / "experiment.toml").write_text(experiment, encoding="utf-8")
    (directory / "environment.json").write_text(json.dumps(ENVIRONMENT), encoding="utf-8")
    lines = [
        _line(fold["fold"], method, number, rounds, fold["train"], fold["test"])
        for fold in split for method in methods for number in range(1, rounds + 1)
    ]  # fmt: skip
    if stop_after is not None:
        stop = next(i for i, line in enumerate(lines) if (line["method"], line["round"]) == stop_after)
        lines = lines[: stop + 1]
    else:
        content = _results(name, lines, split, split[0]["train"])
        (directory / "results.json").write_text(json.dumps(content), encoding="utf-8")
        if samples:
            tested = [person for fold in split for person in fold["test"]]
            write_samples(directory / "samples.npz", tested)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (directory / "metrics.jsonl").write_text(text, encoding="utf-8")
    return directory


@pytest.fixture
def run_maker(tmp_path: Path) -> Callable[..., Path]:
    """`make_run` in a fresh directory: keywords as there."""

    def make(**keywords: Any) -> Path:
        return make_run(tmp_path / str(keywords.get("name", "demo")), **keywords)

    return make

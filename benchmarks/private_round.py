"""What a whole private round costs beside a plain federated one, training included.

    python benchmarks/private_round.py [--model resnet_preact_8 | lenet] [--field compact | wide] [--json FILE]

15 clients with rendered eyes (36x60) train a network for one epoch a round, on the same workers, from the same
start. The two methods take turns, and each goes first in every other round, so that whatever else the machine does
meets both. `private` does everything that a run does: 3 aggregators, every signature and hash, every word on disk
before it is sent, and every client's check. Times are on the wall, medians over the rounds; a first round of each, in
which the workers load their data and the parties make their keys, does not count.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from rich.table import Table

from measuring import caption, machine, marked, wide_console, write_json
from privateyes.engines.local.pool import WorkerPool
from privateyes.experiments.methods import FoldContext, MethodRound, run_method, start_of
from privateyes.experiments.prepare import Preparation, prepare
from privateyes.experiments.spec import parse_spec
from privateyes.tasks.gaze.dataset import write_persons
from privateyes.tasks.gaze.synthetic import render_persons

TARGETS: Final = {
    ("resnet_preact_8", "compact"): 1.10,
    ("resnet_preact_8", "wide"): 1.10,
    ("lenet", "compact"): 1.10,
    ("lenet", "wide"): 1.20,
}
"""By model (77 thousand parameters, or 1.83 million that train in a tenth of the time) and field."""
CLIENTS: Final = 15
METHODS: Final = ("federated", "private")
SEED: Final = 1

EXPERIMENT: Final = """
name = "private_round"
seed = {seed}
methods = ["federated", "private"]

[data.synthetic]
persons = {persons}
images_per_person = {images}

[split]
test_persons = ["{test_person}"]

[model]
name = "{model}"

[training]
rounds = {rounds}

[runtime]
workers = {workers}

[aggregation]
aggregators = 3
field = "{field}"
"""


@dataclass(frozen=True, slots=True)
class RoundTimes:
    """Seconds on the wall of one round of one method; ``whole`` is measured from outside."""

    method: str
    whole: float
    training: float
    exchange: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Medians over the rounds, in seconds, and three ratios of private to federated.

    Attributes:
        ratio: of the medians of whole rounds.
        paired_ratio: the median over the rounds of that round's ratio.
        exchange_ratio: with the same training time in both, the median over all rounds: what the exchange alone adds,
            free of the chance by which training took longer in one method.
    """

    federated: RoundTimes
    private: RoundTimes
    ratio: float
    paired_ratio: float
    exchange_ratio: float


def measure(preparation: Preparation, rounds: int, workers: int, folder: Path) -> list[RoundTimes]:
    """Run the two methods in turn; the first round of each is left out."""
    data = folder / "eyes.h5"
    synthetic = preparation.spec.data.synthetic
    assert synthetic is not None, "the experiment renders its eyes"
    write_persons(data, render_persons(SEED, synthetic.persons, synthetic.images_per_person))
    times: list[RoundTimes] = []
    with WorkerPool(preparation.task(data), preparation.local_settings(), workers) as pool:
        context = FoldContext(preparation, preparation.folds[0], pool, folder / "run")
        (folder / "run").mkdir()
        running = {method: run_method(method, context, start_of(method, context)) for method in METHODS}
        for number in range(rounds):
            for method in METHODS if number % 2 else METHODS[::-1]:
                started = perf_counter()
                done: MethodRound = next(running[method])
                whole = perf_counter() - started
                times.append(RoundTimes(method, whole, done.seconds_training, done.seconds_exchange))
        for method in METHODS:
            assert next(running[method], None) is None, "its rounds are done, and its exchange is closed now"
    return times[len(METHODS) :]


def compare(times: list[RoundTimes]) -> Comparison:
    """Medians and ratios."""
    federated, private = ([own for own in times if own.method == method] for method in METHODS)
    middle = {method: _median(rounds) for method, rounds in zip(METHODS, (federated, private), strict=True)}
    training = statistics.median(own.training for own in times)
    paired = [after.whole / before.whole for before, after in zip(federated, private, strict=True)]
    return Comparison(
        federated=middle["federated"],
        private=middle["private"],
        ratio=middle["private"].whole / middle["federated"].whole,
        paired_ratio=statistics.median(paired),
        exchange_ratio=(training + middle["private"].exchange) / (training + middle["federated"].exchange),
    )


def _median(rounds: list[RoundTimes]) -> RoundTimes:
    columns = {name: [getattr(own, name) for own in rounds] for name in ("whole", "training", "exchange")}
    return RoundTimes(rounds[0].method, **{name: statistics.median(values) for name, values in columns.items()})


def table_of(comparison: Comparison, title: str, target: float, about: dict[str, Any]) -> Table:
    """Both methods and the ratios."""
    table = Table(title=title)
    for heading in ("method", "whole round", "training", "exchange"):
        table.add_column(heading, justify="right")
    for row in (comparison.federated, comparison.private):
        table.add_row(row.method, *(f"{seconds:.3f}" for seconds in (row.whole, row.training, row.exchange)))
    table.add_row("ratio", marked(comparison.ratio, target, ".3f"))
    table.add_row("round by round", marked(comparison.paired_ratio, target, ".3f"))
    table.add_row("by the exchange", marked(comparison.exchange_ratio, target, ".3f"))
    table.caption = f"target: ratio <= {target:.2f}. {caption(about)}"
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers to this file")
    parser.add_argument("--rounds", type=int, default=12, help="rounds of each method that count (default 12)")
    parser.add_argument("--model", choices=("resnet_preact_8", "lenet"), default="resnet_preact_8")
    parser.add_argument("--images", type=int, default=240, help="images of each client (default 240)")
    parser.add_argument("--workers", type=int, default=0, help="training processes; 0, the default, is one per core")
    parser.add_argument("--field", choices=("compact", "wide"), default="compact")
    given = parser.parse_args()
    text = EXPERIMENT.format(
        seed=SEED, persons=CLIENTS + 1, images=given.images, test_person=f"r{CLIENTS:02d}", rounds=given.rounds + 1,
        workers=given.workers, field=given.field, model=given.model,
    )  # fmt: skip
    about = machine()
    with tempfile.TemporaryDirectory() as folder:
        preparation = prepare(parse_spec(text, "private_round", Path(folder)))
        times = measure(preparation, given.rounds + 1, given.workers, Path(folder))
    comparison, target = compare(times), TARGETS[given.model, given.field]
    title = f"{CLIENTS} clients x {given.images} images, {given.model}, 3 aggregators, {given.field}: seconds"
    wide_console().print(table_of(comparison, title, target, about))
    report = {"benchmark": "private round", "machine": about, "model": given.model, "images": given.images}
    rounds = [asdict(own) for own in times]
    report |= {"field": given.field, "target": target, "comparison": asdict(comparison), "rounds": rounds}
    write_json(given.json, report)


if __name__ == "__main__":
    main()

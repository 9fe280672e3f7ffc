"""The page's sentences that hold numbers: what was run, the headline, what the equality and the replay showed.

Each is made only from what the run's files say; what they do not say is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from privateyes.experiments.clipping import told_of_clipping
from privateyes.experiments.report import quantities, summary
from privateyes.experiments.report.files import RunFiles
from privateyes.experiments.report.methods import counterpart_of, is_secure
from privateyes.experiments.report.schema import Equality, Replay, Results
from privateyes.experiments.report.summary import Summary
from privateyes.experiments.tasks import find_task
from privateyes.wording import capitalised

_SUBJECTS = {
    "private-adaptive": "private adaptive training",
    "adaptive": "plain adaptive training",
    "private": "private training",
    "federated": "plain federated training",
    "centralised": "training on all images pooled",
    "local": "training alone, each person on their own images,",
}
_SPOKEN_ORDER = ("private", "federated", "private-adaptive", "adaptive", "centralised", "local")


def what_was_run(files: RunFiles) -> str:
    """Data, network, rounds, clients and aggregators in one sentence."""
    model, training = files.table("model"), files.table("training")
    parts = [f"{data_name(files)}, network {model.get('name', 'unknown')}"]
    if files.results is not None and files.results.parameters is not None:
        parts[0] += f" ({quantities.count(files.results.parameters, 'parameter')})"
    if isinstance(training.get("rounds"), int):
        parts.append(quantities.count(training["rounds"], "round"))
    sizes = summary.client_counts(files)
    if sizes is not None:
        parts.append(
            quantities.count(sizes[1], "client") if sizes[0] == sizes[1] else f"{sizes[0]} to {sizes[1]} clients"
        )
    if any(is_secure(key) for key in files.experiment.get("methods", [])):
        parts.append(quantities.count(aggregators(files), "aggregator"))
    folds = summary.folds(files)
    if folds not in ([], ["all"]):
        parts.append(f"leave one person out in {quantities.count(len(folds), 'fold')}")
    return f"{', '.join(parts)}; seed {files.experiment.get('seed', 'unknown')}."


def data_name(files: RunFiles) -> str:
    """The data in words; of a path only the file's name, since the page is made to be passed on."""
    data = files.table("data")
    synthetic = data.get("synthetic")
    if isinstance(synthetic, dict):
        return (
            f"{find_task(files.task).words.made} of {synthetic.get('persons', '?')} invented people, "
            f"{synthetic.get('images_per_person', '?')} images each"
        )
    return f"Data file {file_name(str(data.get('path', 'unknown')))}"


def file_name(path: str) -> str:
    """The last part of a path written for any system."""
    return path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]


def aggregators(files: RunFiles) -> int:
    """The number of aggregators."""
    count = files.table("aggregation").get("aggregators", 3)
    return count if isinstance(count, int) else 3


def headline(files: RunFiles, shown: Sequence[Summary]) -> Markup:
    """The outcome as a sentence or two; for an unfinished run what is known so far."""
    errors = {entry.method.key: entry.mean_error for entry in shown if entry.mean_error is not None}
    people = quantities.count(len(summary.test_people(files)), "person", "people")
    order = [key for key in _SPOKEN_ORDER if key in errors] + [key for key in errors if key not in _SPOKEN_ORDER]
    if not order and summary.untested(files):
        sentence = Markup(
            "Everyone in the data was trained on, so <b>nobody is left to test on</b>: nothing here says how far these "
            "models are off on a new person."
        )
        clipped = clipping(files)
        return sentence if clipped is None else sentence + Markup(" <b>{}</b>").format(clipped)
    if not order:
        return Markup("No round is complete yet, so there is nothing to compare.")
    metric = files.metric
    again = " by <b>{}</b>" if metric.lower_is_better else " <b>{}</b>"
    first = " is off by <b>{}</b> on average" if metric.lower_is_better else f" reaches a {metric.name} of <b>{{}}</b>"
    verbs = [first, *[again] * (len(order) - 1)]
    clauses = [
        Markup("{}" + verb).format(_SUBJECTS.get(key, key), quantities.error(errors[key], metric))  # noqa: S704
        for key, verb in zip(order, verbs, strict=True)
    ]
    opening = "On" if files.results is not None else "So far, on"
    sentence = Markup("{} {} never trained on, {}.").format(opening, people, Markup(", ").join(clauses))
    if files.results is None and any(entry.progress for entry in shown):
        sentence += Markup(" This is not final: not every method is done.")
    pairs = error_differences(files.results)
    if pairs:
        sentence += Markup(" {}").format(_difference(files, pairs))
    clipped = clipping(files)
    if clipped is not None:
        sentence += Markup(" <b>{}</b>").format(clipped)
    predictor = files.results.mean_predictor if files.results is not None else None
    if predictor is not None:
        reference = quantities.error(predictor.mean_error, metric)
        would = "be off by" if metric.lower_is_better else "reach"
        sentence += Markup(" Always answering with the {} would {} {}.").format(metric.mean, would, reference)
        if not any(metric.better(error, predictor.mean_error) for error in errors.values()):
            sentence += Markup(" <b>No method is better than that</b>: none of them learned anything of use.")
    return sentence


def clipping(files: RunFiles) -> str | None:
    """How much of the secure methods' updates was clipped; None where nothing was."""
    equality = files.results.equality if files.results is not None else None
    return None if equality is None else told_of_clipping(equality.model_dump())


def error_differences(results: Results | None) -> dict[tuple[str, str], float]:
    """(secure method, its counterpart in the clear) -> how far their errors are apart; empty before the run is
    finished.
    """
    rows = {} if results is None else {row.method: row for row in results.rows}
    pairs = [(key, counterpart_of(key)) for key in rows]
    found = {}
    for key, counterpart in pairs:
        ours, theirs = rows[key].mean_error, rows[counterpart].mean_error if counterpart in rows else None
        if counterpart is not None and ours is not None and theirs is not None:
            found[key, counterpart] = abs(ours - theirs)
    return found


def _difference(files: RunFiles, pairs: dict[tuple[str, str], float]) -> Markup:
    """What lies between a secure method and its counterpart; of several pairs, between those that are farthest
    apart.
    """
    (secure, counterpart), difference = max(pairs.items(), key=lambda entry: entry[1])
    if difference == 0:
        return Markup("Privacy made <b>no difference</b> to the {}, down to the last digit.").format(files.metric.name)
    written = quantities.error(difference, files.metric)
    sentence = Markup("Between {} and {} lie <b>{}</b>").format(secure, counterpart, written)
    if len(pairs) > 1:
        sentence += ", and no more between the other pairs"
    results = files.results
    void = {row.method: row.void_rounds for row in results.rows} if results is not None else {}
    if void.get(secure) != void.get(counterpart):  # then they did not average the same updates
        rounds = quantities.count(void.get(secure, 0), "round")
        return (
            sentence
            + f"; {rounds} of {secure} and {void.get(counterpart, 0)} of {counterpart} were void, for too few clients."
        )
    equality = results.equality if results is not None else None
    if equality is None or equality.ratio > 1 or _clipped(equality):  # then rounding is not all that there is
        return sentence + "."
    rounding = quantities.scientific(equality.bound)
    return sentence + f": rounding of at most {rounding} in a parameter and round, amplified by training."


def table_caption(files: RunFiles, people: Sequence[str]) -> str:
    """What the columns of the table of results are."""
    if not people and summary.untested(files):
        return (
            "Nobody is left to test on, so there are no errors. Up and down: bytes that one client sends and receives "
            f"in one round.{_rounds_that_count(files)}"
        )
    tested = quantities.count(len(people), "person", "people")
    folds = summary.folds(files)
    how = f"{tested} never trained on"
    if folds not in ([], ["all"]):
        how = f"{tested}, each tested with models that were trained without them"
    return (
        f"{capitalised(files.metric.name)}: {files.metric.mean_in_unit} on {how}; SD: its standard deviation over "
        f"these people. Up and down: bytes that one client sends and receives in one round.{_rounds_that_count(files)}"
    )


def _rounds_that_count(files: RunFiles) -> str:
    """Whose errors are not of the last round, whose rounds were void, and who ended early; empty where nobody's."""
    rows = files.results.rows if files.results is not None else []
    said = ""
    ends = [
        f"{row.method} "
        + ", ".join(f"{best} of {row.rounds_run.get(fold, '?')}" for fold, best in row.best_rounds.items())
        for row in rows
        if row.best_rounds
    ]
    if ends:
        said += f" Errors are of the round whose model was the best on the validation persons: {'; '.join(ends)}."
    void = [f"{row.method} {row.void_rounds}" for row in rows if row.void_rounds]
    if void:
        said += f" Rounds that were void, for too few clients arrived, and count in no mean: {', '.join(void)}."
    ended = [f"{row.method} {', '.join(map(str, row.converged.values()))}" for row in rows if row.converged]
    if ended:
        said += f" Methods that ended with a round whose weights they had had before: {'; '.join(ended)}."
    return said


def curve_caption(files: RunFiles, found: Sequence[summary.Curve]) -> str:
    """Over what the learning curves are means."""
    caption = f"Mean {files.metric.measure} on people never trained on, after each round."
    counts = {curve.folds for curve in found}
    if summary.folds(files) not in ([], ["all"]):
        caption += (
            f" Each curve is the mean over {quantities.count(counts.pop(), 'fold')}."
            if len(counts) == 1
            else " Each curve is the mean over its method's folds: "
            + ", ".join(f"{curve.method.key} {curve.folds}" for curve in found)
            + "."
        )
    keys = [curve.method.key for curve in found]
    if "local" in keys:
        caption += " local is the mean over the clients' own models."
    if files.results is not None and files.results.mean_predictor is not None:
        answer, name = files.metric.mean, files.metric.name
        caption += f" {answer}, dotted: the {name} of always answering with the {answer} of the people trained on."
    if len(keys) > 1:
        caption += " Methods whose curves coincide take turns along the line, each in dashes of its own colour."
    return caption


def equality_verdict(equality: Equality) -> tuple[bool, str]:
    """Whether every averaged coordinate stayed within the bound, and a sentence that says so with its numbers.

    Bounds differ from round to round where rosters or clips do: the largest deviation may be below another round's.
    """
    largest, bound = quantities.scientific(equality.largest_deviation), quantities.scientific(equality.bound)
    if equality.ratio <= 1:
        within = "Within the bound, for the clipped updates" if _clipped(equality) else "Within the bound"
        return True, f"{within}: the largest deviation is {largest}, the bound is {bound}."
    if equality.largest_deviation <= equality.bound:
        return False, f"Not within the bound: a round's deviation was {equality.ratio:.2f} times that round's bound."
    return False, f"Not within the bound: the largest deviation is {largest}, the bound is {bound}."


def _clipped(equality: Equality) -> bool:
    return bool(equality.saturated or equality.shortened)


def replay_verdict(replay: Replay) -> tuple[bool, str]:
    """Whether every client refused the altered round, and a sentence that says so."""
    refused = sum(verdict.refused for verdict in replay.verdicts)
    total = quantities.count(len(replay.verdicts), "client")
    if replay.verdicts and refused == len(replay.verdicts):
        return True, f"All {total} refused the altered round." if refused > 1 else "The one client refused it."
    return False, f"Only {refused} of {total} refused the altered round."


def control_sentence(replay: Replay) -> tuple[bool, str]:
    """Whether every client accepted the unaltered control round, and a sentence that says so."""
    accepted = [verdict.client for verdict in replay.verdicts if verdict.client in replay.control_accepted]
    if replay.verdicts and len(accepted) == len(replay.verdicts):
        return True, "Control: the same round with nothing altered was accepted by every one of them."
    count = f"{len(accepted)} of {len(replay.verdicts)}"
    return False, f"Control: the same round with nothing altered was accepted by {count} clients."


def ratios(shown: Sequence[Summary]) -> list[str]:
    """What each secure method costs compared with its counterpart in the clear, in sentences; empty without such a
    pair.
    """
    found = {entry.method.key: entry for entry in shown if entry.bytes_up is not None}
    sentences = []
    for key, private in found.items():
        counterpart = found.get(counterpart_of(key) or "")
        if counterpart is None:
            continue
        if private.bytes_up and counterpart.bytes_up and private.bytes_down and counterpart.bytes_down:
            up, down = private.bytes_up / counterpart.bytes_up, private.bytes_down / counterpart.bytes_down
            sentences.append(
                f"A client of {key} sends {up:.2f} times and receives {down:.2f} times the bytes of "
                f"{counterpart.method.key}."
            )
        if counterpart.seconds > 0 and private.seconds > 0:
            ratio = private.seconds / counterpart.seconds
            sentences.append(
                f"A round of {key} takes {ratio:.2f} times as long, all parties computing on this one machine."
            )
    return sentences


def once(shown: Sequence[Summary]) -> list[str]:
    """What the methods sent before the first round, in sentences; empty where nothing was sent or nothing is
    recorded.
    """
    return [
        f"Before its first round, {entry.method.key} uploaded {quantities.data_size(entry.bytes_up_once)} of images "
        "and labels per client."
        for entry in shown
        if entry.bytes_up_once
    ]


def settings(files: RunFiles) -> list[tuple[str, str]]:
    """``experiment.toml`` as (dotted key, value); of a path only the file's name."""
    return [
        (key, file_name(value) if key == "data.path" else _written(value)) for key, value in _flat(files.experiment, "")
    ]


def environment(files: RunFiles) -> list[tuple[str, str]]:
    """``environment.json`` as (dotted key, value)."""
    return [(key, _written(value)) for key, value in _flat(files.environment, "")]


def _flat(table: dict[str, Any], prefix: str) -> list[tuple[str, Any]]:
    entries: list[tuple[str, Any]] = []
    for key, value in table.items():
        if isinstance(value, dict):
            entries += _flat(value, f"{prefix}{key}.")
        else:
            entries.append((f"{prefix}{key}", value))
    return entries


def _written(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(_written(item) for item in value)
    return str(value)

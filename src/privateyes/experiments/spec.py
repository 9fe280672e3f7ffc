"""The experiment file: a frozen, validated description of a run.

Every key has a type, a range and (but for the data and the split) a default. Whatever is wrong becomes one
`ConfigError` that names the file, the key, the value and the remedy.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

import tomli_w
from pydantic import ValidationError

from privateyes.errors import ConfigError
from privateyes.experiments.method_names import METHODS
from privateyes.experiments.spec_tables import DEFAULT_TASK, ExperimentSpec, Store, Table
from privateyes.experiments.tasks import find_task, task_of

__all__ = ["ExperimentSpec", "closest", "dump_spec", "load_spec", "parse_spec", "spec_from_tree"]

_LISTS: dict[str, list[Any]] = {
    "test_persons": ["p08", "p09"],
    "folds": ["p00", "p01"],
    "validation_persons": ["p07"],
    "decay_rounds": [10, 13],
    "mirrors": ["/a", "/b", "/c"],
    "target_errors": [6.0, 5.0],
}
"""Examples for the lists that are empty or absent by default."""
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")

_EARLIER_NAMES: Final = {
    ("ways",): ("methods",),
    ("training", "workers"): ("runtime", "workers"),
    ("training", "device"): ("runtime", "device"),
    ("calibration", "method"): ("calibration", "adapt"),
    ("compare", "relations", "from_twin"): ("compare", "relations", "from_counterpart"),
    ("compare", "relations", "adaptive_way"): ("compare", "relations", "adaptive_method"),
}
"""The path of a key in earlier versions, and today's."""


def load_spec(path: Path, data: Path | None = None) -> ExperimentSpec:
    """Read and check an experiment file.

    Args:
        path: the TOML file.
        data: a data file to use in place of whatever the file says under [data].

    Returns:
        The experiment, with ``data.path`` absolute and its variables expanded.

    Raises:
        ConfigError: the file is missing or no TOML, or a key is unknown, missing or has an impossible value.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a byte-order mark
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: there is no such experiment file", "see examples/ for one to start from") from error
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, PermissionError):
            raise ConfigError(f"{path}: {error.strerror}", "check the file's permissions") from error
        raise ConfigError(f"{path} cannot be read as text ({error})", "name a TOML file") from error
    return parse_spec(text, str(path), path.parent, data)


def parse_spec(text: str, origin: str, folder: Path, data: Path | None = None) -> ExperimentSpec:
    """As `load_spec`, from the file's text.

    Args:
        text: TOML.
        origin: what to call the file in messages.
        folder: where relative data paths start.
        data: as for `load_spec`; relative to the working directory.

    Raises:
        ConfigError: as for `load_spec`.
    """
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{origin} is no valid TOML: {error}", "correct that line") from error
    return spec_from_tree(tree, origin, folder, data)


def spec_from_tree(tree: dict[str, Any], origin: str, folder: Path, data: Path | None = None) -> ExperimentSpec:
    """As `parse_spec`, from the tables that the TOML text holds."""
    if {"aggregators", "clients"} <= tree.keys():
        raise ConfigError(f"{origin} looks like a task's manifest", "give an experiment file; see examples/")
    _use_todays_names(origin, tree)
    if data is not None:
        tree["data"] = _with_path(tree.get("data"), str(data.absolute()))
    experiment = _tables(origin, tree)
    try:
        spec = experiment.model_validate(_integers_as_floats(tree, experiment))
    except ValidationError as error:
        _raise_config_error(origin, error, experiment)
    _check_choices(origin, spec)
    spec = spec.model_copy(update={"store": Store(mirrors=_mirrors(origin, folder, spec.store.mirrors))})
    if spec.data.path is None:
        return spec
    location = folder.absolute() / _expand(origin, "data.path", spec.data.path)
    return spec.model_copy(update={"data": spec.data.model_copy(update={"path": str(location)})})


def dump_spec(spec: ExperimentSpec) -> str:
    """The experiment as TOML, complete with defaults; `parse_spec` reads it back to an equal one."""
    return tomli_w.dumps(spec.model_dump(exclude_none=True))


def closest(name: str, known: list[str]) -> str:
    """``did you mean ...?`` for the nearest of `known`, else all of them."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"choose from: {', '.join(known)}"


def _use_todays_names(origin: str, tree: dict[str, Any]) -> None:
    """Read keys of earlier versions, with a warning."""
    for before, now in _EARLIER_NAMES.items():
        table, other = _table_at(tree, before), _table_at(tree, now, make=before[-1] in _table_at(tree, before))
        if before[-1] in table and now[-1] not in other:
            other[now[-1]] = table.pop(before[-1])
            text = f"{origin}: {'.'.join(before)} is called {'.'.join(now)} now"
            warnings.warn(text, FutureWarning, stacklevel=2)


def _table_at(tree: dict[str, Any], path: Sequence[str], make: bool = False) -> dict[str, Any]:
    """The table of a key; an empty one if there is none, which ``make`` puts there."""
    table: Any = tree
    for name in path[:-1]:
        table = table.setdefault(name, {}) if make else table.get(name)
        if not isinstance(table, dict):
            return {}
    return table if isinstance(table, dict) else {}


def require_todays_names(text: str, origin: str) -> None:
    """Refuse the experiment of a run or comparison that an earlier version made: its other files have old names, too.

    Raises:
        ConfigError: it is one.
    """
    if "ways" in tomllib.loads(text):
        raise ConfigError(
            f"{origin} is of an earlier version of privateyes", "use it with that version, or train again with this one"
        )


def _tables(origin: str, tree: Mapping[str, Any]) -> type[ExperimentSpec]:
    """The tables of the task that a file names."""
    name = tree.get("task", DEFAULT_TASK)
    try:
        tables: type[ExperimentSpec] = find_task(name if isinstance(name, str) else DEFAULT_TASK).experiment
    except ConfigError as error:
        raise ConfigError(f"{origin}: {error.problem}", error.remedy) from error
    return tables


def _with_path(table: object, path: str) -> dict[str, Any]:
    kept = {key: value for key, value in table.items() if key != "synthetic"} if isinstance(table, dict) else {}
    return {**kept, "path": path}


def _integers_as_floats(tree: dict[str, Any], table: type[Table]) -> dict[str, Any]:
    """``clip = 1`` means 1.0; everything else stays strict."""
    result = dict(tree)
    for key, value in tree.items():
        options = _options(table, key)
        inner = _table_of(options)
        if inner is not None and isinstance(value, dict):
            result[key] = _integers_as_floats(value, inner)
        elif float in options and type(value) is int:
            result[key] = float(value)
    return result


def _check_choices(origin: str, spec: ExperimentSpec) -> None:
    """The rules that join several keys."""

    def refuse(problem: str, remedy: str) -> NoReturn:
        raise ConfigError(f"{origin}: {problem}", remedy)

    if (spec.data.path is None) == (spec.data.synthetic is None):
        refuse("[data] needs exactly one of path and [data.synthetic]", "give the one, remove the other")
    if (spec.split.test_persons is None) == (not spec.split.leave_one_out):
        refuse("[split] needs exactly one of test_persons and leave_one_out = true", "give the one, remove the other")
    if spec.split.folds is not None and not spec.split.leave_one_out:
        refuse("split.folds goes with leave_one_out = true only", "remove it, or set leave_one_out = true")
    named = {f"split.{key}": getattr(spec.split, key) for key in ("test_persons", "folds", "validation_persons")}
    for where, names in {**named, "methods": spec.methods}.items():
        if names is not None and not names and where != "split.test_persons":  # nobody is left to test on then
            refuse(f"{where} = [] is empty", "name at least one")
        if names is not None and len(set(names)) < len(names):
            refuse(f"{where} = {json.dumps(names)} names something twice", "name each once")
    for method in spec.methods:
        if method not in METHODS:
            refuse(f'methods names "{method}", which is not known', closest(method, list(METHODS)))
    if spec.aggregation.mode == "public" and spec.aggregation.clip_headroom is not None:
        refuse(
            'aggregation.clip_headroom does not go with aggregation.mode = "public": a public record holds no clips, '
            "so nobody could check the result",
            "remove it, or choose sealed",
        )
    if spec.split.test_persons == []:
        _check_untested(spec, refuse)
    _check_training(spec, refuse)
    try:
        _check_task(spec)
        spec.partition.settings().require_consistent()
        if spec.calibration is not None:
            spec.calibration.settings().require_sound()
    except ConfigError as error:
        refuse(error.problem, error.remedy)
    least, corrupt = spec.aggregation.roster_min, spec.aggregation.corrupt_clients
    if least is not None and least - corrupt < 2:
        problem = f"aggregation.roster_min = {least} with corrupt_clients = {corrupt}"
        refuse(f"{problem} leaves fewer than 2 clients to hide among", "raise roster_min or lower corrupt_clients")


def _check_task(spec: ExperimentSpec) -> None:
    """What the experiment's task says to it."""
    task = task_of(spec)
    task.check(spec)
    if spec.calibration is not None and not task.calibrates:
        raise ConfigError("[calibration]: this task has nothing to calibrate", "remove the table")
    if not task.under_mpc and any(METHODS[method].kind == "mpc" for method in spec.methods):
        raise ConfigError('methods names "mpc", which cannot learn this task', "remove it")


def _check_untested(spec: ExperimentSpec, refuse: Callable[[str, str], NoReturn]) -> None:
    """What cannot be asked for where nobody is tested."""
    problem = "split.test_persons = [] leaves nobody to test on"
    if spec.calibration is not None:
        refuse(f"{problem}, and [calibration] is tried out on test persons", "remove [calibration], or test somebody")
    if any(METHODS[method].kind == "mpc" for method in spec.methods):
        refuse(f"{problem}, and mpc is compared by its errors", 'remove "mpc" from methods, or test somebody')


def _mirrors(origin: str, folder: Path, named: list[str]) -> list[str]:
    """The mirrors' folders, absolute.

    Raises:
        ConfigError: there are one or two, or two are the same folder.
    """
    found = [os.path.abspath(folder / _expand(origin, "store.mirrors", name)) for name in named]
    if len(found) in (1, 2):
        raise ConfigError(
            f"{origin}: store.mirrors = {json.dumps(named)} names {len(found)}, and a store has three or more mirrors "
            "or none: with two, losing either would be final",
            "name three folders on different disks, or leave it out",
        )
    twice = next((name for name, place in zip(named, found, strict=True) if found.count(place) > 1), None)
    if twice is not None:
        raise ConfigError(
            f"{origin}: store.mirrors = {json.dumps(named)} names {twice} twice", "give each mirror a folder of its own"
        )
    return found


def _check_training(spec: ExperimentSpec, refuse: Callable[[str, str], NoReturn]) -> None:
    """The rules within [training], and between it and [split]."""
    given = spec.training
    if given.local_epochs > 1 and not given.local_epochs.is_integer():
        problem = f"training.local_epochs = {given.local_epochs:g} is neither whole nor below 1"
        refuse(problem, "give whole passes in a round, such as 2, or a share of one, such as 0.25")
    if given.warmup_rounds >= given.rounds:
        problem = f"training.warmup_rounds = {given.warmup_rounds} of {given.rounds} rounds"
        refuse(f"{problem} leaves none at the full learning rate", "lower it, or train for more rounds")
    if (given.schedule == "step") == (not given.decay_rounds):
        problem = 'training.schedule = "step" and training.decay_rounds go together'
        refuse(f"{problem}, and only one of them is there", "give both, such as decay_rounds = [10, 13]")
    if given.decay_rounds != sorted({*given.decay_rounds} & {*range(1, given.rounds)}):
        problem = f"training.decay_rounds = {given.decay_rounds} of {given.rounds} rounds"
        refuse(problem, f"name rounds in ascending order, each once and below {given.rounds}")
    if given.patience is not None and spec.split.validation_persons is None:
        problem = f"training.patience = {given.patience} needs persons to judge by who neither train nor are tested"
        refuse(problem, "name some in split.validation_persons")


def _expand(origin: str, key: str, value: str) -> str:
    def replace(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if not os.environ.get(name):
            problem = f'{origin}: {key} = "{value}" needs the environment variable {name}, which is not set'
            what, instead = ("data", ", or pass --data FILE") if key == "data.path" else ("mirror", "")
            raise ConfigError(problem, f"set it (export {name}=/folder/of/the/{what}){instead}")
        return os.environ[name]

    return os.path.expanduser(_VARIABLE.sub(replace, value))


def _raise_config_error(origin: str, error: ValidationError, experiment: type[Table]) -> NoReturn:
    """The first fault, unknown keys before all others: they are mostly the cause of a missing one."""
    faults = sorted(error.errors(include_url=False), key=lambda fault: fault["type"] != "extra_forbidden")
    fault = faults[0]
    keys = [str(part) for part in fault["loc"]]
    key = ".".join(keys)
    if fault["type"] == "extra_forbidden":
        known = [".".join([*keys[:-1], name]) for name in _known_keys(experiment, keys[:-1])]
        raise ConfigError(f"{origin}: {key} is not a known key", closest(key, known)) from None
    if fault["type"] == "missing":
        kind = "table" if len(keys) == 1 and keys[0] != "name" else "key"
        label = f"[{key}]" if kind == "table" else key
        raise ConfigError(f"{origin}: the {kind} {label} is missing", "add it; see examples/") from None
    shown = json.dumps(fault["input"], default=str)
    rule = _rule_of_list(experiment, keys) if fault["type"] == "list_type" else _rule(fault["type"], fault["msg"])
    raise ConfigError(f"{origin}: {key} = {shown}", f"it {rule}") from None


def _rule(kind: str, message: str) -> str:
    """What a value should be, in words that need no knowledge of the validator."""
    if kind == "string_pattern_mismatch":
        return "should be 1 to 64 letters, digits, - and _"
    if kind in ("model_type", "model_attributes_type"):
        return "should be a table"
    return re.sub("^(Value error, |Input |String |List )", "", message)


def _rule_of_list(table: type[Table], keys: list[str]) -> str:
    """How a list is written, with the key's default or an example."""
    for name in keys[:-1]:
        table = _table_of(_options(table, name)) or table
    field = table.model_fields[keys[-1]]
    example = field.default or _LISTS.get(keys[-1]) or (field.examples or [None])[0]
    such = f", such as {keys[-1]} = {json.dumps(example)}" if example else ""
    return f"should be a list, in brackets{such}"


def _known_keys(table: type[Table], parents: list[str]) -> list[str]:
    for name in parents:
        table = _table_of(_options(table, name)) or table
    return list(table.model_fields)


def _options(table: type[Table], key: str) -> tuple[Any, ...]:
    """The types that a key may have; empty for an unknown one."""
    field = table.model_fields.get(key)
    if field is None:
        return ()
    inner = getattr(field.annotation, "__args__", ())
    return (field.annotation, *inner, *(entry.__origin__ for entry in inner if hasattr(entry, "__metadata__")))


def _table_of(options: tuple[Any, ...]) -> type[Table] | None:
    return next((option for option in options if isinstance(option, type) and issubclass(option, Table)), None)

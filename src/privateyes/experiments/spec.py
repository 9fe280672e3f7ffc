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
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from privateyes.errors import ConfigError
from privateyes.federation.server_step import SERVER_OPTIMISERS
from privateyes.tasks.gaze.models import MODELS

WayName = Literal["centralised", "local", "federated", "private"]
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=())


class SyntheticData(_Table):
    """[data.synthetic]: persons to render before training."""

    persons: Annotated[int, Field(ge=1, le=1000)]
    images_per_person: Annotated[int, Field(ge=1, le=1_000_000)]


class Data(_Table):
    """[data]: exactly one of `path` and `synthetic`."""

    path: str | None = None
    equalise: bool = False
    image_limit: Annotated[int, Field(ge=1)] | None = None
    synthetic: SyntheticData | None = None


class Split(_Table):
    """[split]: exactly one of `test_persons` and `leave_one_out`; `folds` picks some of the latter's."""

    test_persons: list[str] | None = None
    leave_one_out: bool = False
    folds: list[str] | None = None


class Model(_Table):
    """[model]"""

    name: str


class Training(_Table):
    """[training]: see `training.local.LocalSettings`; `workers` changes nothing but time (0: one per core)."""

    rounds: Annotated[int, Field(ge=1, le=1_000_000)] = 15
    local_epochs: Annotated[int, Field(ge=1)] = 1
    batch_size: Annotated[int, Field(ge=1)] = 32
    optimiser: Literal["sgd", "adam"] = "sgd"
    learning_rate: Annotated[float, Field(gt=0, le=1e30)] = 0.05
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0, le=1e30)] = 1e-4
    schedule: Literal["cosine", "constant"] = "cosine"
    loss: Literal["l1", "l2"] = "l1"
    workers: Annotated[int, Field(ge=0, le=1024)] = 0


class Federation(_Table):
    """[federation]: who takes part in a round, and the server's step."""

    cohort_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    server_optimiser: str = "fedavg"
    server_learning_rate: Annotated[float, Field(gt=0, le=1e30)] = 1.0


class Aggregation(_Table):
    """[aggregation]: the secure aggregation of `private`.

    `clip` bounds every coordinate of an update; `scale_bits` defaults to the largest that cannot wrap; `roster_min`
    defaults to the whole cohort; `corrupt_clients` is how many clients are assumed corrupt; `mode` says who gets the
    averages: the clients alone (sealed), or everyone, with a record that anyone can check (public). With
    `clip_headroom`, each tensor's clip follows its updates: that many times the last average's largest coordinate, and
    never more than `clip`.
    """

    aggregators: Annotated[int, Field(ge=2, le=7)] = 3
    field: Literal["compact", "wide"] = "compact"
    clip: Annotated[float, Field(ge=1e-12, le=1e12)] = 1.0
    scale_bits: Annotated[int, Field(ge=1, le=40)] | None = None
    roster_min: Annotated[int, Field(ge=2)] | None = None
    corrupt_clients: Annotated[int, Field(ge=0)] = 0
    mode: Literal["sealed", "public"] = "sealed"
    clip_headroom: Annotated[float, Field(ge=1, le=1e6)] | None = None


class ExperimentSpec(_Table):
    """A whole experiment file."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    ways: list[WayName] = ["centralised", "local", "federated", "private"]
    data: Data
    split: Split
    model: Model
    training: Training = Training()
    federation: Federation = Federation()
    aggregation: Aggregation = Aggregation()

    def result_key(self) -> dict[str, Any]:
        """What decides the results: everything but the number of workers."""
        key = self.model_dump()
        del key["training"]["workers"]
        return key


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
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: there is no such experiment file", "see examples/ for one to start from") from error
    except (OSError, UnicodeDecodeError) as error:
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
    if data is not None:
        tree["data"] = _with_path(tree.get("data"), str(data.absolute()))
    try:
        spec = ExperimentSpec.model_validate(_integers_as_floats(tree))
    except ValidationError as error:
        _raise_config_error(origin, error)
    _check_choices(origin, spec)
    if spec.data.path is None:
        return spec
    location = folder.absolute() / _expand(origin, spec.data.path)
    return spec.model_copy(update={"data": spec.data.model_copy(update={"path": str(location)})})


def dump_spec(spec: ExperimentSpec) -> str:
    """The experiment as TOML, complete with defaults; `parse_spec` reads it back to an equal one."""
    return "".join(_dump_table(spec.model_dump(exclude_none=True), ""))


def closest(name: str, known: list[str]) -> str:
    """``did you mean ...?`` for the nearest of `known`, else all of them."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"choose from: {', '.join(known)}"


def _with_path(table: object, path: str) -> dict[str, Any]:
    kept = {key: value for key, value in table.items() if key != "synthetic"} if isinstance(table, dict) else {}
    return {**kept, "path": path}


def _integers_as_floats(tree: dict[str, Any]) -> dict[str, Any]:
    """``clip = 1`` means 1.0; everything else stays strict."""
    floats = {
        ("training", "learning_rate"), ("training", "momentum"), ("training", "weight_decay"),
        ("federation", "cohort_fraction"), ("federation", "server_learning_rate"), ("aggregation", "clip"),
        ("aggregation", "clip_headroom"),
    }  # fmt: skip
    result = dict(tree)
    for table, key in floats:
        section = result.get(table)
        if isinstance(section, dict) and type(section.get(key)) is int:
            result[table] = {**section, key: float(section[key])}
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
    for key, names in (("test_persons", spec.split.test_persons), ("folds", spec.split.folds), ("ways", spec.ways)):
        where = key if key == "ways" else f"split.{key}"
        if names is not None and not names:
            refuse(f"{where} = [] is empty", "name at least one")
        if names is not None and len(set(names)) < len(names):
            refuse(f"{where} = {json.dumps(names)} names something twice", "name each once")
    if spec.aggregation.mode == "public" and spec.aggregation.clip_headroom is not None:
        refuse(
            'aggregation.clip_headroom does not go with aggregation.mode = "public": a public record holds no clips, '
            "so nobody could check the result",
            "remove it, or choose sealed",
        )
    if spec.model.name not in MODELS:
        refuse(f'model.name = "{spec.model.name}" is not known', closest(spec.model.name, sorted(MODELS)))
    server = spec.federation.server_optimiser
    if server not in SERVER_OPTIMISERS:
        refuse(f'federation.server_optimiser = "{server}" is not known', closest(server, sorted(SERVER_OPTIMISERS)))
    least, corrupt = spec.aggregation.roster_min, spec.aggregation.corrupt_clients
    if least is not None and least - corrupt < 2:
        problem = f"aggregation.roster_min = {least} with corrupt_clients = {corrupt}"
        refuse(f"{problem} leaves fewer than 2 clients to hide among", "raise roster_min or lower corrupt_clients")


def _expand(origin: str, value: str) -> str:
    def replace(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if not os.environ.get(name):
            problem = f'{origin}: data.path = "{value}" needs the environment variable {name}, which is not set'
            raise ConfigError(problem, f"set it (export {name}=/folder/of/the/data), or pass --data FILE")
        return os.environ[name]

    return os.path.expanduser(_VARIABLE.sub(replace, value))


def _raise_config_error(origin: str, error: ValidationError) -> NoReturn:
    """The first fault, unknown keys before all others: they are mostly the cause of a missing one."""
    faults = sorted(error.errors(include_url=False), key=lambda fault: fault["type"] != "extra_forbidden")
    fault = faults[0]
    keys = [str(part) for part in fault["loc"]]
    key = ".".join(keys)
    if fault["type"] == "extra_forbidden":
        known = [".".join([*keys[:-1], name]) for name in _known_keys(keys[:-1])]
        raise ConfigError(f"{origin}: {key} is not a known key", closest(key, known)) from None
    if fault["type"] == "missing":
        kind = "table" if len(keys) == 1 and keys[0] != "name" else "key"
        label = f"[{key}]" if kind == "table" else key
        raise ConfigError(f"{origin}: the {kind} {label} is missing", "add it; see examples/") from None
    shown = json.dumps(fault["input"], default=str)
    raise ConfigError(f"{origin}: {key} = {shown}", f"it {_rule(fault['type'], fault['msg'])}") from None


def _rule(kind: str, message: str) -> str:
    """What a value should be, in words that need no knowledge of the validator."""
    if kind == "string_pattern_mismatch":
        return "should be 1 to 64 letters, digits, - and _"
    if kind in ("model_type", "model_attributes_type"):
        return "should be a table"
    return message.removeprefix("Value error, ").removeprefix("Input ")


def _known_keys(parents: list[str]) -> list[str]:
    table: Any = ExperimentSpec
    for name in parents:
        annotation = table.model_fields[name].annotation
        options = [annotation, *getattr(annotation, "__args__", ())]
        table = next(option for option in options if isinstance(option, type) and issubclass(option, BaseModel))
    return list(table.model_fields)


def _dump_table(table: Mapping[str, Any], prefix: str) -> list[str]:
    lines = [f"{key} = {_dump_value(value)}\n" for key, value in table.items() if not isinstance(value, dict)]
    for key, value in table.items():
        if isinstance(value, dict):
            lines += [f"\n[{prefix}{key}]\n", *_dump_table(value, f"{prefix}{key}.")]
    return lines


def _dump_value(value: object) -> str:
    # JSON's strings, numbers, booleans and arrays are TOML, but for the delete character, which TOML wants escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")

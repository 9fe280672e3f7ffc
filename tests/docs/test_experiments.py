"""docs/experiments.md has every key of an experiment file, with its default, range and choices, and nothing besides."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from privateyes.experiments.method_names import METHODS
from privateyes.experiments.prepare import prepare
from privateyes.experiments.spec import parse_spec
from privateyes.tasks.gaze.tables import GazeExperiment

PAGE = Path(__file__).parents[2] / "docs" / "experiments.md"
TEXT = PAGE.read_text(encoding="utf-8")
OUTSIDE = "Before the first table"
BOUNDS = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "minItems", "maxItems")
NUMBER = re.compile(r"(?<![\w.^])(?:2\^63|\d{1,3}(?:,\d{3})+|\d+(?:\.\d+)?(?:e-?\d+)?)(?![\w^])")
SHELL = ("privateyes ", "export ")
# What a block of the page may leave to others, and a key that shows whether it does.
REST = {
    "data": '[data]\npath = "eyes.h5"\n',
    "split": '[split]\ntest_persons = ["p00"]\n',
    "model": '[model]\nname = "lenet"\n',
}


class Key(NamedTuple):
    """A key, as the page or the specification has it."""

    required: bool
    default: object
    choices: frozenset[str]
    numbers: frozenset[float]


Tables = dict[str, dict[str, Key]]
"""Heading -> key, with a dot if it stands in a sub-table -> what is said of it."""


def sections(level: str) -> Iterator[tuple[str, str]]:
    """Heading of that level, and what follows it up to the next heading of any level."""
    parts = re.split(r"^(#+) (.+)\n", TEXT, flags=re.MULTILINE)[1:]
    for marks, title, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        if marks == level:
            yield title, body


def rows_of(body: str) -> list[list[str]]:
    """The cells of a section's table, without its heading."""
    lines = [line for line in body.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def code_in(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def number(text: str) -> float:
    return 2.0**63 if text == "2^63" else float(text.replace(",", ""))


def documented() -> Tables:
    """What the page says. A default is code, TOML; words in its place say what it means to leave the key out."""
    found: Tables = {}
    for title, body in sections("###"):
        if title == OUTSIDE or title.startswith("["):
            found[title] = {}
            for names, values, default, _ in rows_of(body):
                code = code_in(default)
                value = tomllib.loads(f"value = {code[0]}")["value"] if code else None
                choices = re.findall(r'"(\w+)"', values)
                numbers = [number(text) for text in NUMBER.findall(re.sub(r'"\w+"', "", values))]
                key = Key(default == "required", value, frozenset(choices), frozenset(numbers))
                for name in code_in(names):
                    assert name not in found[title], f"{title} has {name} twice"
                    found[title][name] = key
    return found


def specified(schema: Mapping[str, Any]) -> Tables:
    """What the specification says, given as its JSON schema."""
    found: Tables = {OUTSIDE: {}}
    for name, node in schema["properties"].items():
        table = table_of(schema, node)
        if table is None:
            found[OUTSIDE][name] = key_of(schema, name)
        else:
            found[f"[{name}]"] = dict(keys_below(schema, table))
    return found


def keys_below(root: Mapping[str, Any], table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Key]]:
    for name, node in table["properties"].items():
        inner = table_of(root, node)
        if inner is None:
            yield prefix + name, key_of(table, name)
        else:
            yield from keys_below(root, inner, f"{prefix}{name}.")


def table_of(root: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any] | None:
    reference = next((option["$ref"] for option in (node, *node.get("anyOf", ())) if "$ref" in option), None)
    return None if reference is None else root["$defs"][reference.rpartition("/")[2]]


def key_of(table: Mapping[str, Any], name: str) -> Key:
    node, choices, numbers = table["properties"][name], set[str](), set[float]()
    for part in parts_of(node):
        numbers |= {float(part[bound]) for bound in BOUNDS if bound in part}
        for pair in re.findall(r"{(\d+),(\d+)}", part.get("pattern", "")):
            numbers |= set(map(float, pair))
        for option in part.get("enum", ()):
            if isinstance(option, str):
                choices.add(option)
            else:
                numbers.add(float(option))
    return Key(name in table.get("required", ()), node.get("default"), frozenset(choices), frozenset(numbers))


def parts_of(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A value's schema, and those of its alternatives and entries."""
    yield node
    for inner in (*node.get("anyOf", ()), *([node["items"]] if "items" in node else ())):
        yield from parts_of(inner)


DOCUMENTED = documented()
SPECIFIED = specified(GazeExperiment.model_json_schema())
KEYS = [(title, name) for title, keys in SPECIFIED.items() for name in keys]


def blocks() -> list[str]:
    """The TOML of the page, block by block; blank lines within a block belong to it."""
    found = re.findall(r"(?:^ {4}.*\n(?:\n(?= {4}))*)+", TEXT, flags=re.MULTILINE)
    return [block for block in (re.sub("^ {4}", "", text, flags=re.MULTILINE) for text in found) if is_toml(block)]


def is_toml(block: str) -> bool:
    return not block.startswith(SHELL)


def completed(block: str) -> str:
    """A block as a whole file: what it leaves out is added, and what it has is not touched."""
    tree = tomllib.loads(block)
    name = "" if "name" in tree else 'name = "x"\n'
    return name + block + "".join(rest for table, rest in REST.items() if table not in tree)


def test_the_page_has_a_section_for_every_table_and_none_besides() -> None:
    assert list(DOCUMENTED) == list(SPECIFIED)


@pytest.mark.parametrize("title", SPECIFIED)
def test_a_section_has_every_key_of_its_table_and_none_besides(title: str) -> None:
    assert sorted(DOCUMENTED[title]) == sorted(SPECIFIED[title])


@pytest.mark.parametrize(("title", "name"), KEYS)
def test_a_key_is_documented_with_its_default_its_range_and_its_choices(title: str, name: str) -> None:
    said, true = DOCUMENTED[title][name], SPECIFIED[title][name]
    assert said == true
    assert type(said.default) is type(true.default)


def test_the_specification_is_read_with_sub_tables_bounds_and_choices() -> None:
    assert SPECIFIED[OUTSIDE]["name"] == Key(True, None, frozenset(), frozenset({1.0, 64.0}))
    assert SPECIFIED["[data]"]["synthetic.persons"] == Key(True, None, frozenset(), frozenset({1.0, 1000.0}))
    assert SPECIFIED["[training]"]["loss"] == Key(False, "l1", frozenset({"l1", "l2"}), frozenset())
    assert SPECIFIED["[mpc]"]["ring_bits"].numbers == {64.0, 128.0}
    assert SPECIFIED["[compare]"]["relations.from_counterpart"].default == 0.02


def test_a_new_key_and_a_changed_default_are_noticed() -> None:
    schema = GazeExperiment.model_json_schema()
    properties = schema["$defs"]["GazeTraining"]["properties"]
    properties["unheard_of"] = {"type": "integer", "default": 3}
    properties["rounds"]["default"] += 1
    properties["batch_size"]["minimum"] += 1
    changed = specified(schema)["[training]"]
    differing = {name for name in changed if changed[name] != DOCUMENTED["[training]"].get(name)}
    assert differing == {"unheard_of", "rounds", "batch_size"}


@pytest.mark.parametrize("block", blocks())
def test_every_block_of_toml_is_accepted(block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_DATA", "/folder")
    parse_spec(completed(block), "docs/experiments.md", Path("/folder"))


def test_whatever_is_indented_is_toml_or_a_command() -> None:
    indented = [line for line in TEXT.splitlines() if line.startswith("    ")]
    commands = [line for line in indented if line.strip().startswith(SHELL)]
    assert len(indented) == len(commands) + sum(1 for block in blocks() for line in block.splitlines() if line)
    assert len(blocks()) >= 5


def test_the_first_file_is_complete_and_nothing_stands_against_training_it() -> None:
    preparation = prepare(parse_spec(blocks()[0], "first.toml", Path("/folder")))
    assert [fold.train for fold in preparation.folds] == [("r00", "r01", "r02")]
    assert len(preparation.spec.methods) == 4


def test_the_table_of_methods_has_every_method_beside_its_counterpart() -> None:
    rows = rows_of(dict(sections("##"))["Methods"])
    said = {code_in(method)[0]: code_in(counterpart) for method, _, counterpart, _ in rows}
    counterparts = {plan.counterpart: plan.name for plan in METHODS.values() if plan.secure}
    assert said == {
        name: [counterparts[name]] if name in counterparts else [] for name, plan in METHODS.items() if not plan.secure
    }


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        path, _, anchor = target.partition("#")
        page = PAGE.parent / path if path else PAGE
        assert page.exists(), target
        headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE) if anchor else []
        anchors = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
        assert not anchor or anchor in anchors, target

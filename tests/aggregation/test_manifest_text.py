"""Hostile text is refused in little time and memory before a parser sees it; names are what they look like."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
import unicodedata
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privateyes.aggregation.manifest_text import LONGEST_LINE, require_flat, require_plain_name
from privateyes.errors import ConfigError

HONEST = """\
# a task
version = 2
field = "compact" # of the sum
clip = 1.5
leaders = [2, 1]
mode = 'sealed'

[privacy]
unit = "client"
delta = 1e-6

[[aggregators]]
name = "a \\"quoted\\" # [x] = {y} name"
public_key = "01"
[[ clients ]]
name = "c1"
"""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "".join(f"k{i} = 1\n" for i in range(64)),
        f"# {'a' * 8190}",
        HONEST,
        HONEST.replace("\n", "\r\n"),
        HONEST.replace(" = ", "="),
        "a = [1, ]",
    ],
)
def test_a_flat_text_is_accepted(text) -> None:
    tomllib.loads(text)  # else this would say nothing
    require_flat(text)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("a.b = 1", "dotted or quoted key"),
        ('"a" = 1', "dotted or quoted key"),
        ("a . b.c = [1]", "dotted or quoted key"),
        ("[a.b]", "no table with one plain name"),
        ('[["a"]]', "no table with one plain name"),
        ("[[a]", "no table with one plain name"),
        ("a = {b = 1}", "a table as a value"),
        ("a = [[1]]", "a list that nests"),
        ("a = [{b = 1}]", "a list that nests"),
        ("a = [1,", "a list that nests or does not end"),
        ('a = """b', "a text of several lines"),
        ("a = '''b", "a text of several lines"),
        (f'a = "{"b" * LONGEST_LINE}"', "longer than"),
        (f"a = 0x{'f' * 1001}", "neither key = value"),
        ("a = ", "neither key = value"),
        ("a.b", "neither key = value"),
        (f"# {'a' * 8191}", "longer than 8192 characters"),
        ("= 1", "neither key = value"),
        ("a = 1 b", "neither key = value"),
        ('a = "b', "neither key = value"),
        ('a = "b\\"', "neither key = value"),
        ("a = 1\rb = 2", "neither key = value"),
    ],
)
def test_what_is_not_flat_is_refused_with_the_line_and_a_remedy(line, problem) -> None:
    with pytest.raises(ConfigError, match=problem) as refusal:
        require_flat(f"version = 2\n\n{line}\nmode = 1\n")
    assert "line 3" in refusal.value.problem
    assert refusal.value.remedy


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("".join(f"k{i} = 1\n" for i in range(65)), 65),
        ("[[clients]]\n" + "k = 1\n" * 65, 66),
        ("".join(f"[t{i}]\n" for i in range(20)), 17),
        ("".join(f"[[t{i}]]\n" for i in range(20)), 17),
    ],
)
def test_more_keys_or_tables_than_a_manifest_has_are_refused(text, line) -> None:
    with pytest.raises(ConfigError, match=f"line {line} is beyond"):
        require_flat(text)


def test_the_number_of_parties_is_not_limited() -> None:
    require_flat("[[clients]]\nname = 'a'\n" * 10_000)
    require_flat("".join(f"[clients] # {number}\n" for number in range(20)))


def _is_flat(table: dict[str, Any]) -> bool:
    """Whether nothing nests deeper than a manifest: values, lists of values, tables and lists of tables of these."""

    def plain(value: object) -> bool:
        items = value if isinstance(value, list) else [value]
        return not any(isinstance(item, list | dict) for item in items)

    def tables(value: object) -> list[Any]:
        return value if isinstance(value, list) else [value]

    return all(
        plain(value)
        or all(isinstance(inner, dict) and all(map(plain, inner.values())) for inner in tables(value))
        for value in table.values()
    )  # fmt: skip


PIECES = st.lists(st.sampled_from([
    "a", "b1", ".", "=", " ", "\t", "\n", "\r\n", "[", "]", "[[", "]]", "{", "}", ",", '"', "'", "\\", "#", "1", "0.5",
    '"x"', "'y'", "true", "a = ", "[a]\n", "[[a]]\n", "b = 1\n", '"""', "'''", "c = [1, 2]\n", "é",
]), max_size=14)  # fmt: skip


@given(PIECES)
def test_an_accepted_text_never_nests(pieces) -> None:
    text = "".join(pieces)
    try:
        require_flat(text)
        table = tomllib.loads(text)
    except (ConfigError, tomllib.TOMLDecodeError):
        return
    assert _is_flat(table)


def _hostile(size: int) -> Iterator[tuple[str, str]]:
    """Texts of about `size` characters that make a parser work hardest."""
    half = size // 2
    yield "dotted key", ".".join("a" * half) + " = 1"
    yield "dotted keys", f"{'.'.join('b' * 100)} = 1\n" * (size // 204)
    yield "dotted tables", "".join(f"[a{i}.{'.'.join('b' * 100)}]\n" for i in range(size // 210))
    yield "nested lists", "a = " + "[" * half + "]" * half
    yield "inline tables", "a = " + "{b = " * (size // 6) + "1" + "}" * (size // 6)
    yield "many keys", "".join(f"a{i} = []\n" for i in range(size // 11))
    yield "the same key", "a = 1\n" * (size // 6)
    yield "many tables", "".join(f"[a{i}]\n" for i in range(size // 9))
    yield "many kinds of lists of tables", "".join(f"[[a{i}]]\n" for i in range(size // 11))
    yield "empty clients", "[[clients]]\n" * (size // 12)
    yield "clients with many lists", f"[[clients]]\n{''.join(f'k{i}=[]{chr(10)}' for i in range(64))}" * (size // 450)
    yield "long lists", f"[[clients]]\na = [{'1,' * 4000}]\n" * (size // 8020)
    yield "a number", "version = " + "9" * size
    yield "a hexadecimal number", "version = 0x" + "f" * size
    yield "hexadecimal numbers", f"[[clients]]\na = [{f'0x{chr(102) * 900},' * 8}]\n" * (size // 7250)
    yield "a text", f'mode = "{"a" * size}"'
    yield "a text of escapes", f'mode = "{chr(92) * size}"'
    yield "a text of lines", 'mode = """' + "a\n" * half + '"""'
    yield "open texts", f'mode = "{"a" * 8000}\n' * (size // 8000)
    yield "open lists", f"mode = [{'1 ,' * 2600}x\n" * (size // 7800)
    yield "spaces", f"{' ' * 8000}x\n" * (size // 8000)
    yield "empty lines", "\n" * size
    yield "comments", "#\n" * half


_MEASURED = """
import json, resource, sys
from privateyes.aggregation import manifest
from privateyes.errors import PrivateyesError

if sys.argv[1] == "without the guard":
    manifest.require_flat = lambda text: None
texts = json.load(sys.stdin)
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + (200 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
ends = {}
for name, text in texts.items():
    try:
        manifest.manifest_from_toml(text)
        ends[name] = "accepted"
    except PrivateyesError as error:
        ends[name] = "refused" if len(str(error)) < 4000 else "refused at length"
    except MemoryError:
        ends[name] = "out of memory"
json.dump(ends, sys.stdout)
"""


def _read_within_200_mb(texts: dict[str, str], guard: str) -> dict[str, str]:
    """What became of each text, in a process that may use 200 MB beyond what it uses when it has the texts."""
    command = [sys.executable, "-c", _MEASURED, guard]
    done = subprocess.run(command, input=json.dumps(texts), capture_output=True, text=True, timeout=200, check=True)
    ends: dict[str, str] = json.loads(done.stdout)
    return ends


linux_only = pytest.mark.skipif(sys.platform != "linux", reason="limits a process's memory as Linux does")


@linux_only
def test_a_megabyte_of_hostile_text_is_refused_within_200_mb() -> None:
    texts = dict(_hostile(1_000_000))
    assert min(map(len, texts.values())) > 900_000
    assert _read_within_200_mb(texts, "with the guard") == dict.fromkeys(texts, "refused")


@linux_only
def test_without_the_guard_twenty_kilobytes_of_dots_take_more() -> None:
    texts = dict(_hostile(20_000))
    ends = _read_within_200_mb({"dotted key": texts["dotted key"]}, "without the guard")
    assert ends == {"dotted key": "out of memory"}


@pytest.mark.parametrize(
    "name", ["a", "clinic 3, ward B", "Ångström-Straße", "日本", "a" * 200, "naïve (2)", "n\u0308"]
)
def test_a_plain_name_is_accepted(name) -> None:
    require_plain_name(name, "name")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "0 characters"),
        ("a" * 201, "201 characters"),
        (" ", "begins or ends with a space"),
        (" a", "begins or ends with a space"),
        ("a\u00a0", "begins or ends with a space"),
        ("a\nb", "control character"),
        ("a\x1b[2Kb", "control character"),
        ("a\x7f", "control character"),
        ("a\x85b", "control character"),
        ("a\u202eb", "format character"),
        ("a\u2066b", "format character"),
        ("a\u200bb", "format character"),
        ("a\ufeffb", "format character"),
        ("a\u2028b", "line separator"),
        ("a\u2029b", "paragraph separator"),
        ("a\ud800b", "surrogate"),
        ("a\ue000b", "private character"),
        ("a\U000e0080b", "does not know"),
        ("\u0308a", "composed characters"),
        ("e\u0301", "composed characters"),
    ],
)
def test_a_name_that_is_not_what_it_looks_like_is_refused(name, problem) -> None:
    with pytest.raises(ConfigError, match=problem) as refusal:
        require_plain_name(name, "[[clients]] number 3: name")
    assert refusal.value.problem.startswith("[[clients]] number 3: name")
    assert refusal.value.remedy
    assert str(refusal.value).isprintable()


FIRST_AND_LAST_THAT_ARE_SHOWN_AS_NOTHING = [
    (0x034F, 0x034F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180D), (0x180F, 0x180F), (0x2800, 0x2800),
    (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFFA0, 0xFFA0), (0xE0100, 0xE01EF),
]  # fmt: skip


@pytest.mark.parametrize(("first", "last"), FIRST_AND_LAST_THAT_ARE_SHOWN_AS_NOTHING)
def test_a_character_that_is_shown_as_nothing_is_refused_and_its_neighbours_are_not(first, last) -> None:
    for code in (first, last):
        with pytest.raises(ConfigError, match="shown as nothing"):
            require_plain_name(f"a{chr(code)}b", "name")
    for code in (first - 1, last + 1):
        if unicodedata.category(chr(code)) not in ("Cf", "Cn"):
            require_plain_name(f"a{chr(code)}b", "name")

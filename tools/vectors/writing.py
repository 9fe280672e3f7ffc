"""JSON as people compare it: a line for each value, short lists and objects on one line."""

from __future__ import annotations

import json
from itertools import zip_longest
from typing import Any

SHORT = 130


def render(value: Any) -> str:
    """The file's text; the order of keys is the order in which they were made."""
    return _render(value, 0) + "\n"


def _render(value: Any, depth: int) -> str:
    inner, outer = "\n" + " " * (depth + 1), "\n" + " " * depth
    if isinstance(value, dict) and value:
        line = _short_line(value)
        if line:
            return line
        lines = [f"{json.dumps(key)}: {_render(item, depth + 1)}" for key, item in value.items()]
        return "{" + inner + ("," + inner).join(lines) + outer + "}"
    if isinstance(value, list | tuple) and any(isinstance(item, dict | list | tuple) for item in value):
        return "[" + inner + ("," + inner).join(_render(item, depth + 1) for item in value) + outer + "]"
    if isinstance(value, bytes):
        return json.dumps(value.hex())
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_render(item, depth) for item in value) + "]"
    return json.dumps(value)


def _short_line(value: dict[str, Any]) -> str:
    """An object of plain values on one line, if it fits; else nothing."""
    plain = (str, int, float, bytes, type(None))
    for item in value.values():
        items = item if isinstance(item, list | tuple) else [item]
        if not all(isinstance(part, plain) for part in items):
            return ""
    line = "{" + ", ".join(f"{json.dumps(key)}: {_render(item, 0)}" for key, item in value.items()) + "}"
    return line if len(line) <= SHORT else ""


def first_difference(old: str, new: str) -> str:
    """Where two texts first differ, or nothing."""
    for number, (left, right) in enumerate(zip_longest(old.splitlines(), new.splitlines()), start=1):
        if left != right:
            return f"line {number}: {_short(left)} where {_short(right)} is made"
    return ""


def _short(line: str | None) -> str:
    return "the end" if line is None else repr(line if len(line) <= 100 else line[:97] + "...")

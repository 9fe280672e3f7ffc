"""A manifest that is not the pinned one is refused, and the first value in which it differs is named."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from privateyes.engines.local.pinning import first_difference, require_pinned
from privateyes.errors import RunDirectoryError


@pytest.fixture
def pinned(make_world: Any) -> str:
    """Three aggregators and four clients."""
    text: str = make_world(set_up=False).manifest.to_toml()
    return text


def edited(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


def test_the_same_values_in_other_words_are_the_same_manifest(pinned: str) -> None:
    assert first_difference(pinned, pinned) is None
    assert first_difference(pinned, edited(pinned, "clip = 1.0", "# as agreed\nclip   = 1")) is None


DIFFERENCES = {
    "a number": ("clip = 1.0", "clip = 0.5", "clip: 1.0 as pinned, 0.5 here"),
    "a name": ('name = "c1"', 'name = "eve"', "client 1: name 'c1' as pinned, 'eve' here"),
    "a key": ('public_key = "', 'public_key = "00', "aggregator 1: key "),
    "an operator": ('organisation = ""', 'organisation = "x"', "aggregator 1: organisation '' as pinned, 'x' here"),
    "the first of two": ("scale_bits = 16\nweight_max = 50", "scale_bits = 15\nweight_max = 49", "scale_bits: 16 as"),
}


@pytest.mark.parametrize(("old", "new", "difference"), DIFFERENCES.values(), ids=DIFFERENCES.keys())
def test_the_first_value_that_differs_is_named_with_both(
    tmp_path: Path, pinned: str, old: str, new: str, difference: str
) -> None:
    path = tmp_path / "manifest.toml"
    text = edited(pinned, old, new)
    if "public_key" in old:
        text = re.sub(r'(public_key = "00[0-9a-f]{62})[0-9a-f]{2}"', r'\1"', text, count=1)
    path.write_text(text)
    with pytest.raises(RunDirectoryError, match=re.escape(f"is not this task's manifest: {difference}")) as caught:
        require_pinned(path, pinned)
    assert str(path) in str(caught.value)
    assert caught.value.remedy
    assert "\n" not in str(caught.value)


def test_a_party_that_is_missing_is_named(tmp_path: Path, pinned: str) -> None:
    path = tmp_path / "manifest.toml"
    fewer = edited(pinned[: pinned.rindex("\n[[clients]]")], "roster_max = 4", "roster_max = 3")
    more = edited(pinned, "roster_max = 4", "roster_max = 3")
    assert first_difference(more, fewer) == "client 4: 'c4' only as pinned"
    path.write_text(more)
    with pytest.raises(RunDirectoryError, match="client 4: 'c4' only here"):
        require_pinned(path, fewer)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("clip = 1.0", "clip = ", "not valid TOML"),
        ("clip = 1.0\n", "", "key clip is missing"),
        ("leaders = [", "extra = true\nleaders = [", "unknown key extra"),
        ("version = 2", "version = 3", "manifest version 3 is not 2"),
        ("roster_min = 2", "roster_min = 1", "roster_min = 1"),
    ],
)
def test_what_is_no_manifest_at_all_is_said_to_be_so(
    tmp_path: Path, pinned: str, old: str, new: str, reason: str
) -> None:
    path = tmp_path / "manifest.toml"
    path.write_text(edited(pinned, old, new))
    with pytest.raises(RunDirectoryError, match=f"cannot be read as a manifest.*{reason}") as caught:
        require_pinned(path, pinned)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text_is_no_manifest(tmp_path: Path, pinned: str) -> None:
    path = tmp_path / "manifest.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(RunDirectoryError, match="cannot be read as a manifest"):
        require_pinned(path, pinned)


def test_a_missing_file_is_no_fault(tmp_path: Path, pinned: str) -> None:
    require_pinned(tmp_path / "manifest.toml", pinned)

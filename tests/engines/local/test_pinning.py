"""A manifest that is not the pinned one is refused, and the first key in which it differs is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from privateyes.engines.local.pinning import first_difference, require_pinned
from privateyes.errors import RunDirectoryError

PINNED = """version = 1
clip = 1.0
leader = 1

[[clients]]
name = "ada"
public_key = "00"

[[clients]]
name = "bob"
public_key = "01"
"""


def test_the_same_values_in_other_words_are_the_same_manifest() -> None:
    assert first_difference(PINNED, PINNED) is None
    assert first_difference(PINNED, PINNED.replace("clip = 1.0", "# as agreed\nclip   = 1.0")) is None


@pytest.mark.parametrize(
    ("old", "new", "difference"),
    [
        ("clip = 1.0", "clip = 2.0", "clip is 2.0 where the parties pinned 1.0"),
        ("clip = 1.0", "clip = 1", "clip is 1 where the parties pinned 1.0"),
        ("clip = 1.0\n", "", "clip is missing where the parties pinned 1.0"),
        ("leader = 1", "leader = 1\nextra = true", "extra is True where the parties pinned missing"),
        ('public_key = "01"', 'public_key = "02"', "clients[2].public_key is '02' where the parties pinned '01'"),
        ('[[clients]]\nname = "ada"', '[[clients]]\nname = "eve"', "clients[1].name is 'eve' where"),
        ("version = 1\nclip = 1.0", "version = 2\nclip = 3.0", "version is 2 where"),
    ],
)
def test_the_first_key_that_differs_is_named_with_both_values(
    tmp_path: Path, old: str, new: str, difference: str
) -> None:
    path = tmp_path / "manifest.toml"
    path.write_text(PINNED.replace(old, new))
    with pytest.raises(RunDirectoryError, match=re.escape(difference)) as caught:
        require_pinned(path, PINNED)
    assert str(path) in str(caught.value)
    assert caught.value.remedy
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"clip = ", b"\xff\xfe", b"clip = 1\nclip = 1\n"])
def test_what_is_no_manifest_at_all_is_said_to_be_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "manifest.toml"
    path.write_bytes(content)
    with pytest.raises(RunDirectoryError, match="cannot be read as a manifest"):
        require_pinned(path, PINNED)


def test_a_missing_file_is_no_fault(tmp_path: Path) -> None:
    require_pinned(tmp_path / "manifest.toml", PINNED)

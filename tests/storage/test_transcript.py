"""The record of a session survives kills line by line, and never says one thing twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from privateyes.errors import RunDirectoryError
from privateyes.storage import transcript
from privateyes.storage.transcript import TranscriptFile


def lines_of(path: Path) -> list[tuple[str, bytes]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [(line["type"], bytes.fromhex(line["bytes"])) for line in lines]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "round.jsonl"


def test_a_line_is_there_as_soon_as_it_was_added(path: Path) -> None:
    record = TranscriptFile(path)
    assert not path.exists()
    record.add("Vote", b"\x01\x02")
    assert lines_of(path) == [("Vote", b"\x01\x02")]
    record.add("Header", b"")
    record.close()
    assert lines_of(path) == [("Vote", b"\x01\x02"), ("Header", b"")]
    record.close()


def test_a_record_is_continued_where_a_kill_tore_it_and_repeats_nothing(path: Path) -> None:
    record = TranscriptFile(path)
    for kind in ("Vote", "Agreement", "Opening"):
        record.add(kind, kind.encode())
    record.close()
    whole = path.read_bytes()
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        record = TranscriptFile(path)
        for kind in ("Agreement", "Opening", "ResultSignature"):
            record.add(kind, kind.encode())
        record.close()
        kinds = [kind for kind, _ in lines_of(path)]
        assert kinds[-1] == "ResultSignature"
        assert len(set(kinds)) == len(kinds) >= 3


def test_a_full_disk_is_one_clear_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    record = TranscriptFile(path)
    record.add("Vote", b"")
    for step in ("write", "fsync"):
        with monkeypatch.context() as patched:
            patched.setattr(transcript.os, step, full)
            with pytest.raises(RunDirectoryError, match=r"round\.jsonl cannot be written .*free some space"):
                record.add("Vote", b"1") if step == "write" else record.close()
    assert lines_of(path) == [("Vote", b"")]

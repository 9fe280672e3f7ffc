from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from pathlib import Path

import pytest

from privateyes.errors import DataError
from privateyes.tasks.gaze.prepare.converter import ConvertOptions
from privateyes.tasks.gaze.prepare.manifest import (
    describe_source,
    manifest_bytes,
    manifest_of,
    sha256_of,
    skipped_bytes,
    stamp_of,
)
from privateyes.tasks.gaze.prepare.tally import Tally


def test_a_file_is_described_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.mat"
    path.parent.mkdir()
    path.write_bytes(b"x" * 5_000_000)
    expected = hashlib.sha256(b"x" * 5_000_000).hexdigest()
    assert sha256_of(path) == expected
    assert describe_source(path, tmp_path) == {"file": "a/b.mat", "bytes": 5_000_000, "sha256": expected}
    assert describe_source(path, tmp_path / "elsewhere")["file"] == "b.mat"


def test_a_folder_is_described_by_names_and_sizes(tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    (frames / "deep").mkdir(parents=True)
    (frames / "2.jpg").write_bytes(b"22")
    (frames / "deep" / "1.jpg").write_bytes(b"1")
    before = describe_source(frames, tmp_path)
    assert (before["folder"], before["files"], before["bytes"]) == ("frames", 2, 3)
    (frames / "2.jpg").write_bytes(b"33")
    assert describe_source(frames, tmp_path) == before, "contents are not read"
    (frames / "2.jpg").write_bytes(b"333")
    changed = describe_source(frames, tmp_path)
    assert changed["sha256_of_names_and_sizes"] != before["sha256_of_names_and_sizes"]
    (frames / "2.jpg").rename(frames / "3.jpg")
    renamed = describe_source(frames, tmp_path)
    assert renamed["sha256_of_names_and_sizes"] != changed["sha256_of_names_and_sizes"]


def test_files_that_are_gone_are_named(tmp_path: Path) -> None:
    for describe in (lambda path: describe_source(path, tmp_path), sha256_of, lambda path: stamp_of([path])):
        with pytest.raises(DataError, match=r"gone\.mat cannot be read"):
            describe(tmp_path / "gone.mat")


def test_a_stamp_notices_another_size_content_and_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("1")
    before = stamp_of([path])
    assert stamp_of([path]) == before
    path.write_text("2")
    os.utime(path, ns=(1, 1))  # clocks of file systems may be too slow for a test
    same_size = stamp_of([path])
    path.write_text("12")
    (tmp_path / "b").write_text("12")
    assert len({before, same_size, stamp_of([path]), stamp_of([]), stamp_of([tmp_path / "b"])}) == 5


def test_a_stamp_of_a_folder_notices_every_file_below(tmp_path: Path) -> None:
    below = tmp_path / "frames" / "deep" / "1.jpg"
    below.parent.mkdir(parents=True)
    below.write_bytes(b"1")
    stamps = [stamp_of([tmp_path / "frames"])]
    assert stamp_of([tmp_path / "frames"]) == stamps[0]
    below.write_bytes(b"2")
    os.utime(below, ns=(1, 1))
    stamps.append(stamp_of([tmp_path / "frames"]))
    below.rename(below.with_name("2.jpg"))
    stamps.append(stamp_of([tmp_path / "frames"]))
    assert len(set(stamps)) == 3


def test_the_manifest_counts_persons_and_is_plain_json() -> None:
    one, two = Tally(used=3), Tally()
    one.skip("image is black", "x")
    two.skip("image is black", "y")
    two.warn("Übung")
    persons = {"p00": (one, [{"file": "a", "bytes": 1, "sha256": "f"}]), "p01": (two, [])}
    manifest = manifest_of("mpiigaze", ConvertOptions(size=(36, 60), limit=3), persons, Path("x/out.h5"), "abc")
    assert json.loads(manifest_bytes(manifest)) == manifest
    assert "Übung" in manifest_bytes(manifest).decode()
    assert (manifest["used"], manifest["skipped"], manifest["without_rows"]) == (3, 2, ["p01"])
    assert manifest["output"] == {"file": "out.h5", "sha256": "abc"}
    assert manifest["options"] == {
        "size": "36x60", "subset": "evaluation", "limit": 3, "skip_damaged": False, "split": None,
        "largest_blink": None,
    }  # fmt: skip
    assert manifest["persons"]["p01"]["skipped"] == {"image is black": 1}
    assert manifest["persons"]["p01"]["warnings"] == ["Übung"]
    assert manifest["persons"]["p00"]["source"] == [{"file": "a", "bytes": 1, "sha256": "f"}]


def test_the_list_of_skips_is_csv_that_no_spreadsheet_runs() -> None:
    tally = Tally()
    for what in ('a,"b', "=1+1", "@x", "-2", "plain"):
        tally.skip("reason, with comma", what)
    rows = list(csv.reader(io.StringIO(skipped_bytes([("p00", tally), ("p01", Tally())]).decode())))
    assert rows == [
        ["person", "reason", "what"],
        *(["p00", "reason, with comma", what] for what in ('a,"b', "'=1+1", "'@x", "'-2", "plain")),
    ]

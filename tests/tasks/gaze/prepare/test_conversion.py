from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from mpiigaze_files import day_path, write_list, write_mpiigaze
from originals import Recording
from privateyes.errors import DataError, UsageError
from privateyes.tasks.gaze.check import check_file
from privateyes.tasks.gaze.dataset import load_persons
from privateyes.tasks.gaze.prepare import conversion
from privateyes.tasks.gaze.prepare.conversion import Conversion, Request, convert
from privateyes.tasks.gaze.prepare.converter import DAMAGED, Block, ConvertOptions
from privateyes.tasks.gaze.prepare.mpiigaze import NO_FRAME
from privateyes.tasks.gaze.prepare.tally import Tally


class Log:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.persons: list[tuple[str, int, int]] = []
        self.rows = 0
        self.resumed: list[bool] = []

    def person_started(self, person: str, number: int, total: int) -> None:
        self.persons.append((person, number, total))

    def rows_read(self, rows: int) -> None:
        self.rows += rows

    def person_finished(self, tally: Tally, resumed: bool) -> None:
        self.resumed.append(resumed)


@dataclasses.dataclass
class Rows:
    """A converter of rows that are made up: `count` for each person, `block` at a time."""

    people: Sequence[str] = ("a", "b", "c")
    count: int = 20
    block: int = 6
    shape: tuple[int, ...] = (4, 5)
    fail: Callable[[str, int], None] = lambda person, start: None
    change: Callable[[dict[str, Any], int], dict[str, Any]] = lambda block, start: block
    names: tuple[str, ...] = ()
    source: Path = Path(__file__)
    dataset: str = "made up"
    image_of: str = "face"

    def persons(self) -> Sequence[str]:
        return list(self.people)

    def devices(self, person: str) -> Sequence[str]:
        return self.names

    def source_files(self, person: str) -> Sequence[Path]:
        return [self.source]

    def blocks(self, person: str, tally: Tally) -> Iterator[Block]:
        for start in range(0, self.count, self.block):
            self.fail(person, start)
            rows = np.arange(start, min(start + self.block, self.count))
            image = np.zeros((len(rows), *self.shape), np.uint8) + (rows % 256).astype(np.uint8)[:, None, None]
            gaze = np.column_stack([rows % 1000 / 1000, -(rows % 1000) / 1000])
            tally.use(len(rows))
            frames = [f"{person}/{row}" for row in rows]
            yield self.change({"image": image, "gaze": gaze, "day": rows, "frame": frames}, start)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Conversion]:
    """Converts with a made-up converter into OUT, or with the options given."""

    def convert_rows(rows: Rows, log: Log | None = None, out: str = "out.h5", **changes: Any) -> Conversion:
        monkeypatch.setattr(conversion, "open_converter", lambda name, source, options: rows)
        persons = changes.pop("persons", None)
        request = Request("mpiigaze", tmp_path, tmp_path / out, ConvertOptions(**changes), persons)
        return convert(request, log or Log())

    return convert_rows


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_whole_data_set_becomes_a_file_that_keeps_every_rule(tmp_path: Path) -> None:
    source = write_mpiigaze(tmp_path / "source", count=20)
    write_list(source, "p01", ["day01/0001.jpg left", "day02/0999.jpg right"])
    out = tmp_path / "out.h5"
    log = Log()
    result = convert(Request("mpiigaze", source, out, ConvertOptions()), log)
    assert log.persons == [("p00", 1, 2), ("p01", 2, 2)]
    assert log.rows == 121
    assert log.resumed == [False, False]
    assert listing(tmp_path) == ["out.h5", "out.h5.manifest.json", "out.h5.skipped.csv", "source"]
    assert {name: tally.used for name, tally in result.tallies.items()} == {"p00": 120, "p01": 1}
    person = load_persons(out, columns=["eye", "day", "frame"])[0]
    assert (len(person), person.image.shape[1:]) == (120, (36, 60))
    with h5py.File(out) as file:
        assert file["p00/image"].chunks == (7, 36, 60), "single rows come quickly"
    assert person.columns["frame"][0] == "day03/0001.jpg left"
    assert check_file(out).errors == ()
    with h5py.File(out) as file:
        assert dict(file.attrs) == {"privateyes_layout": "2", "image_of": "eye", "dataset": "mpiigaze"}


def test_the_manifest_holds_counts_options_and_checksums(tmp_path: Path) -> None:
    source = write_mpiigaze(tmp_path / "source")
    write_list(source, "p01", ["day01/0009.jpg left"])
    write_list(source, "p00", ["day01/0001.jpg left", "day02/0999.jpg right"])
    out = tmp_path / "out.h5"
    result = convert(Request("mpiigaze", source, out, ConvertOptions(size=(9, 15))), Log())
    manifest = json.loads(result.manifest.read_bytes())
    assert manifest["converter"] == "mpiigaze"
    assert manifest["layout"] == "2"
    assert manifest["options"]["size"] == "9x15"
    assert manifest["output"] == {"file": "out.h5", "sha256": hashlib.sha256(out.read_bytes()).hexdigest()}
    assert (manifest["used"], manifest["skipped"], manifest["without_rows"]) == (1, 2, ["p01"])
    first = manifest["persons"]["p00"]
    assert (first["used"], first["skipped"]) == (1, {NO_FRAME: 1})
    files = {entry["file"]: entry for entry in first["source"]}
    assert list(files) == [
        *(f"Data/Normalized/p00/day0{day}.mat" for day in (1, 2, 3)),
        "Evaluation Subset/sample list for eye image/p00.txt",
    ]
    content = day_path(source, "p00", 2).read_bytes()
    assert files["Data/Normalized/p00/day02.mat"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert files["Data/Normalized/p00/day02.mat"]["bytes"] == len(content)
    with result.skipped.open() as file:
        assert list(csv.reader(file)) == [
            ["person", "reason", "what"],
            ["p00", NO_FRAME, "day02/0999.jpg right"],
            ["p01", NO_FRAME, "day01/0009.jpg left"],
        ]
    with h5py.File(out) as file:
        assert list(file) == ["p00"], "who has no rows is in the manifest and not in the file"


def test_blocks_are_joined_in_order_and_typed_as_the_layout_says(run: Callable[..., Conversion]) -> None:
    out = run(Rows(names=("one", "two"))).out
    person = load_persons(out, ["b"], ["day", "frame"])[0]
    assert person.image[:, 0, 0].tolist() == list(range(20))
    assert person.gaze[:, 1] == pytest.approx(-np.arange(20) / 1000)
    assert person.columns["frame"].tolist() == [f"b/{row}" for row in range(20)]
    with h5py.File(out) as file:
        assert {name: str(file["b"][name].dtype) for name in ("image", "gaze", "day")} == {
            "image": "uint8", "gaze": "float32", "day": "uint16",
        }  # fmt: skip
        assert json.loads(file["b"].attrs["devices"]) == ["one", "two"]


@pytest.mark.parametrize("limit", [1, 5, 6, 7, 20, 99])
def test_a_limit_takes_the_first_rows_and_reads_no_further(run: Callable[..., Conversion], limit: int) -> None:
    starts: list[int] = []
    result = run(Rows(people=["a"], fail=lambda person, start: starts.append(start)), limit=limit)
    count = min(limit, 20)
    assert result.tallies["a"].used == count
    assert load_persons(result.out)[0].image[:, 0, 0].tolist() == list(range(count))
    assert starts == list(range(0, count, 6))


def test_some_persons_can_be_chosen_in_any_order(run: Callable[..., Conversion]) -> None:
    assert list(run(Rows(), persons=("c", "a")).tallies) == ["a", "c"]
    with pytest.raises(DataError, match="there is no person d; there are a, b, c"):
        run(Rows(), persons=("a", "d"), out="other.h5")


@pytest.mark.parametrize("place", [("b", 0), ("b", 12), ("c", 18)], ids=["between persons", "inside", "at the end"])
def test_a_stopped_conversion_goes_on_with_who_is_missing_and_ends_the_same(
    run: Callable[..., Conversion], tmp_path: Path, place: tuple[str, int]
) -> None:
    def stop(person: str, start: int) -> None:
        if (person, start) == place:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Rows(fail=stop))
    done = "abc"[: "abc".index(place[0])]
    assert listing(tmp_path) == ["out.h5.parts"]
    assert listing(tmp_path / "out.h5.parts") == sorted([*(f"{p}.{e}" for p in done for e in ("h5", "json")), "plan"])
    log = Log()
    resumed = run(Rows(), log)
    assert log.resumed == [person in done for person in "abc"]
    uninterrupted = run(Rows(), out="other.h5")
    assert resumed.out.read_bytes() == uninterrupted.out.read_bytes()
    first, second = (json.loads(each.manifest.read_bytes()) for each in (resumed, uninterrupted))
    assert first | {"output": None} == second | {"output": None}
    assert first["output"]["sha256"] == second["output"]["sha256"]
    assert "out.h5.parts" not in listing(tmp_path)


@pytest.mark.parametrize("step", ["skipped_bytes", "manifest_bytes", "_join"])
def test_a_conversion_that_was_stopped_while_joining_joins_again(
    run: Callable[..., Conversion], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    original = getattr(conversion, step)
    monkeypatch.setattr(conversion, step, stop)
    with pytest.raises(KeyboardInterrupt):
        run(Rows())
    assert not (tmp_path / "out.h5").exists()
    monkeypatch.setattr(conversion, step, original)
    log = Log()
    result = run(Rows(), log)
    assert log.resumed == [True] * 3
    assert len(load_persons(result.out)) == 3
    assert listing(tmp_path) == ["out.h5", "out.h5.manifest.json", "out.h5.skipped.csv"]


def test_a_process_that_is_killed_outright_leaves_parts_that_the_next_one_uses(tmp_path: Path) -> None:
    source = write_mpiigaze(tmp_path / "source", persons=("p00", "p01", "p02"))
    program = textwrap.dedent(f"""
        import os, pathlib, signal
        from privateyes.tasks.gaze.prepare import conversion, mpiigaze
        from privateyes.tasks.gaze.prepare.converter import ConvertOptions
        original = mpiigaze.read_day
        def killing(path):
            if path.parent.name == "p01" and path.name == "day02.mat":
                os.kill(os.getpid(), signal.SIGKILL)
            return original(path)
        mpiigaze.read_day = killing
        class Silent:
            def person_started(self, *a): pass
            def rows_read(self, *a): pass
            def person_finished(self, *a): pass
        out = pathlib.Path({str(tmp_path / "out.h5")!r})
        conversion.convert(
            conversion.Request("mpiigaze", pathlib.Path({str(source)!r}), out, ConvertOptions(subset="all")), Silent()
        )
    """)
    killed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (tmp_path / "out.h5").exists()
    log = Log()
    convert(Request("mpiigaze", source, tmp_path / "out.h5", ConvertOptions(subset="all")), log)
    assert log.resumed == [True, False, False]
    convert(Request("mpiigaze", source, tmp_path / "fresh.h5", ConvertOptions(subset="all")), Log())
    assert (tmp_path / "out.h5").read_bytes() == (tmp_path / "fresh.h5").read_bytes()
    assert listing(tmp_path) == sorted(
        ["source", *(f"{name}.h5{end}" for name in ("out", "fresh") for end in ("", ".manifest.json", ".skipped.csv"))]
    )


def test_parts_of_another_conversion_are_not_mixed_in(run: Callable[..., Conversion], tmp_path: Path) -> None:
    def stop(person: str, start: int) -> None:
        if person == "b":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Rows(fail=stop), limit=3)
    with pytest.raises(DataError, match="left from a conversion of another source or with other options"):
        run(Rows())
    assert run(Rows(), limit=3).tallies["a"].used == 3
    (tmp_path / "new.h5.parts").mkdir()
    (tmp_path / "new.h5.parts" / "diary.txt").write_text("precious")
    with pytest.raises(DataError, match=r"new\.h5\.parts holds other files"):
        run(Rows(), out="new.h5")
    assert (tmp_path / "new.h5.parts" / "diary.txt").read_text() == "precious"


def test_other_options_may_follow_a_conversion_that_stopped_before_its_first_person(
    run: Callable[..., Conversion], tmp_path: Path
) -> None:
    """Errors advise options, such as a size; whoever follows the advice must not be sent away again."""

    def stop(person: str, start: int) -> None:
        raise DataError("images are 30x60 and not 36x60", "bring all images to one size with --size")

    with pytest.raises(DataError, match="--size"):
        run(Rows(fail=stop))
    assert (tmp_path / "out.h5.parts").is_dir()
    assert run(Rows(), limit=3).tallies["a"].used == 3
    manifest = json.loads((tmp_path / "out.h5.manifest.json").read_text())
    assert manifest["options"]["limit"] == 3


def test_a_person_whose_source_has_changed_is_converted_anew(run: Callable[..., Conversion], tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_text("one")

    def stop(person: str, start: int) -> None:
        if person == "c":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Rows(fail=stop, source=source))
    source.write_text("another download")
    log = Log()
    run(Rows(source=source), log)
    assert log.resumed == [False, False, False]


@pytest.mark.parametrize("keeps_times", [False, True])
def test_a_source_that_was_replaced_by_one_of_the_same_size_is_converted_anew(
    tmp_path: Path, keeps_times: bool
) -> None:
    """Old images with the new files' checksums would be the worst of both."""
    source = write_mpiigaze(tmp_path / "source")
    replaced = write_list(source, "p00", ["day01/0001.jpg left", "day02/0001.jpg left"])
    fresh = replaced.read_bytes().replace(b"0001.jpg left", b"0002.jpg left")

    class Leaves(Log):
        def person_started(self, person: str, number: int, total: int) -> None:
            if person == "p01":
                raise KeyboardInterrupt

    request = Request("mpiigaze", source, tmp_path / "out.h5", ConvertOptions())
    with pytest.raises(KeyboardInterrupt):
        convert(request, Leaves())
    times = replaced.stat()
    replaced.write_bytes(fresh)
    if keeps_times:
        os.utime(replaced, ns=(times.st_atime_ns, times.st_mtime_ns))
    log = Log()
    result = convert(request, log)
    assert log.resumed == [False, False]
    named = json.loads(result.manifest.read_bytes())["persons"]["p00"]["source"]
    assert named[-1]["sha256"] == hashlib.sha256(fresh).hexdigest()
    frames = load_persons(request.out, ["p00"], ["frame"])[0].columns["frame"]
    assert frames.tolist() == ["day01/0002.jpg left", "day02/0002.jpg left"]


def test_a_picture_that_was_replaced_in_a_folder_is_noticed(tmp_path: Path) -> None:
    Recording(2).write(tmp_path / "source" / "00002")
    Recording(2).write(tmp_path / "source" / "00003")

    class Leaves(Log):
        def person_started(self, person: str, number: int, total: int) -> None:
            if person == "00003":
                raise KeyboardInterrupt

    request = Request("gazecapture", tmp_path / "source", tmp_path / "out.h5", ConvertOptions(size=(8, 8)))
    with pytest.raises(KeyboardInterrupt):
        convert(request, Leaves())
    frame = tmp_path / "source/00002/frames/00001.jpg"
    frame.write_bytes(frame.read_bytes())
    log = Log()
    convert(request, log)
    assert log.resumed == [False, False]


def test_a_source_that_changes_while_it_is_read_stops_the_conversion(
    run: Callable[..., Conversion], tmp_path: Path
) -> None:
    source = tmp_path / "a.txt"
    source.write_text("one")

    def replace(person: str, start: int) -> None:
        if (person, start) == ("b", 6):
            source.write_text("three")

    with pytest.raises(DataError, match="files of person b have changed while they were read; run the command again"):
        run(Rows(fail=replace, source=source))
    assert not (tmp_path / "out.h5.parts" / "b.json").exists()
    log = Log()
    run(Rows(source=source), log)
    assert log.resumed == [False, False, False]


def test_two_conversions_to_one_output_do_not_meet(run: Callable[..., Conversion], tmp_path: Path) -> None:
    met: list[str] = []

    def second(person: str, start: int) -> None:
        if (person, start) == ("b", 6):
            with pytest.raises(DataError, match=r"another process is converting to \S*out\.h5; wait for it to end"):
                run(Rows())
            met.append(person)
            run(Rows(), out="other.h5")

    result = run(Rows(fail=second))
    assert met == ["b"]
    assert result.out.read_bytes() == (tmp_path / "other.h5").read_bytes()
    assert not (tmp_path / "out.h5.parts").exists()


def test_an_output_that_appeared_meanwhile_is_not_touched(
    run: Callable[..., Conversion], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = conversion._chosen

    def slowly(*arguments: Any) -> list[str]:
        (tmp_path / "out.h5").write_text("another process was faster")
        return chosen(*arguments)

    monkeypatch.setattr(conversion, "_chosen", slowly)
    with pytest.raises(DataError, match=r"out\.h5 is there already"):
        run(Rows())
    assert listing(tmp_path) == ["out.h5"]
    assert (tmp_path / "out.h5").read_text() == "another process was faster"


def test_damaged_files_that_were_skipped_are_looked_at_again_without_that_wish(tmp_path: Path) -> None:
    source = write_mpiigaze(tmp_path / "source")
    path = day_path(source, "p00", 2)
    content = path.read_bytes()
    path.write_bytes(content[:500])
    out = tmp_path / "out.h5"
    with pytest.raises(DataError, match=r"day02\.mat: .*--skip-damaged"):
        convert(Request("mpiigaze", source, out, ConvertOptions()), Log())
    result = convert(Request("mpiigaze", source, out, ConvertOptions(skip_damaged=True)), Log())
    assert result.tallies["p00"].by_reason()[DAMAGED] == 1
    out.unlink()

    class Leaves(Log):
        def person_started(self, person: str, number: int, total: int) -> None:
            if person == "p01":
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(Request("mpiigaze", source, out, ConvertOptions(skip_damaged=True)), Leaves())
    with pytest.raises(DataError, match=r"day02\.mat"):
        convert(Request("mpiigaze", source, out, ConvertOptions()), Log())


def test_a_damaged_record_or_part_says_how_to_go_on(run: Callable[..., Conversion], tmp_path: Path) -> None:
    def stop(person: str, start: int) -> None:
        if person == "c":
            raise KeyboardInterrupt

    parts = tmp_path / "out.h5.parts"
    with pytest.raises(KeyboardInterrupt):
        run(Rows(fail=stop))
    record = (parts / "a.json").read_text()
    for bad in ("{", "[]", '{"stamp": 1}', record.replace('"used"', '"us"')):
        (parts / "a.json").write_text(bad)
        with pytest.raises(DataError, match=r"a\.json: no (record|tally) of a conversion; delete"):
            run(Rows())
    (parts / "a.json").write_text(record)
    (parts / "b.h5").write_bytes(b"cut short")
    with pytest.raises(DataError, match=r"b\.h5 is damaged .*run the command again"):
        run(Rows())
    log = Log()
    run(Rows(), log)
    assert log.resumed == [True, False, True]


def test_an_output_that_is_there_is_not_touched(run: Callable[..., Conversion], tmp_path: Path) -> None:
    (tmp_path / "out.h5").write_text("precious")
    with pytest.raises(DataError, match=r"out\.h5 is there already; choose another name, or delete it"):
        run(Rows())
    assert (tmp_path / "out.h5").read_text() == "precious"
    assert listing(tmp_path) == ["out.h5"]


def test_places_that_cannot_be_written_are_refused_before_anything_is_read(
    run: Callable[..., Conversion], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match="nowhere does not exist; create it first"):
        run(Rows(), out="nowhere/out.h5")
    with pytest.raises(DataError, match="is there already"):
        run(Rows(), out=".")

    def read_only(self: Path, *arguments: object, **options: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", read_only)
    with pytest.raises(DataError, match=r"cannot be written \(Read-only file system\); choose another folder"):
        run(Rows())
    assert listing(tmp_path) == []


@pytest.mark.parametrize("place", ["part", "join"])
def test_a_disk_that_is_nearly_full_stops_before_hdf5_crashes(
    run: Callable[..., Conversion], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def full(path: Path, size: int) -> None:
        raise DataError(f"{path}: the disk is nearly full", "free some space")

    target = "privateyes.tasks.gaze.prepare.writer" if place == "part" else "privateyes.tasks.gaze.prepare.conversion"
    monkeypatch.setattr(f"{target}.require_space", full)
    with pytest.raises(DataError, match="the disk is nearly full"):
        run(Rows())
    assert not (tmp_path / "out.h5").exists()
    monkeypatch.undo()
    assert not list((tmp_path / "out.h5.parts").glob(".*")), "half a part was left"


def test_nobody_with_a_usable_row_is_an_error_that_gives_reasons(tmp_path: Path) -> None:
    source = write_mpiigaze(tmp_path / "source")
    for person in ("p00", "p01"):
        write_list(source, person, ["day01/0999.jpg left"])
    with pytest.raises(DataError, match=f"nobody has a usable row .{NO_FRAME}"):
        convert(Request("mpiigaze", source, tmp_path / "out.h5", ConvertOptions()), Log())
    assert not (tmp_path / "out.h5").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda block, start: block | {"gaze": block["gaze"] + 100}, "person a, rows from 0, gaze: row 0 is"),
        (lambda block, start: {**block, "gaze": block["gaze"] * (np.nan if start == 12 else 1)}, "rows from 12, gaze"),
        (lambda block, start: block if start < 6 else {"image": block["image"], "gaze": block["gaze"]}, "columns are"),
        (lambda block, start: block | {"image": block["image"][:, : 4 - start // 6]}, r"sizes of 'image' are \(3, 5\)"),
        (lambda block, start: block | {"day": block["day"] + 65530}, "rows from 6, day: row 0 is 65536"),
        (lambda block, start: block | {"eye": np.full(len(block["day"]), 0.5)}, "eye: values are float64"),
        (lambda block, start: {"image": block["image"]}, "no data set 'gaze' and none called 'point'"),
        (lambda block, start: block | {"frame": block["frame"][:1]}, "differ in length"),
    ],
)
def test_a_block_that_breaks_a_rule_stops_the_conversion(
    run: Callable[..., Conversion], tmp_path: Path, change: Any, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        run(Rows(change=change))
    assert listing(tmp_path / "out.h5.parts") == ["plan"]


def test_a_converter_that_miscounts_is_caught(run: Callable[..., Conversion]) -> None:
    class Miscounts(Rows):
        def blocks(self, person: str, tally: Tally) -> Iterator[Block]:
            yield from super().blocks(person, tally)
            tally.use(1)

    with pytest.raises(UsageError, match="person a: 21 rows were counted and 20 handed over"):
        run(Miscounts())


@pytest.mark.parametrize("name", ["..", "a/b", "a b", ".hidden", ""])
def test_names_of_persons_that_could_leave_the_folder_are_refused(run: Callable[..., Conversion], name: str) -> None:
    with pytest.raises(DataError, match="cannot be a person's name"):
        run(Rows(people=["a", name]))


def test_persons_called_like_the_files_of_a_conversion_are_persons(run: Callable[..., Conversion]) -> None:
    assert list(run(Rows(people=["joined", "plan"])).tallies) == ["joined", "plan"]


def test_frames_with_control_characters_are_stored_as_plain_text(run: Callable[..., Conversion]) -> None:
    strange = "x\0y\x1b[31m" + "z" * 300
    out = run(Rows(people=["a"], change=lambda block, start: block | {"frame": [strange] * len(block["frame"])})).out
    frames = load_persons(out, columns=["frame"])[0].columns["frame"]
    assert frames[0].startswith("x?y?[31mzzz")
    assert len(frames[0]) == 255


def test_memory_stays_bounded_however_many_rows_there_are(tmp_path: Path) -> None:
    """One person of 300 MB, in blocks of 12 MB, in a process of its own: reading it at once would show."""
    program = textwrap.dedent(f"""
        import pathlib, resource, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        sys.path.insert(0, {str(Path(__file__).parents[3] / "support")!r})
        import test_conversion as t
        from privateyes.tasks.gaze.prepare import conversion
        out = pathlib.Path({str(tmp_path / "out.h5")!r})
        small, big = t.Rows(people=["a"], count=20), t.Rows(people=["a"], count=1000, block=40, shape=(500, 600))
        for name, rows in (("small.h5", small), ("big.h5", big)):
            conversion.open_converter = lambda *a: rows
            request = conversion.Request("mpiigaze", out.parent, out.with_name(name), t.ConvertOptions())
            conversion.convert(request, t.Log())
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    small, big = map(int, done.stdout.split())
    assert big - small < 120, f"{big - small} MiB more"

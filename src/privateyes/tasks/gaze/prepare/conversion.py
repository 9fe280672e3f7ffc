"""A whole conversion: person after person into OUT.parts, which survives a kill, then everything into OUT at once.

    OUT.parts/plan         what is being converted and how; another conversion may not go on with these parts
    OUT.parts/NAME.h5      a person, complete
    OUT.parts/NAME.json    its tally and checksums; written last
    OUT.parts/joined       all persons, before it becomes OUT

OUT appears under its name last, when its manifest and its list of skips are there; then the parts are removed.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import h5py

from privateyes.errors import DataError
from privateyes.files import force_directory, sole_process, write_atomically
from privateyes.tasks.gaze.dataset import refuse_place, require_space
from privateyes.tasks.gaze.layout import LAYOUT_VERSION, refuse_bad_name
from privateyes.tasks.gaze.prepare.converter import DAMAGED, Block, Converter, ConvertOptions, caution, open_converter
from privateyes.tasks.gaze.prepare.manifest import (
    describe_source,
    manifest_bytes,
    manifest_of,
    options_to_json,
    sha256_of,
    skipped_bytes,
    stamp_of,
)
from privateyes.tasks.gaze.prepare.tally import Tally
from privateyes.tasks.gaze.prepare.writer import Part, Record, read_record, write_part, write_record

# No person can have these names: a person's files end in .h5 or .json.
_PLAN: Final = "plan"
_JOINED: Final = "joined"


class Observer(Protocol):
    """Who is told about progress."""

    def person_started(self, person: str, number: int, total: int) -> None:
        """Person `number` of `total`, counted from 1, begins."""

    def rows_read(self, rows: int) -> None:
        """So many rows more are there."""

    def person_finished(self, tally: Tally, resumed: bool) -> None:
        """The person is complete; `resumed` if an earlier run had done it."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to convert.

    Attributes:
        dataset: a name in `converter.CONVERTERS`.
        source: the unpacked download.
        out: the HDF5 file to write; must not be there.
        options: what the user chose.
        persons: whom; None for all.
    """

    dataset: str
    source: Path
    out: Path
    options: ConvertOptions
    persons: tuple[str, ...] | None = None

    @property
    def parts(self) -> Path:
        """The folder for what is finished so far."""
        return self.out.with_name(f"{self.out.name}.parts")


@dataclass(frozen=True, slots=True)
class Conversion:
    """What became of it: tallies by person, and the files written.

    Attributes:
        caution: what to know before one relies on the converter; empty if there is nothing.
    """

    tallies: dict[str, Tally]
    out: Path
    manifest: Path
    skipped: Path
    caution: str = ""


def convert(request: Request, observer: Observer) -> Conversion:
    """Convert a data set, or go on where a killed run stopped.

    Args:
        request: what and where to.
        observer: is told about progress.

    Raises:
        DataError: the source is not this data set or is damaged, OUT is there or cannot be written, the parts belong
            to another conversion, another process works on the same OUT, a source file changes while it is read, or
            nobody has a usable row.
        UsageError: there is no such converter, or an option makes no sense for it.
    """
    if request.out.exists():
        raise DataError(f"{request.out} is there already", "choose another name, or delete it")
    refuse_place(request.out)
    converter = open_converter(request.dataset, request.source, request.options)
    persons = _chosen(request, list(converter.persons()))
    with _sole_writer(request):
        return _convert(request, converter, persons, observer)


def _convert(request: Request, converter: Converter, persons: list[str], observer: Observer) -> Conversion:
    _open_parts(request)
    records: dict[str, Record] = {}
    for number, person in enumerate(persons, 1):
        observer.person_started(person, number, len(persons))
        records[person], resumed = _person_done(request, converter, person, observer)
        observer.person_finished(records[person].tally, resumed)
    if not any(record.tally.used for record in records.values()):
        reasons = ", ".join(sorted({reason for record in records.values() for reason in record.tally.by_reason()}))
        problem = f"{request.source}: nobody has a usable row ({reasons or 'there is none'})"
        raise DataError(problem, f"see {request.parts} for what was skipped, and delete it")
    return _finish(request, converter, records)


def _chosen(request: Request, present: list[str]) -> list[str]:
    for person in present:
        refuse_bad_name(str(request.source), person)
    if request.persons is None:
        return present
    for person in request.persons:
        if person not in present:
            shown = ", ".join(present[:20]) + (", ..." if len(present) > 20 else "")
            raise DataError(f"{request.source}: there is no person {person}", f"there are {shown}")
    return [person for person in present if person in request.persons]


@contextmanager
def _sole_writer(request: Request) -> Iterator[None]:
    """Make the folder of parts and keep every other conversion to the same OUT from it."""
    with ExitStack() as held:
        try:
            request.parts.mkdir(exist_ok=True)
            held.enter_context(sole_process(request.parts))
        except BlockingIOError:
            problem = f"another process is converting to {request.out}"
            raise DataError(problem, "wait for it to end, or choose another name for OUT") from None
        except OSError as error:
            problem = f"{request.out}: the folder {request.out.parent} cannot be written ({error.strerror})"
            raise DataError(problem, "choose another folder") from error
        if request.out.exists():  # since the first look; its folder of parts is gone, and this one is empty
            with suppress(OSError):
                request.parts.rmdir()
            raise DataError(f"{request.out} is there already", "choose another name, or delete it")
        yield


def _open_parts(request: Request) -> None:
    """Begin in the folder of parts, or see that an earlier run with the same settings did."""
    plan: dict[str, Any] = {
        "converter": request.dataset,
        "source": str(request.source.resolve()),
        # A part without damaged files is the same with and without the wish to skip them.
        "options": options_to_json(dataclasses.replace(request.options, skip_damaged=False)),
        "layout": LAYOUT_VERSION,
    }
    path = request.parts / _PLAN
    try:
        if not path.exists():
            if any(request.parts.iterdir()):
                raise DataError(f"{request.parts} holds other files", "choose another name for OUT, or delete it")
            write_atomically(path, json.dumps(plan).encode())
        found = path.read_bytes()
    except OSError as error:
        problem = f"{request.out}: the folder {request.out.parent} cannot be written ({error.strerror})"
        raise DataError(problem, "choose another folder") from error
    try:
        same = json.loads(found) == plan
    except ValueError:
        same = False
    if not same and _holds_a_person(request.parts):
        problem = f"{request.parts} is left from a conversion of another source or with other options"
        raise DataError(problem, "finish that one with the same command, or delete the folder")
    if not same:  # that one stopped before its first person, maybe with the advice to choose another option
        write_atomically(path, json.dumps(plan).encode())


def _holds_a_person(parts: Path) -> bool:
    """Whether somebody is complete; without a record, a part counts for nothing and is written again."""
    return any(path.suffix == ".json" for path in parts.iterdir())


def _person_done(request: Request, converter: Converter, person: str, observer: Observer) -> tuple[Record, bool]:
    part = Part(request.parts, person)
    sources = converter.source_files(person)
    stamp = stamp_of(sources)
    record = read_record(part)
    if record is not None and record.stamp == stamp:
        complete = DAMAGED not in record.tally.by_reason()
        if complete or request.options.skip_damaged:
            return record, True
    part.record.unlink(missing_ok=True)
    tally = Tally()

    def watched() -> Generator[Block, None, None]:
        for block in converter.blocks(person, tally):
            yield block
            observer.rows_read(_rows_of(block))

    write_part(part, watched(), tally, converter.devices(person), request.options.limit)
    described = [describe_source(path, request.source) for path in sources]
    if stamp_of(sources) != stamp:
        problem = f"{request.source}: files of person {person} have changed while they were read"
        raise DataError(problem, "run the command again when they are complete: this person is converted anew")
    record = Record(stamp, tally, described)
    write_record(part, record)
    return record, False


def _rows_of(block: Block) -> int:
    return len(next(iter(block.values()), ()))


def _finish(request: Request, converter: Converter, records: dict[str, Record]) -> Conversion:
    joined = request.parts / _JOINED
    used = [Part(request.parts, person) for person, record in records.items() if record.tally.used]
    require_space(request.out, sum(part.data.stat().st_size for part in used))
    try:
        _join(joined, used, converter)
        manifest = request.out.with_name(f"{request.out.name}.manifest.json")
        skipped = request.out.with_name(f"{request.out.name}.skipped.csv")
        persons = {person: (record.tally, record.sources) for person, record in records.items()}
        content = manifest_of(request.dataset, request.options, persons, request.out, sha256_of(joined))
        write_atomically(skipped, skipped_bytes((person, record.tally) for person, record in records.items()))
        write_atomically(manifest, manifest_bytes(content))
        joined.replace(request.out)
        force_directory(request.out.parent)
    except OSError as error:
        raise DataError(
            f"{request.out} cannot be written ({error})", "free some space, then run the command again"
        ) from error
    with suppress(OSError):  # OUT is complete; what is left of the parts is in nobody's way
        shutil.rmtree(request.parts)
    tallies = {person: record.tally for person, record in records.items()}
    return Conversion(tallies, request.out, manifest, skipped, caution(request.dataset))


def _join(joined: Path, parts: Sequence[Part], converter: Converter) -> None:
    """Copy all parts into one file, chunk by chunk as they are stored."""
    joined.unlink(missing_ok=True)
    with h5py.File(joined, "w") as file:
        file.attrs["privateyes_layout"] = LAYOUT_VERSION
        file.attrs["image_of"] = converter.image_of
        file.attrs["dataset"] = converter.dataset
        for part in parts:
            try:
                with h5py.File(part.data, "r") as source:
                    source.copy(source[part.person], file, name=part.person)
            except (OSError, RuntimeError, KeyError) as error:
                part.record.unlink(missing_ok=True)
                problem = f"{part.data} is damaged ({error})"
                raise DataError(problem, "run the command again: this person is converted anew") from error
    with joined.open("rb") as written:
        os.fsync(written.fileno())

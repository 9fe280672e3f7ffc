"""Manifests and records of sessions, read from files that anybody may have written."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from privateyes.aggregation.audit.evidence import read_message
from privateyes.aggregation.audit.findings import RECORDER, Finding, Level
from privateyes.aggregation.manifest import Manifest, manifest_from_toml
from privateyes.aggregation.messages import Announcement, Message
from privateyes.errors import ConfigError, DataError, MalformedError, ParameterError

MANIFEST_NAME: Final = "manifest.toml"
SETUP_NAME: Final = "setup.jsonl"
_FOLDER_NAME: Final = "transcripts"
_WHAT_TO_GIVE: Final = "give a session's record or a folder of records"
_GIVE_MANIFEST: Final = "give the task's manifest.toml"
_OF_AN_EXPERIMENT: Final = re.compile(r"^[ \t]*\[[ \t]*(?:data|split|model|training)\b", re.MULTILINE)
_MAX_MANIFEST_BYTES: Final = 64 << 20
_STATE_BYTES: Final = 32  # for each parameter, generously
_LINE_OVERHEAD_BYTES: Final = 1 << 16  # everything but vectors, rosters and lists of digests, generously
_NAMED_BY_ROUND: Final = re.compile(r"-session-([0-9]{1,19})\.jsonl")


@dataclass(frozen=True, slots=True)
class Record:
    """The files of a record.

    Attributes:
        files: of sessions.
        setup: of the set-up, if there is one.
        manifest: where its manifest lies, if it lies beside it.
        whole: whether it is a folder, so that what is absent was left out.
    """

    files: tuple[Path, ...]
    setup: Path | None
    manifest: Path | None
    whole: bool

    def messages(self, manifest: Manifest, note: Callable[[Finding], None]) -> Iterator[Message]:
        """Every message, file by file.

        Args:
            note: is given a finding for every file whose last line is torn, or whose name is another session's.

        Raises:
            DataError: a line is no message; says which one.
        """
        for path in (*self.files, *([self.setup] if self.setup else [])):
            rounds = set()
            for message in read_messages(path, manifest, note):
                if isinstance(message, Announcement):
                    rounds.add(message.round)
                yield message
            named = _NAMED_BY_ROUND.search(path.name)
            if named is not None and rounds and int(named[1]) not in rounds:
                text = f"{path} is named for session {int(named[1])}, and holds the announcement of another one"
                note(Finding(Level.SUSPECTED, "record", text, (RECORDER,)))


def find_record(path: Path, setup: Path | None) -> Record:
    """A record's files, from one file, a folder of them, a task's folder that has them in ``transcripts``, or a run's.

    Args:
        setup: the set-up's file, if it is not beside the others.

    Raises:
        DataError: there is nothing, or it cannot be looked at.
    """
    try:
        return _find_record(path, setup)
    except OSError as error:
        raise DataError(f"{error.filename or path}: {error.strerror}", _remedy(error, _WHAT_TO_GIVE)) from None


def _find_record(path: Path, setup: Path | None) -> Record:
    if not path.exists():
        raise DataError(f"{path} does not exist", _WHAT_TO_GIVE)
    if setup is not None:
        try:
            setup.stat()
        except FileNotFoundError as error:
            raise DataError(f"{setup}: {error.strerror}", f"give the set-up's {SETUP_NAME} with --setup") from None
    path = _in_run(path)
    if (path / _FOLDER_NAME).is_dir():
        path = path / _FOLDER_NAME
    folder = path if path.is_dir() else path.parent
    whole = path.is_dir()
    files = sorted(file for file in path.iterdir() if file.suffix == ".jsonl") if whole else [path]
    if whole and any(not file.is_file() for file in files):  # reading a pipe or a device could wait for ever
        raise DataError(f"{path} holds a .jsonl that is no file", _WHAT_TO_GIVE)
    beside = folder / SETUP_NAME
    found = setup if setup is not None else beside if beside.is_file() else None
    files = [file for file in files if found is None or os.path.realpath(file) != os.path.realpath(found)]
    if not files and found is None:
        raise DataError(f"{path} holds no .jsonl file", _WHAT_TO_GIVE)
    candidates = [place / MANIFEST_NAME for place in (folder, folder.parent)]
    return Record(tuple(files), found, next((place for place in candidates if place.is_file()), None), whole)


def _in_run(path: Path) -> Path:
    """The task's folder, if this is the directory of a run with one task."""
    tasks = sorted(folder.parent for folder in path.glob(f"aggregation/*/*/{_FOLDER_NAME}"))
    if len(tasks) > 1:
        raise DataError(f"{path} is a run with {len(tasks)} tasks", f"name one: {', '.join(map(str, tasks))}")
    return tasks[0] if tasks else path


def read_manifest(path: Path) -> Manifest:
    """A manifest from its file.

    Raises:
        DataError: it cannot be read.
        ConfigError: not a manifest; names the key.
        ParameterError: an unsafe combination of values.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_MANIFEST_BYTES + 1)
        if len(data) > _MAX_MANIFEST_BYTES:
            raise DataError(f"{path} is larger than any manifest", "give the task's manifest.toml")
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}", _remedy(error, _GIVE_MANIFEST)) from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is not a text file", "give the task's manifest.toml") from None
    try:
        return manifest_from_toml(text)
    except (ConfigError, ParameterError) as error:
        if _OF_AN_EXPERIMENT.search(text):
            raise ConfigError(f"{path} looks like an experiment file", _GIVE_MANIFEST) from None
        about = error.problem.removeprefix("the manifest")  # the file is the subject
        problem = f": {error.problem}" if about == error.problem else about
        raise type(error)(f"{path}{problem}", error.remedy) from None


def _remedy(error: OSError, otherwise: str) -> str:
    return "check the file's permissions" if isinstance(error, PermissionError) else otherwise


def read_messages(path: Path, manifest: Manifest, note: Callable[[Finding], None]) -> Iterator[Message]:
    """The messages of one file, one JSON line each: ``{"type": ..., "bytes": ...}``.

    Args:
        note: is given a finding if the last line is torn; a process that is killed while it writes leaves one behind.

    Raises:
        DataError: the file cannot be read, or a line is no message of this manifest's task.
    """
    longest = _longest_line(manifest)
    try:
        with path.open("rb") as file:
            for number, line in enumerate(_lines(file, longest, path), start=1):
                where = f"{path}, line {number}"
                if _is_torn(line):
                    text = f"{where}, the last of the file, is torn, as by a kill while it was written: it is left out"
                    note(Finding(Level.NOTED, "record", text))
                else:
                    yield _parse(line, where, manifest)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}", _remedy(error, _WHAT_TO_GIVE)) from None


def _longest_line(manifest: Manifest) -> int:
    """In bytes; a training state with its optimiser's moments is the longest message."""
    return 2 * (_STATE_BYTES * manifest.share_elements + 64 * len(manifest.clients)) + _LINE_OVERHEAD_BYTES


def _lines(file: BinaryIO, longest: int, path: Path) -> Iterator[bytes]:
    """Lines, never more of one in memory than a message can have."""
    number = 0
    while line := file.readline(longest + 1):
        number += 1
        if len(line) > longest:
            raise DataError(
                f"{path}, line {number}: longer than any message of this task",
                "this is no record of it; give the manifest that the record was made under",
            )
        yield line


def _is_torn(line: bytes) -> bool:
    """Whether a line begins as a message does and breaks off; only a file's last one has no end of line."""
    if not line.startswith(b"{") or line.endswith(b"\n"):
        return False
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return True
    return False


def _parse(line: bytes, where: str, manifest: Manifest) -> Message:
    try:
        table = json.loads(line)
    except (ValueError, RecursionError):
        raise DataError(f"{where}: not JSON", "give a session's record; if it is one, get an undamaged copy") from None
    if not (
        isinstance(table, dict)
        and table.keys() == {"type", "bytes"}
        and all(isinstance(value, str) for value in table.values())
    ):
        raise DataError(f"{where}: not an object with the texts type and bytes", "give a session's record")
    try:
        data = bytes.fromhex(table["bytes"])
    except ValueError:
        raise DataError(f"{where}: bytes is not hexadecimal", "the record is damaged; get another copy") from None
    try:
        return read_message(table["type"][:40], data, manifest)
    except MalformedError as error:
        raise DataError(
            f"{where}: {error.problem}", "the record is damaged, or made under another manifest: give --manifest"
        ) from None

"""What a conversion leaves beside its output: a manifest with counts and checksums, and a list of everything skipped.

OUT.manifest.json    converter, options, layout; for each person the rows used, the skips by reason, warnings, and
                     checksums of the source files; the checksum of OUT
OUT.skipped.csv      person, reason, what: one line for each skipped thing
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from privateyes import __version__
from privateyes.errors import DataError
from privateyes.tasks.gaze.layout import LAYOUT_VERSION
from privateyes.tasks.gaze.prepare.converter import ConvertOptions
from privateyes.tasks.gaze.prepare.tally import Tally, printable

FORMAT: Final = 1
_CHUNK_BYTES: Final = 4 << 20
# A spreadsheet runs a cell that begins so; names of foreign files must not become programs.
_FORMULA: Final = ("=", "+", "-", "@")


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, read piece by piece.

    Raises:
        DataError: the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror})", "change its permissions, or copy it again"
        ) from error
    return digest.hexdigest()


def describe_source(path: Path, root: Path) -> dict[str, Any]:
    """The manifest's entry about a file, or about all files below a folder.

    A folder's checksum is over the names and sizes of its files and not over their contents.

    Raises:
        DataError: something cannot be read.
    """
    name = printable(path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name)
    if path.is_dir():
        digest, count, total = hashlib.sha256(), 0, 0
        for below, size in sorted(_files_below(path)):
            digest.update(f"{below}\0{size}\n".encode("utf-8", "surrogateescape"))
            count, total = count + 1, total + size
        return {"folder": name, "files": count, "bytes": total, "sha256_of_names_and_sizes": digest.hexdigest()}
    return {"file": name, "bytes": _size_of(path), "sha256": sha256_of(path)}


def stamp_of(paths: Sequence[Path]) -> str:
    """A short text that changes if a source file is replaced or written to, whatever its size; contents are not read.

    A folder stands for all files below it.

    Raises:
        DataError: something cannot be read.
    """
    digest = hashlib.sha256()
    for path in paths:
        files = sorted(below for below, _ in _files_below(path)) if path.is_dir() else [""]
        digest.update(f"{path}\0{len(files)}\n".encode("utf-8", "surrogateescape"))
        for below in files:
            status = _status_of(path / below)
            # The time of the last change of the entry is nobody's to set: a copy that keeps its times has a new one.
            facts = f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
            digest.update(f"{below}\0{facts}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def options_to_json(options: ConvertOptions) -> dict[str, Any]:
    """The options as the manifest names them."""
    size = None if options.size is None else f"{options.size[0]}x{options.size[1]}"
    return {**dataclasses.asdict(options), "size": size}


def manifest_of(
    dataset: str,
    options: ConvertOptions,
    persons: Mapping[str, tuple[Tally, list[dict[str, Any]]]],
    out: Path,
    sha256: str,
) -> dict[str, Any]:
    """The whole manifest.

    Args:
        dataset: the converter's name.
        options: what the user chose.
        persons: name -> tally, and entries about the source files.
        out: the output file; its name is noted, without its folder.
        sha256: the output's checksum.
    """
    return {
        "format": FORMAT,
        "privateyes": __version__,
        "converter": dataset,
        "options": options_to_json(options),
        "layout": LAYOUT_VERSION,
        "output": {"file": out.name, "sha256": sha256},
        "used": sum(tally.used for tally, _ in persons.values()),
        "skipped": sum(len(tally.skipped) for tally, _ in persons.values()),
        "without_rows": [name for name, (tally, _) in persons.items() if not tally.used],
        "persons": {
            name: {
                "used": tally.used,
                "skipped": tally.by_reason(),
                "warnings": tally.warnings,
                "attributes": tally.attributes,
                "source": sources,
            }
            for name, (tally, sources) in persons.items()
        },
    }


def manifest_bytes(manifest: Mapping[str, Any]) -> bytes:
    """As JSON, indented for people."""
    return (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode()


def skipped_bytes(tallies: Iterable[tuple[str, Tally]]) -> bytes:
    """As CSV with the header person, reason, what."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["person", "reason", "what"])
    for name, tally in tallies:
        for skip in tally.skipped:
            writer.writerow([name, skip.reason, _harmless(skip.what)])
    return text.getvalue().encode()


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def _files_below(folder: Path) -> Iterator[tuple[str, int]]:
    def stop(error: OSError) -> None:
        raise DataError(f"{error.filename} cannot be read ({error.strerror})", "change its permissions") from error

    for place, _, files in os.walk(folder, onerror=stop):
        for file in files:
            path = Path(place, file)
            yield path.relative_to(folder).as_posix(), _size_of(path)


def _size_of(path: Path) -> int:
    return _status_of(path).st_size


def _status_of(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})", "copy it again") from error

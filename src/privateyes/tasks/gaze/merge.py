"""Several data files to one: `privateyes data merge`. Data sets are copied as they are stored; nothing is converted.

What the files say about themselves is combined without claiming more than they do. A statement that all of them make is
kept, licences and sources that differ are listed file by file, and any other statement that not all of them make is
left out and named. The attribute `merged_from` is a JSON list of the files with their checksums, and so that a renamed
person can be found again, its group has an attribute `merged_from` too: its file and its name there.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import h5py

from privateyes.errors import DataError, UsageError
from privateyes.tasks.gaze.dataset import refuse_place, require_space
from privateyes.tasks.gaze.layout import LAYOUT_VERSION, PICTURES, faults_of_person, refuse_bad_name
from privateyes.tasks.gaze.prepare.manifest import sha256_of
from privateyes.tasks.gaze.stored import device_names, open_file, person_names, read_part, stored_parts, text_attributes
from privateyes.wording import counted

# What models take or learn: all persons of a file have the same of these.
_MODEL_PARTS: Final = ("gaze", "point", "pose", "left", "right", "grid")
_LISTED: Final = ("licence", "license", "source")
_OWN: Final = ("privateyes_layout", "merged_from")
# What h5py raises on a full disk, or for damaged sources.
_DAMAGE: Final = (OSError, RuntimeError, KeyError, ValueError, TypeError)
# Renamed persons in a note.
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Merged:
    """What became of it.

    Attributes:
        persons: names in the output.
        rows: of all of them.
        notes: what a reader has to know: what was renamed, left out, or differs between the files.
    """

    persons: tuple[str, ...]
    rows: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Outline:
    """One person, without the data.

    Attributes:
        where: names the file and the person.
        path: the file.
        name: in the file.
        rows: how many.
        kind: what has to be the same for all persons: sizes of pictures, and which data sets there are.
        stored_bytes: on disk.
        others: data sets that the layout does not name.
    """

    where: str
    path: Path
    name: str
    rows: int
    kind: Mapping[str, Any] = field(repr=False)
    stored_bytes: int
    others: tuple[str, ...]


def merge_files(paths: Sequence[Path], out: Path, rename: bool = False) -> Merged:
    """Copy the persons of several files into a new one, or leave nothing behind.

    Args:
        paths: two files or more, whose persons have the same data sets and images of one size.
        out: the file to write; must not be there.
        rename: persons whose name several files have get the number of their file, ``p00-1`` and ``p00-2``. It is for
            the caller to know that they are different people.

    Raises:
        UsageError: there are fewer than two files, or one comes twice.
        DataError: a file breaks a rule of the layout, persons do not go together, two have one name, or the output is
            there or cannot be written.
    """
    if len(paths) < 2:
        raise UsageError("there is nothing to merge: one file is named", "name two files or more, then the output")
    for place, path in enumerate(paths):
        if any(path.resolve() == other.resolve() for other in paths[:place]):
            raise UsageError(f"{path} comes twice", "name each file once")
    if out.exists():
        raise DataError(f"{out} is there already", "choose another name, or delete it")
    refuse_place(out)
    outlines = [outline for path in paths for outline in _outlines(path)]
    for outline in outlines:
        _refuse_other_kind(outlines[0], outline)
    names = _names(paths, outlines, rename)
    attributes, notes = _combined(paths)
    attributes["merged_from"] = _provenance(paths, outlines)
    _write(out, outlines, names, attributes, dict(zip(paths, _called(paths), strict=True)))
    return Merged(tuple(sorted(names.values())), sum(each.rows for each in outlines), (*_told(outlines, names), *notes))


def _outlines(path: Path) -> Iterator[_Outline]:
    """Every person of a file, after a look at the rules of the layout."""
    with open_file(path) as file:
        for name in person_names(path, file):
            where = f"{path}, person {name}"
            stored = stored_parts(path, file, name)
            parts = {
                part: dataset if part in PICTURES else read_part(f"{where}, {part}", part, dataset)
                for part, dataset in stored.items()
            }
            for part, dataset in stored.items():
                if dataset.external or dataset.is_virtual:
                    problem = f"{where}, {part}: the data lie in another file"
                    raise DataError(problem, "store them in the file itself (h5repack)")
            for fault in faults_of_person(where, parts, device_names(path, file, name)):
                raise fault
            kind: dict[str, Any] = {f"size of {part}": parts[part].shape[1:] for part in PICTURES if part in parts}
            kind |= {part: part in parts for part in _MODEL_PARTS}
            size = sum(dataset.id.get_storage_size() for dataset in stored.values())
            others = tuple(sorted(set(file[name]) - set(stored)))
            yield _Outline(where, path, name, parts["image"].shape[0], kind, size, others)


def _refuse_other_kind(first: _Outline, outline: _Outline) -> None:
    for part in _MODEL_PARTS:
        if outline.kind[part] != first.kind[part]:
            has, lacks = (outline, first) if outline.kind[part] else (first, outline)
            problem = f"{lacks.where}: there is no data set '{part}', which {has.where} has"
            raise DataError(problem, "one model needs the same of everybody: complete it, or leave the file out")
    for what, size in first.kind.items():
        if outline.kind[what] != size:
            problem = f"{outline.where}: the {what} is {outline.kind[what]}, and {size} in {first.where}"
            raise DataError(problem, "one model takes one size: bring the images to one, or leave the file out")


def _names(paths: Sequence[Path], outlines: Sequence[_Outline], rename: bool) -> dict[tuple[Path, str], str]:
    """(file, person) -> name in the output."""
    count = Counter(outline.name for outline in outlines)
    shared = sorted({name for name, times in count.items() if times > 1})
    if shared and not rename:
        holders = " and ".join(str(outline.path) for outline in outlines if outline.name == shared[0])
        more = f" ({counted(len(shared), 'name')} in all)" if len(shared) > 1 else ""
        problem = f"person {shared[0]} is in {holders}{more}"
        remedy = "if they are the same people, leave one file out; if not, --rename adds the number of the file"
        raise DataError(problem, remedy)
    names = {
        (outline.path, outline.name): f"{outline.name}-{paths.index(outline.path) + 1}"
        if outline.name in shared
        else outline.name
        for outline in outlines
    }
    for (path, name), new in names.items():
        refuse_bad_name(f"{path}, person {name}", new)
    twice = next((name for name, times in Counter(names.values()).items() if times > 1), None)
    if twice is not None:
        raise DataError(f"two persons would be called {twice}", "rename persons in one of the files")
    return names


def _called(paths: Sequence[Path]) -> list[str]:
    """What to call each file where its folder says nothing to others: its name, numbered if another has the same."""
    count = Counter(path.name for path in paths)
    return [path.name if count[path.name] == 1 else f"{path.name} ({place})" for place, path in enumerate(paths, 1)]


def _combined(paths: Sequence[Path]) -> tuple[dict[str, str], list[str]]:
    """The attributes of the output, and what to tell about those that differ."""
    stated = []
    for path in paths:
        with open_file(path) as file:
            stated.append({name: text for name, text in text_attributes(file).items() if name not in _OWN})

    def listed(name: str) -> str:
        texts = (attributes.get(name, "not stated") for attributes in stated)
        return "; ".join(f"{called}: {text}" for called, text in zip(_called(paths), texts, strict=True))

    if len({attributes["image_of"] for attributes in stated if "image_of" in attributes}) > 1:
        problem = f"images show different things ({listed('image_of')})"
        raise DataError(problem, "merge eyes with eyes and faces with faces")
    combined: dict[str, str] = {}
    notes = []
    for name in sorted({name for attributes in stated for name in attributes}):
        texts = {attributes.get(name) for attributes in stated}
        if len(texts) == 1:
            combined[name] = stated[0][name]
        elif name in _LISTED:
            combined[name] = listed(name)
            notes.append(f"not every file has the same {name}, so that all are listed ({combined[name]})")
        else:
            notes.append(f"not every file says the same about {name}, so that it was left out ({listed(name)})")
    if "dataset" not in combined and any("dataset" in attributes for attributes in stated):
        notes.append("data sets differ in how images are equalised and labels normalised, and nothing was converted")
    return combined, notes


def _told(outlines: Sequence[_Outline], names: Mapping[tuple[Path, str], str]) -> Iterator[str]:
    renamed = [f"{name} of {path} is {new}" for (path, name), new in names.items() if new != name]
    if renamed:
        more = f" and {len(renamed) - _SHOWN} more" if len(renamed) > _SHOWN else ""
        yield f"renamed: {', '.join(renamed[:_SHOWN])}{more}"
    others = sorted({name for outline in outlines for name in outline.others})
    if others:
        yield f"left out, since the layout does not name them: {', '.join(others)}"


def _provenance(paths: Sequence[Path], outlines: Sequence[_Outline]) -> str:
    """The attribute `merged_from`."""
    entries = []
    for path, called in zip(paths, _called(paths), strict=True):
        persons = sum(outline.path == path for outline in outlines)
        entry: dict[str, Any] = {"file": called, "sha256": sha256_of(path), "persons": persons}
        with open_file(path) as file:
            before = text_attributes(file).get("merged_from")
        entries.append(entry if before is None else entry | {"merged_from": before})
    return json.dumps(entries, ensure_ascii=False)


def _write(
    out: Path,
    outlines: Sequence[_Outline],
    names: Mapping[tuple[Path, str], str],
    attributes: Mapping[str, str],
    called: Mapping[Path, str],
) -> None:
    require_space(out, sum(outline.stored_bytes for outline in outlines))
    temporary = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        with h5py.File(temporary, "w") as file:
            file.attrs["privateyes_layout"] = LAYOUT_VERSION
            for name, text in attributes.items():
                file.attrs[name] = text
            for outline in outlines:
                group = file.create_group(names[outline.path, outline.name])
                with open_file(outline.path) as source:
                    for name, value in source[outline.name].attrs.items():
                        group.attrs[name] = value
                    if group.name != f"/{outline.name}":
                        group.attrs["merged_from"] = f"{called[outline.path]}: {outline.name}"
                    for part, dataset in stored_parts(outline.path, source, outline.name).items():
                        source.copy(dataset, group, name=part)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(out)
    except _DAMAGE as error:
        remedy = "free some space or choose another folder; if a source is damaged, `privateyes data check` names it"
        raise DataError(f"{out} cannot be written ({error})", remedy) from error
    finally:
        with suppress(OSError):  # on a read-only disk; the error that matters is on its way
            temporary.unlink(missing_ok=True)

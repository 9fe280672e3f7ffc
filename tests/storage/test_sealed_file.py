"""Sealed files: what was written is read, or nothing is."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from privateyes.errors import RunDirectoryError
from privateyes.storage import sealed_file
from privateyes.storage.sealed_file import (
    Seal,
    SealedWriter,
    copy_sealed,
    is_whole,
    read_sealed,
    write_sealed,
)

SIZES = [0, 1, 15, 16, 17, (1 << 18) - 1, 1 << 18, (1 << 18) + 1, 3 << 18]


@pytest.mark.parametrize("size", SIZES)
def test_a_body_is_read_as_it_was_written(tmp_path: Path, size: int) -> None:
    body = os.urandom(size)
    seal = write_sealed([tmp_path / "x"], [body[: size // 3], memoryview(body)[size // 3 :]])
    assert read_sealed(tmp_path / "x", seal) == body
    assert seal.length_bytes == (tmp_path / "x").stat().st_size == size


def test_a_shorter_body_over_a_longer_one_leaves_nothing_of_it(tmp_path: Path) -> None:
    write_sealed([tmp_path / "x"], [os.urandom(500_000)])
    seal = write_sealed([tmp_path / "x"], [b"short"])
    assert read_sealed(tmp_path / "x", seal) == b"short"
    assert (tmp_path / "x").stat().st_size == 5


def test_every_body_has_a_key_of_its_own_which_is_not_shown(tmp_path: Path) -> None:
    first, second = (write_sealed([tmp_path / name], [bytes(100)]) for name in "ab")
    assert first.key != second.key
    assert (tmp_path / "a").read_bytes() != (tmp_path / "b").read_bytes()
    assert repr(first.key)[2:-1] not in repr(first)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("size", [100, (1 << 18) + 100])
def test_a_torn_or_altered_file_never_opens(tmp_path: Path, size: int) -> None:
    path, body = tmp_path / "x", os.urandom(size)
    seal = write_sealed([path], [body])
    whole = path.read_bytes()
    damaged = [whole[:cut] for cut in (0, 1, size // 2, size - 1)]
    damaged += [whole + b"\0", bytes(size), os.urandom(size)]
    damaged += [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in (0, size // 2, size - 1)]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(RunDirectoryError, match="is not what the party stored") as caught:
            read_sealed(path, seal)
        assert "\n" not in str(caught.value)
    path.write_bytes(whole)
    assert read_sealed(path, seal) == body


def test_another_bodys_seal_opens_nothing(tmp_path: Path) -> None:
    seals = [write_sealed([tmp_path / name], [bytes(64)]) for name in "ab"]
    other_tag = replace(seals[0], tag=seals[1].tag)
    for wrong in (seals[1], other_tag, Seal(bytes(32), seals[0].tag, 64)):
        with pytest.raises(RunDirectoryError, match="torn or altered"):
            read_sealed(tmp_path / "a", wrong)


def test_a_missing_file_is_said_to_be_so(tmp_path: Path) -> None:
    seal = write_sealed([tmp_path / "x"], [b"body"])
    (tmp_path / "x").unlink()
    with pytest.raises(RunDirectoryError, match="No such file"):
        read_sealed(tmp_path / "x", seal)


@pytest.mark.parametrize("step", ["open", "fsync"])
def test_a_full_disk_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sealed_file.os, step, full)
    with pytest.raises(RunDirectoryError, match=r"cannot be written .*No space left.*free some space"):
        write_sealed([tmp_path / "x"], [b"body"])


def test_a_body_that_goes_to_several_files_is_sealed_once(tmp_path: Path) -> None:
    paths, body = [tmp_path / name for name in "abc"], os.urandom(700_000)
    paths[1].write_bytes(os.urandom(900_000))
    seal = write_sealed(paths, [body])
    assert [read_sealed(path, seal) for path in paths] == [body] * 3
    assert len({path.read_bytes() for path in paths}) == 1
    assert all(path.stat().st_size == len(body) for path in paths)


def test_every_file_and_the_folder_of_every_new_one_is_forced_to_disk_before_the_seal_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / name / "x" for name in "abc"]
    for path in paths:
        path.parent.mkdir()
    paths[2].touch()
    forced = []
    fsync = os.fsync
    monkeypatch.setattr(
        sealed_file.os, "fsync", lambda number: (forced.append(os.readlink(f"/proc/self/fd/{number}")), fsync(number))
    )
    with SealedWriter(paths) as writer:
        writer.write(b"body")
        assert not forced
        writer.seal()
        assert sorted(forced) == sorted(map(str, [*paths, paths[0].parent, paths[1].parent]))


@pytest.mark.parametrize("broken", range(3))
@pytest.mark.parametrize("step", ["open", "fsync"])
def test_one_disk_of_several_that_fails_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: int, step: str
) -> None:
    paths = [tmp_path / name for name in "abc"]
    call = getattr(os, step)

    def fail(target: object, *rest: object) -> object:
        path = os.readlink(f"/proc/self/fd/{target}") if isinstance(target, int) else str(target)
        if path == str(paths[broken]):
            raise OSError(5, "Input/output error")
        return call(target, *rest)

    monkeypatch.setattr(sealed_file.os, step, fail)
    with pytest.raises(RunDirectoryError, match=rf"{paths[broken]} cannot be written .*Input/output error"):
        write_sealed(paths, [b"body"])


def test_a_file_that_was_not_sealed_opens_with_nothing(tmp_path: Path) -> None:
    seal = write_sealed([tmp_path / "x"], [b"first"])
    with SealedWriter([tmp_path / "x"]) as writer:
        writer.write(b"second")
    assert not is_whole(tmp_path / "x", seal)


@pytest.mark.parametrize("size", [0, 100, (1 << 18) + 100])
def test_whether_a_file_is_whole_is_told_without_keeping_it(tmp_path: Path, size: int) -> None:
    path = tmp_path / "x"
    seal = write_sealed([path], [os.urandom(size)])
    whole = path.read_bytes()
    assert is_whole(path, seal)
    for damaged in [whole + b"\0", os.urandom(size + 1), *([whole[:-1]] if size else [])]:
        path.write_bytes(damaged)
        assert not is_whole(path, seal)
    path.unlink()
    assert not is_whole(path, seal)


def test_a_copy_is_equal_and_private_and_replaces_what_was_there(tmp_path: Path) -> None:
    seal = write_sealed([tmp_path / "a"], [b"body"])
    (tmp_path / "b").write_bytes(os.urandom(1000))
    (tmp_path / "b").chmod(0o600)
    for name in "bc":
        copy_sealed(tmp_path / "a", tmp_path / name)
        assert read_sealed(tmp_path / name, seal) == b"body"
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


def test_a_copy_and_its_folder_are_forced_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sealed([tmp_path / "a"], [b"body"])
    forced = []
    monkeypatch.setattr(
        sealed_file.os, "fsync", lambda number: forced.append(Path(f"/proc/self/fd/{number}").resolve())
    )
    copy_sealed(tmp_path / "a", tmp_path / "b")
    assert forced == [(tmp_path / "b").resolve(), tmp_path.resolve()]


def test_a_copy_onto_a_full_disk_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    write_sealed([tmp_path / "a"], [b"body"])
    monkeypatch.setattr(sealed_file.os, "fsync", full)
    with pytest.raises(RunDirectoryError, match=rf"{tmp_path / 'b'} cannot be written .*free some space"):
        copy_sealed(tmp_path / "a", tmp_path / "b")

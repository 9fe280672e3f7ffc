from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from privateyes.aggregation import manifest as manifest_module
from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.manifest_check import parameters
from privateyes.experiments.record import RunDirectory

Call = Callable[..., Result]
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def manifest(make_world: Any) -> Manifest:
    """Three aggregators and four clients; the aggregators' operators are named."""
    plain: Manifest = make_world(set_up=False).manifest
    named = [replace(party, organisation=f"operator {party.name}") for party in plain.aggregators]
    return replace(plain, aggregators=tuple(named))


@pytest.fixture
def pinned(manifest: Manifest, tmp_path: Path) -> Path:
    path = tmp_path / "manifest.toml"
    path.write_text(manifest.to_toml())
    return path


def test_a_manifest_is_shown_with_its_parties_and_digest(call: Call, pinned: Path, manifest: Manifest) -> None:
    result = call("task", "verify", pinned)
    assert result.exit_code == 0
    shown = " ".join(result.stdout.split())
    for text in ("field compact", "roster_min 2", "mode sealed", "a2 operator a2", "4 clients", "3 aggregators"):
        assert text in shown
    digits = manifest.clients[2].public_key.hex()
    assert " ".join(digits[start : start + 4] for start in range(0, 32, 4)) in shown
    assert result.stdout.splitlines()[-1] == f"manifest: {manifest.digest().hex()}"
    assert "warning" not in shown


def test_a_byte_order_mark_before_a_manifest_is_read_over(call: Call, pinned: Path, manifest: Manifest) -> None:
    pinned.write_text(manifest.to_toml(), encoding="utf-8-sig")
    result = call("task", "verify", pinned)
    assert result.stdout.splitlines()[-1] == f"manifest: {manifest.digest().hex()}"


def test_fewer_independent_operators_are_warned_of(call: Call, pinned: Path, manifest: Manifest) -> None:
    same = [replace(party, organisation="Clinic") for party in manifest.aggregators[:2]]
    client = replace(manifest.clients[0], organisation="clinic")
    changed = replace(manifest, aggregators=(*same, manifest.aggregators[2]), clients=(client, *manifest.clients[1:]))
    pinned.write_text(changed.to_toml())
    result = call("task", "verify", pinned)
    assert result.exit_code == 0
    assert "warning: Clinic operates aggregators a1, a2: they count as one" in result.stdout
    assert "warning: Clinic operates aggregators a1, a2 and client c1" in result.stdout


def test_an_equal_copy_is_the_same_task(call: Call, pinned: Path, tmp_path: Path) -> None:
    other = tmp_path / "hub.toml"
    other.write_text(pinned.read_text() + "\n# a comment is no difference\n")
    result = call("task", "verify", pinned, "--against", other)
    assert result.exit_code == 0
    assert "the same task" in result.stdout


def test_every_difference_is_listed_and_exits_with_1(
    call: Call, pinned: Path, tmp_path: Path, manifest: Manifest
) -> None:
    other = tmp_path / "hub.toml"
    stranger = replace(manifest.aggregators[1], public_key=bytes(31) + b"\x01")
    theirs = replace(manifest, leaders=(2,), aggregators=(manifest.aggregators[0], stranger, manifest.aggregators[2]))
    other.write_text(theirs.to_toml())
    result = call("task", "verify", pinned, "--against", other)
    assert result.exit_code == 1
    assert "differs: leaders: " in result.stdout
    assert "differs: aggregator 2: key " in result.stdout
    assert "2 differences: do not join" in result.stdout


def _edited(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


UNSAFE = {
    "roster of one": ("roster_min = 2", "roster_min = 1", "2 <= roster_min"),
    "wrapping scale": ("scale_bits = 16", "scale_bits = 29", "could wrap"),
    "no leader": ("leaders = [1, ", "leaders = [9, ", "clients from 1 to 4"),
    "too many corrupt": ("corrupt_clients = 0", "corrupt_clients = 1", "raise roster_min or lower corrupt_clients"),
    "unknown mode": ('mode = "sealed"', 'mode = "open"', "neither sealed nor public"),
    "ring": ('field = "compact"', 'field = "ring"', "field"),
    "two names": ('name = "a2"', 'name = "a1"', "give each its own"),
    "no hex": ('public_key = "', 'public_key = "zz', "copy it as it was given to you"),
    "unknown key": ("weight_max = 50", "weight_max = 50\nbackdoor = 1", "unknown key backdoor"),
    "missing key": ("weight_max = 50\n", "", "key weight_max is missing"),
    "no TOML": ("weight_max = 50", "weight_max =", "not valid TOML"),
    "wrong type": ("dimension = 7", 'dimension = "7"', "a whole number"),
}


@pytest.mark.parametrize(("old", "new", "line"), UNSAFE.values(), ids=UNSAFE.keys())
def test_an_unsafe_manifest_is_refused_with_the_remedy(call: Call, pinned: Path, old: str, new: str, line: str) -> None:
    pinned.write_text(_edited(pinned.read_text(), old, new))
    for arguments in ([pinned], [pinned, "--against", pinned]):
        result = call("task", "verify", *arguments)
        assert result.exit_code == 2
        assert line in result.stderr
        assert str(pinned) in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_duplicate_keys_and_a_single_aggregator_are_refused(call: Call, pinned: Path, manifest: Manifest) -> None:
    text = pinned.read_text()
    first, second = (party.public_key.hex() for party in manifest.clients[:2])
    pinned.write_text(text.replace(second, first))
    refused = call("task", "verify", pinned).stderr
    assert "two parties have the same key; give the hub, every client and every aggregator a key" in refused
    head, *tables = text.split("\n[[")
    alone = [table for table in tables if not table.startswith("aggregators") or '"a1"' in table]
    pinned.write_text("\n[[".join([head, *alone]))
    result = call("task", "verify", pinned)
    assert result.exit_code == 2
    assert "with one, that one would see every update" in result.stderr


@pytest.mark.parametrize("line", [".".join("a" * 4000) + " = 1", ".".join("a" * 10_000) + " = 1", "a = [[[]]]"])
def test_a_text_that_is_not_flat_is_refused_in_one_line(call: Call, pinned: Path, line: str) -> None:
    pinned.write_text(f"{line}\n{pinned.read_text()}")
    result = call("task", "verify", pinned)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {pinned}, line 1 ")
    assert len(result.stderr) < 500


def _seen(line: str) -> str:
    """What a terminal that turns the direction of reading shows of a line."""
    turned = re.sub("\u202e([^\u202c]*)\u202c", lambda match: match[1][::-1], line)
    return " ".join(turned.replace("\u200b", "").split())


@pytest.mark.parametrize("twin", ["aggregator \u202e21\u202c", "aggregator\u200b 12"])
def test_a_name_that_would_be_seen_as_another_is_refused(
    call: Call, pinned: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch, twin: str
) -> None:
    text = pinned.read_text().replace('"a1"', '"aggregator 12"').replace('"a2"', f'"{twin}"')
    pinned.write_text(text.replace('organisation = "operator a2"', 'organisation = "operator a1"'))
    refused = call("task", "verify", pinned)
    assert refused.exit_code == 2
    assert "[[aggregators]] number 2: name: " in refused.stderr
    assert "format character" in refused.stderr

    monkeypatch.setattr(manifest_module, "require_plain_name", lambda text, where: None)
    shown = call("task", "verify", pinned).stdout.splitlines()
    first, second = (next(line for line in shown if _seen(line).startswith(f"{number} ")) for number in (1, 2))
    assert _seen(first).startswith("1 aggregator 12 operator a1")
    assert _seen(second).startswith("2 aggregator 12 operator a1")


def test_an_error_names_the_file_and_no_second_subject(call: Call, tmp_path: Path, pinned: Path) -> None:
    empty = tmp_path / "empty.toml"
    empty.write_text("")
    assert call("task", "verify", empty).stderr.startswith(f"error: {empty}: key version is missing; add version")
    pinned.write_text("= 1")
    assert call("task", "verify", pinned).stderr.startswith(f"error: {pinned} is not valid TOML (")
    assert call("task", "verify", "/dev/null").stderr.startswith("error: /dev/null: key version is missing")


def test_a_file_that_cannot_be_read_is_one_line(call: Call, tmp_path: Path) -> None:
    binary = tmp_path / "binary.toml"
    binary.write_bytes(bytes([0xFF, 0xFE, 0x00]))
    for path, line in ((tmp_path / "none.toml", "No such file"), (tmp_path, "Is a directory"), (binary, "not a text")):
        result = call("task", "verify", path)
        assert result.exit_code == 2
        assert line in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_an_experiment_in_place_of_a_manifest_is_called_one(
    call: Call, eyes: Path, experiment_text: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "s.toml").write_text(experiment_text(eyes))
    for path in (tmp_path / "s.toml", *sorted(EXAMPLES.glob("*.toml"))):
        refused = call("task", "verify", path)
        assert refused.exit_code == 2
        assert refused.stderr == f"error: {path} looks like an experiment file; give the task's manifest.toml\n"


def test_digests_stand_in_blocks_and_no_key_is_cut_at_80_columns(
    call: Call, pinned: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = call("task", "verify", pinned).stdout
    for key, value in parameters(manifest).items():
        assert key in shown
        blocks = [value[start : start + 16] for start in range(0, len(value), 16)] if len(value) == 64 else []
        if blocks:
            assert f" {blocks[0]} {blocks[1]} " in shown
            assert f" {blocks[2]} {blocks[3]} " in shown


def test_a_mirror_is_replaced_in_every_task_of_a_run(
    call: Call, eyes: Path, experiment_text: Callable[..., str], tmp_path: Path
) -> None:
    disks, fresh, run = [tmp_path / name for name in "abc"], tmp_path / "d", tmp_path / "run"
    tail = f"[store]\nmirrors = {json.dumps([str(disk) for disk in disks])}\n"
    experiment = tmp_path / "x.toml"
    experiment.write_text(experiment_text(eyes, '["private"]', tail=tail))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(RunDirectory, "record_round", lambda *_, **__: sys.exit(9))
        assert call("train", experiment, "--out", run).exit_code == 9
    (task,) = (path.parent for path in run.glob("aggregation/*/*/store.json"))
    told = call("task", "mirror", run, disks[0], fresh)
    assert told.exit_code == 0
    assert told.stdout == (
        f"{task}: its store has a mirror in {fresh}, and none in {disks[0]}\n"
        f"if an experiment file of your own names {disks[0]} in store.mirrors, name {fresh} there\n"
    )
    assert call("train", run, "--resume").exit_code == 0
    refused = call("task", "mirror", run, disks[0], fresh)
    assert refused.exit_code == 2
    assert refused.stderr.startswith(f"error: {disks[0]} is no mirror of the run in {run}; its mirrors are: {fresh}, ")

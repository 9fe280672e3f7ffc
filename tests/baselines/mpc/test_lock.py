"""The lock file: exact versions, hashes, a digest that names the environment's folder."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from privateyes.baselines.mpc.environment import environment_folder
from privateyes.baselines.mpc.lock import LOCK_PATH, read_lock
from privateyes.baselines.mpc.protocols import ENGINE
from privateyes.errors import EngineError

HEAD = "# python: 3.11\n# platform: linux x86_64\n"
GOOD = f"jax==0.4.34 --hash=sha256:{'a' * 64}\n"


def test_every_requirement_of_the_packaged_lock_has_one_version_and_one_hash() -> None:
    lock = read_lock()
    lines = [line for line in LOCK_PATH.read_text().splitlines() if line and not line.startswith("#")]
    assert len(lines) == len(lock.packages) >= 12
    hashes = [re.fullmatch(r"\S+==\S+ --hash=sha256:([0-9a-f]{64})", line) for line in lines]
    assert all(hashes)
    assert len({match[1] for match in hashes if match}) == len(lines)


def test_the_packaged_lock_holds_the_engine_that_results_name() -> None:
    lock = read_lock()
    assert ENGINE.endswith(f" {lock.packages['spu']}")
    assert (lock.packages["jax"], lock.packages["jaxlib"]) == ("0.4.34", "0.4.34")
    assert int(lock.packages["numpy"].split(".")[0]) < 2


def test_the_packaged_lock_names_no_index() -> None:
    assert "://" not in LOCK_PATH.read_text()
    assert "index" not in LOCK_PATH.read_text()


def test_the_folder_carries_the_digest_of_the_files_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIVATEYES_CACHE", str(tmp_path))
    path = tmp_path / "a.lock"
    path.write_text(HEAD + GOOD)
    folder = environment_folder(read_lock(path))
    assert folder == tmp_path / f"mpc-{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
    path.write_text(HEAD + GOOD.replace("0.4.34", "0.4.35"))
    assert environment_folder(read_lock(path)) != folder


def test_without_a_setting_the_folder_is_in_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PRIVATEYES_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert environment_folder(read_lock()).parent == tmp_path / ".cache" / "privateyes"


@pytest.mark.parametrize(
    ("line", "number"),
    [
        ("jax==0.4.34\n", 4),
        (f"jax>=0.4 --hash=sha256:{'a' * 64}\n", 4),
        (f"jax==0.4.34 --hash=md5:{'a' * 32}\n", 4),
        (f"jax==0.4.34 --hash=sha256:{'a' * 63}\n", 4),
        ("--extra-index-url somewhere\n", 4),
        (GOOD.replace("aaa", "bbb"), 4),
    ],
    ids=["no hash", "a range", "another hash", "a short hash", "an option", "a package twice"],
)
def test_a_lock_that_leaves_something_open_is_refused(line: str, number: int, tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    path.write_text(HEAD + GOOD + line)
    with pytest.raises(EngineError, match=f"a.lock, line {number}: not one package with an exact version and a hash"):
        read_lock(path)


@pytest.mark.parametrize("text", [HEAD, GOOD, f"# python: 3.11\n{GOOD}"], ids=["no package", "no facts", "no platform"])
def test_an_incomplete_lock_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    path.write_text(text)
    with pytest.raises(EngineError, match="not complete"):
        read_lock(path)


def test_a_missing_lock_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="cannot be read"):
        read_lock(tmp_path / "a.lock")

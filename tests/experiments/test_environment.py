from __future__ import annotations

import hashlib
import json
from pathlib import Path

from privateyes.experiments.environment import describe_environment, sha256_of


def test_the_environment_names_versions_and_machine(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.write_bytes(b"eyes")
    environment = json.loads(json.dumps(describe_environment(data)))
    assert environment["packages"]["torch"]
    assert environment["cores"] >= 1
    assert environment["data_sha256"] == hashlib.sha256(b"eyes").hexdigest()
    assert describe_environment(None)["data_sha256"] is None


def test_a_large_file_is_hashed_whole(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.write_bytes(b"x" * (2**20 + 3))
    assert sha256_of(data) == hashlib.sha256(b"x" * (2**20 + 3)).hexdigest()

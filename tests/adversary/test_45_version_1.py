"""45. Messages, manifests and stores of version 1 are refused by name, so that nobody is led back to its rules."""

from __future__ import annotations

import sqlite3

import pytest

from privateyes.aggregation import messages
from privateyes.aggregation.audit.evidence import MESSAGE_TYPES
from privateyes.aggregation.manifest import manifest_from_toml
from privateyes.errors import ConfigError, MalformedError, RunDirectoryError
from privateyes.storage.store import PartyStore

TYPES = sorted({*MESSAGE_TYPES.values(), messages.Origin}, key=lambda kind: kind.kind)


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.__name__)
def test_a_message_of_version_1_is_refused_as_such(world, kind) -> None:
    assert kind.kind > 64
    for first in (1, kind.kind - 64, 24):
        if first <= 24:
            with pytest.raises(MalformedError, match="of protocol version 1"):
                kind.from_bytes(bytes([first]) + bytes(world.manifest.share_bytes + 1000), world.manifest)
    for first in (0, 25, 64, 255):
        with pytest.raises(MalformedError, match=f"of kind {first} where"):
            kind.from_bytes(bytes([first]) + bytes(world.manifest.share_bytes + 1000), world.manifest)


def test_a_manifest_of_version_1_is_refused_as_such(world) -> None:
    text = world.manifest.to_toml()
    with pytest.raises(ConfigError, match="of version 1, whose recovery after lost stores was broken; make a manifest"):
        manifest_from_toml(text.replace("version = 2", "version = 1"))
    with pytest.raises(ConfigError, match="version 3 is not 2"):
        manifest_from_toml(text.replace("version = 2", "version = 3"))


def test_a_store_of_version_1_is_refused_as_such(tmp_path) -> None:
    (tmp_path / "store").mkdir()
    with sqlite3.connect(tmp_path / "store" / "parties.sqlite") as connection:
        connection.execute("CREATE TABLE memory (party TEXT PRIMARY KEY, body BLOB NOT NULL)")
        connection.execute("PRAGMA user_version = 2")
    with pytest.raises(RunDirectoryError, match="another version"):
        PartyStore(tmp_path / "store")

"""The task manifest: what every party pins before a task starts (protocol, "Setup").

Each party holds its own copy; the hub is not its source. The manifest's digest is part of every set-up id and session
id, so two parties with different manifests never share a session. The model that training begins with and the settings
that clients train with are pinned too, so that a hub can supply neither.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from privateyes.aggregation.manifest_text import require_flat, require_plain_name
from privateyes.aggregation.privacy_section import Privacy, privacy_from_table, privacy_part
from privateyes.crypto.bulk import BulkHash, bulk_hash_by_name
from privateyes.crypto.field import Field, field_by_name
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.signature import PUBLIC_KEY_BYTES
from privateyes.crypto.statement import HASH_BYTES, digest, encode_tuple
from privateyes.crypto.streams import MAX_STREAM_BYTES
from privateyes.encoding.fixed_point import FixedPoint
from privateyes.errors import ConfigError, ParameterError

MANIFEST_VERSION: Final = 2
MAX_AGGREGATORS: Final = 7
SEALED_MODE: Final = "sealed"
PUBLIC_MODE: Final = "public"
_HEXADECIMAL: Final = re.compile(r"(?:[0-9a-f]{2})*")  # one way to write a key, for every parser


@dataclass(frozen=True, slots=True)
class Party:
    """A client or an aggregator, as the manifest pins it.

    Attributes:
        name: unique in its role.
        public_key: 32-byte Ed25519 public key.
        organisation: who operates it; one organisation in both roles weakens the guarantee (docs/threat-model.md).
    """

    name: str
    public_key: bytes
    organisation: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One task's parameters and parties. Aggregators and clients are numbered from 1, in the order given.

    Attributes:
        dimension: d, the number of model parameters.
        encoding: field, clip, scale, weight and roster bounds.
        roster_min: R_min; a smaller roster is refused.
        corrupt_clients: clients assumed corrupt; R_min minus this is at least 2.
        leaders: the clients that may make a group key, the usual one first, then those that step in for it.
        aggregators: n = 2..7.
        clients: m >= 2.
        hub_key: the hub's 32-byte Ed25519 public key; aggregators act on nobody else's requests.
        initial_state: H(state) of the training state that the task begins with, 32 bytes.
        settings: SHA-256 of the canonical file of settings that clients train with, 32 bytes.
        bulk_hash: what large vectors are hashed with.
        mode: who gets the sum: ``sealed``, the clients alone, or ``public``, everyone.
        privacy: the limit of an update's L2 norm; None for none.

    Raises:
        ParameterError: an unsafe combination; names the value and the remedy.
    """

    dimension: int
    encoding: FixedPoint
    roster_min: int
    corrupt_clients: int
    leaders: tuple[int, ...]
    aggregators: tuple[Party, ...]
    clients: tuple[Party, ...]
    hub_key: bytes
    initial_state: bytes
    settings: bytes
    bulk_hash: BulkHash
    mode: str = SEALED_MODE
    privacy: Privacy | None = None

    def __post_init__(self) -> None:
        self._require_parties()
        size = len(self.clients)
        if self.dimension < 1:
            raise ParameterError(f"dimension = {self.dimension}", "give the number of model parameters")
        if self.share_bytes > MAX_STREAM_BYTES:
            raise ParameterError(
                f"dimension = {self.dimension} needs a longer key stream than 2^30 blocks", "train a smaller model"
            )
        if self.mode not in (SEALED_MODE, PUBLIC_MODE):
            raise ParameterError(
                f"mode = {self.mode!r} is neither sealed nor public",
                f'use "{SEALED_MODE}" (the average goes to the clients alone) or "{PUBLIC_MODE}" (to everyone)',
            )
        if not 2 <= self.roster_min <= self.roster_max <= size:
            raise ParameterError(
                f"roster_min = {self.roster_min} and roster_max = {self.roster_max} do not fit {size} clients",
                "2 <= roster_min <= roster_max <= number of clients",
            )
        if self.corrupt_clients < 0 or self.roster_min - self.corrupt_clients < 2:
            raise ParameterError(
                f"roster_min = {self.roster_min} with corrupt_clients = {self.corrupt_clients} leaves fewer than 2 "
                "honest clients to hide among",
                "raise roster_min or lower corrupt_clients",
            )
        if not self.leaders or len(set(self.leaders)) != len(self.leaders):
            raise ParameterError(
                f"leaders = {list(self.leaders)} is empty or names a client twice", "list the usual leader first"
            )
        for leader in self.leaders:
            if not 1 <= leader <= size:
                raise ParameterError(f"leaders: {leader} is no client", f"name clients from 1 to {size}")
        for name, value in (("initial_state", self.initial_state), ("settings", self.settings)):
            if len(value) != HASH_BYTES:
                raise ParameterError(
                    f"{name} has {len(value)} bytes", f"give a digest of {HASH_BYTES} bytes as hexadecimal digits"
                )

        if self.privacy is not None:
            self.privacy.require_fits(self.encoding, self.dimension, self.corrupt_clients)

    def _require_parties(self) -> None:
        if not 2 <= len(self.aggregators) <= MAX_AGGREGATORS:
            raise ParameterError(
                f"{len(self.aggregators)} aggregators",
                f"use 2 to {MAX_AGGREGATORS}: with one, that one would see every update",
            )
        if len(self.clients) < 2:
            raise ParameterError(f"{len(self.clients)} client(s)", "an average over fewer than 2 clients hides nothing")
        keys = [self.hub_key, *(party.public_key for party in (*self.aggregators, *self.clients))]
        if any(len(key) != PUBLIC_KEY_BYTES for key in keys):
            raise ParameterError(
                "a party's key is not an Ed25519 public key", f"give {PUBLIC_KEY_BYTES} bytes as hexadecimal digits"
            )
        if len(set(keys)) != len(keys):
            raise ParameterError(
                "two parties have the same key", "give the hub, every client and every aggregator a key of its own"
            )
        for role, parties in (("aggregators", self.aggregators), ("clients", self.clients)):
            if len({party.name for party in parties}) != len(parties):
                raise ParameterError(f"two {role} have the same name", "give each its own")
            for number, party in enumerate(parties, start=1):
                require_plain_name(party.name, f"[[{role}]] number {number}: name")
                if party.organisation:
                    require_plain_name(party.organisation, f"[[{role}]] number {number}: organisation")

    @property
    def sealed(self) -> bool:
        """Whether the sum is masked, so that the clients alone can read it."""
        return self.mode == SEALED_MODE

    @property
    def field(self) -> Field:
        """The field of the sum."""
        return self.encoding.field

    @property
    def roster_max(self) -> int:
        """R_max; a larger roster is refused."""
        return self.encoding.roster_max

    @property
    def share_elements(self) -> int:
        """Elements of an upload: d values, the weight, k tags."""
        return self.dimension + 1 + self.field.tags

    @property
    def share_bytes(self) -> int:
        """Bytes of an upload's elements."""
        return self.share_elements * self.field.element_bytes

    @property
    def aggregator_numbers(self) -> range:
        """1..n."""
        return range(1, len(self.aggregators) + 1)

    @property
    def is_fixed_cohort(self) -> bool:
        """Whether every roster holds every client: R_min = R_max = m."""
        return self.roster_min == self.roster_max == len(self.clients)

    def digest(self) -> bytes:
        """H(manifest), over every field in a fixed order."""
        encoding = self.encoding
        parties = [
            encode_tuple((role, party.name, party.public_key, party.organisation))
            for role, group in ((Role.AGGREGATOR, self.aggregators), (Role.CLIENT, self.clients))
            for party in group
        ]
        return digest(
            Label.MANIFEST, Role.ALL, b"", MANIFEST_VERSION, self.bulk_hash.value, encoding.field.name, self.dimension,
            encoding.clip.hex(), encoding.scale_bits, encoding.weight_max, encoding.noise_bound, self.mode,
            self.roster_min, self.roster_max, self.corrupt_clients, self.hub_key, self.initial_state, self.settings,
            len(self.leaders), *self.leaders, len(self.aggregators), len(self.clients), *parties,
            privacy_part(self.privacy),
        )  # fmt: skip

    def weights_seed(self, seed: int) -> bytes:
        """32 bytes from which the first weights of a fresh start are drawn: of no other task, so never used before.

        They follow from the manifest but for the digest of the state that holds them; every party draws them itself
        before it pins the manifest.
        """
        without = replace(self, initial_state=bytes(HASH_BYTES)).digest()
        return digest(Label.INITIAL_WEIGHTS, Role.ALL, b"", without, seed)

    def to_toml(self) -> str:
        """The manifest as people read and pin it."""
        encoding = self.encoding
        lines = [
            f"version = {MANIFEST_VERSION}", f'bulk_hash = "{self.bulk_hash.value}"',
            f'field = "{encoding.field.name}"', f"dimension = {self.dimension}",
            f"clip = {encoding.clip!r}", f"scale_bits = {encoding.scale_bits}", f"weight_max = {encoding.weight_max}",
            f"noise_bound = {encoding.noise_bound}", f'mode = "{self.mode}"', f"roster_min = {self.roster_min}",
            f"roster_max = {self.roster_max}", f"corrupt_clients = {self.corrupt_clients}",
            f"leaders = {list(self.leaders)}", f'hub_key = "{self.hub_key.hex()}"',
            f'initial_state = "{self.initial_state.hex()}"', f'settings = "{self.settings.hex()}"',
        ]  # fmt: skip
        if self.privacy is not None:
            lines += ["", *self.privacy.to_toml_lines()]
        for role, parties in (("aggregators", self.aggregators), ("clients", self.clients)):
            for party in parties:
                lines += [
                    "",
                    f"[[{role}]]",
                    f"name = {_quoted(party.name)}",
                    f'public_key = "{party.public_key.hex()}"',
                ]
                lines += [f"organisation = {_quoted(party.organisation)}"]
        return "\n".join(lines) + "\n"


def manifest_from_toml(text: str) -> Manifest:
    """Read a manifest.

    Raises:
        ConfigError: not TOML, an unknown or missing key, a value of the wrong type.
        ParameterError: an unsafe combination of values.
    """
    require_flat(text)
    try:
        table = tomllib.loads(text)
    except ValueError as error:  # nothing nests, so a parser does not recurse either
        raise ConfigError(f"the manifest is not valid TOML ({error})", "correct that line") from None
    reader = _Table(table, "the manifest")
    _require_version(reader.integer("version"))
    encoding = FixedPoint(
        field=field_by_name(reader.text("field")),
        clip=reader.number("clip"),
        scale_bits=reader.integer("scale_bits"),
        weight_max=reader.integer("weight_max"),
        roster_max=reader.integer("roster_max"),
        noise_bound=reader.integer("noise_bound"),
    )
    manifest = Manifest(
        dimension=reader.integer("dimension"),
        encoding=encoding,
        roster_min=reader.integer("roster_min"),
        corrupt_clients=reader.integer("corrupt_clients"),
        leaders=reader.integers("leaders"),
        hub_key=reader.hexadecimal("hub_key"),
        initial_state=reader.hexadecimal("initial_state"),
        settings=reader.hexadecimal("settings"),
        bulk_hash=bulk_hash_by_name(reader.text("bulk_hash")),
        mode=reader.text("mode"),
        aggregators=_parties(reader.tables("aggregators"), "aggregators"),
        clients=_parties(reader.tables("clients"), "clients"),
        privacy=privacy_from_table(reader.table("privacy")) if "privacy" in table else None,
    )
    reader.require_no_more()
    return manifest


def _parties(tables: Sequence[Mapping[str, Any]], role: str) -> tuple[Party, ...]:
    parties = []
    for position, table in enumerate(tables, start=1):
        reader = _Table(table, f"[[{role}]] number {position}")
        parties.append(Party(reader.text("name"), reader.hexadecimal("public_key"), reader.text("organisation")))
        reader.require_no_more()
    return tuple(parties)


def _require_version(version: int) -> None:
    if version == 1:
        raise ConfigError(
            "the manifest is of version 1, whose recovery after lost stores was broken",
            f"make a manifest of version {MANIFEST_VERSION}, with new keys",
        )
    if version != MANIFEST_VERSION:
        raise ConfigError(f"manifest version {version} is not {MANIFEST_VERSION}", "update privateyes or the manifest")


class _Table:
    """Typed reading of one TOML table that remembers which keys were used."""

    def __init__(self, table: Mapping[str, Any], where: str) -> None:
        self.where = where
        self._table = table
        self._read: set[str] = set()

    def _value(self, key: str, kinds: tuple[type, ...], what: str) -> Any:
        self._read.add(key)
        if key not in self._table:
            raise ConfigError(f"{self.where}: key {key} is missing", f"add {key}, {what}")
        value = self._table[key]
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise ConfigError(f"{self.where}: {key} = {value!r}", f"give {what}")
        return value

    def integer(self, key: str) -> int:
        value = int(self._value(key, (int,), "a whole number"))
        if value.bit_length() > 63:  # beyond what TOML promises; one of thousands of digits could not even be shown
            raise ConfigError(f"{self.where}: {key} is too large", "give a smaller number")
        return value

    def number(self, key: str) -> float:
        value = self._value(key, (int, float), "a number")
        try:
            return float(value)
        except OverflowError:
            raise ConfigError(f"{self.where}: {key} is too large", "give a smaller number") from None

    def text(self, key: str) -> str:
        return _printable(str(self._value(key, (str,), "a text in quotes")))

    def hexadecimal(self, key: str) -> bytes:
        digits = self.text(key)
        if not _HEXADECIMAL.fullmatch(digits):
            raise ConfigError(
                f"{self.where}: {key} is not hexadecimal, in pairs of the digits 0-9 and a-f",
                "copy it as it was given to you",
            )
        return bytes.fromhex(digits)

    def integers(self, key: str) -> tuple[int, ...]:
        values = self._value(key, (list,), "a list of whole numbers")
        if not all(isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 32 for value in values):
            raise ConfigError(f"{self.where}: {key} = {values!r}", "give a list of whole numbers")
        return tuple(values)

    def tables(self, key: str) -> list[Mapping[str, Any]]:
        tables: list[Mapping[str, Any]] = self._value(key, (list,), f"a list of [[{key}]] tables")
        if not all(isinstance(table, Mapping) for table in tables):
            raise ConfigError(f"{self.where}: {key} is not a list of tables", f"write [[{key}]] for each")
        return tables

    def table(self, key: str) -> Mapping[str, Any]:
        table: Mapping[str, Any] = self._value(key, (dict,), f"the table [{key}]")
        return table

    def require_no_more(self) -> None:
        unknown = sorted(set(self._table) - self._read)
        if unknown:
            raise ConfigError(f"{self.where}: unknown key {unknown[0]}", "remove it")


def _quoted(text: str) -> str:
    escaped = _printable(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _printable(text: str) -> str:
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise ConfigError(f"the text {text!r} holds a control character", "use printable characters")
    return text

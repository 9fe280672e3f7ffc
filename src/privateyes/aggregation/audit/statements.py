"""Statements whose signatures verify, by class and signer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeVar, cast

from privateyes.aggregation.audit.findings import HUB, aggregator_party, client_party
from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.messages import Header, Signed
from privateyes.crypto.labels import Role
from privateyes.errors import MalformedError

S = TypeVar("S", bound=Signed)

_NOBODY: Final = "a party that the manifest does not name"


@dataclass(slots=True)
class Statements:
    """Verified statements by class and signer; equal ones once.

    Headers count as equal only with their signatures, because rosters name the hash of both.
    """

    _found: dict[type[Signed], dict[int, dict[bytes, Signed]]] = field(default_factory=dict)

    def add(self, message: Signed, signer: int, context: bytes) -> None:
        """Keep a message whose signature was checked."""
        own = self._found.setdefault(type(message), {}).setdefault(signer, {})
        own.setdefault(
            message.to_bytes() if isinstance(message, Header) else message.signed_statement(context), message
        )

    def has(self, header: Header, client: int) -> bool:
        """Whether a header is among the client's verified ones."""
        return header.to_bytes() in self._found.get(Header, {}).get(client, {})

    def of(self, kind: type[S]) -> dict[int, tuple[S, ...]]:
        """What each signer said in messages of one class, ascending by signer."""
        found = self._found.get(kind, {})
        return {signer: tuple(cast(S, message) for message in found[signer].values()) for signer in sorted(found)}

    def all_of(self, kind: type[S]) -> tuple[S, ...]:
        """All statements of one class."""
        return tuple(message for messages in self.of(kind).values() for message in messages)

    def single(self, kind: type[S]) -> dict[int, S]:
        """By signer, for those that made exactly one statement of that class."""
        return {signer: messages[0] for signer, messages in self.of(kind).items() if len(messages) == 1}

    @property
    def kinds(self) -> set[type[Signed]]:
        """The classes of which there are any."""
        return set(self._found)

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(len(own) for by_signer in self._found.values() for own in by_signer.values())


def signer_of(manifest: Manifest, message: Signed) -> tuple[int, str, bytes | None]:
    """Who a message says it is from: number, name, and the pinned key unless the manifest knows no such party."""
    number = message.signer
    if message.role is Role.HUB:
        return number, HUB, manifest.hub_key
    if message.role is Role.AGGREGATOR:
        parties, name = manifest.aggregators, aggregator_party(number)
    else:
        parties, name = manifest.clients, client_party(number)
    return (number, name, parties[number - 1].public_key) if 1 <= number <= len(parties) else (number, _NOBODY, None)


def is_signed(manifest: Manifest, message: Signed, context: bytes) -> bool:
    """Whether the party that a message names signed it."""
    _, _, key = signer_of(manifest, message)
    if key is None:
        return False
    try:
        message.require_signature_of(key, context)
    except MalformedError:
        return False
    return True

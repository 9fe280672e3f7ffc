"""What a party looks at before it pins a manifest: who runs what, and how another copy differs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from privateyes.aggregation.manifest import Manifest, Party


def fingerprint(key: bytes) -> str:
    """The first half of a public key, as two people compare it: 32 hexadecimal digits in groups of four."""
    text = key.hex()[:32]
    return " ".join(text[start : start + 4] for start in range(0, len(text), 4))


def parameters(manifest: Manifest) -> dict[str, str]:
    """The task's parameters as they stand in the file, by key."""
    encoding = manifest.encoding
    return {
        "field": encoding.field.name,
        "dimension": str(manifest.dimension),
        "clip": repr(encoding.clip),
        "scale_bits": str(encoding.scale_bits),
        "weight_max": str(encoding.weight_max),
        "noise_bound": str(encoding.noise_bound),
        "mode": manifest.mode,
        "roster_min": str(manifest.roster_min),
        "roster_max": str(manifest.roster_max),
        "corrupt_clients": str(manifest.corrupt_clients),
        "leader": str(manifest.leader),
    }


def independence_warnings(manifest: Manifest) -> list[str]:
    """Where fewer parties are independent than the manifest lists (docs/threat-model.md, "The parties")."""
    return list(_warnings(manifest))


def _warnings(manifest: Manifest) -> Iterator[str]:
    aggregators, clients = _by_organisation(manifest.aggregators), _by_organisation(manifest.clients)
    unnamed = [party.name for party in manifest.aggregators if not party.organisation.strip()]
    if unnamed:
        yield (
            f"no organisation is named for {_listed('aggregator', unnamed)}: nothing here shows that the aggregators "
            "are independent; name who operates each"
        )
    independent = len(aggregators) + len(unnamed)
    for names in aggregators.values():
        if len(names) == len(manifest.aggregators):
            yield f"{_organisation(manifest, names[0])} operates every aggregator: it can read every update"
        elif len(names) > 1:
            yield (
                f"{_organisation(manifest, names[0])} operates {_listed('aggregator', names)}: they count as one, so "
                f"the {len(manifest.aggregators)} aggregators are at most {independent} independent ones"
            )
    for key, names in aggregators.items():
        if key in clients:
            yield (
                f"{_organisation(manifest, names[0])} operates {_listed('aggregator', names)} and "
                f"{_listed('client', clients[key])}: if it is corrupt, it is one corrupt client beside a corrupt "
                "aggregator, and can shift the average blindly within the clip"
            )


def _by_organisation(parties: tuple[Party, ...]) -> dict[str, list[str]]:
    """Names by organisation; case and spaces do not make two of one."""
    found: dict[str, list[str]] = defaultdict(list)
    for party in parties:
        key = " ".join(party.organisation.casefold().split())
        if key:
            found[key].append(party.name)
    return dict(found)


def _organisation(manifest: Manifest, aggregator: str) -> str:
    return next(party.organisation for party in manifest.aggregators if party.name == aggregator)


def _listed(role: str, names: list[str]) -> str:
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f"{role if len(names) == 1 else role + 's'} {shown}"


def differences(mine: Manifest, theirs: Manifest) -> list[str]:
    """Every difference between the pinned manifest and another copy, one line each; none means the same task."""
    lines = [
        f"{key}: {value} here, {parameters(theirs)[key]} there"
        for key, value in parameters(mine).items()
        if value != parameters(theirs)[key]
    ]
    for role, own, others in (
        ("aggregator", mine.aggregators, theirs.aggregators),
        ("client", mine.clients, theirs.clients),
    ):
        for number in range(1, max(len(own), len(others)) + 1):
            lines += _party_differences(f"{role} {number}", own[number - 1 : number], others[number - 1 : number])
    return lines


def _party_differences(where: str, own: tuple[Party, ...], other: tuple[Party, ...]) -> Iterator[str]:
    if not own or not other:
        name, place = (other[0].name, "there") if other else (own[0].name, "here")
        yield f"{where}: {name!r} only {place}"
        return
    (mine,), (theirs,) = own, other
    if mine.name != theirs.name:
        yield f"{where}: name {mine.name!r} here, {theirs.name!r} there"
    if mine.public_key != theirs.public_key:
        yield f"{where}: key {fingerprint(mine.public_key)} here, {fingerprint(theirs.public_key)} there"
    if mine.organisation != theirs.organisation:
        yield f"{where}: organisation {mine.organisation!r} here, {theirs.organisation!r} there"

"""What a party looks at before it pins a manifest: who runs what, and how another copy differs."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from itertools import zip_longest

from privateyes.aggregation.manifest import Manifest, Party


def fingerprint(key: bytes) -> str:
    """The first half of a public key, as two people compare it: 32 hexadecimal digits in groups of four."""
    text = key.hex()[:32]
    return " ".join(text[start : start + 4] for start in range(0, len(text), 4))


def parameters(manifest: Manifest) -> dict[str, str]:
    """The task's parameters as they stand in the file, by key."""
    encoding = manifest.encoding
    return {
        "bulk_hash": manifest.bulk_hash.value,
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
        "leaders": ", ".join(str(leader) for leader in manifest.leaders),
        "hub_key": manifest.hub_key.hex(),
        "initial_state": manifest.initial_state.hex(),
        "settings": manifest.settings.hex(),
        "privacy": ", ".join(manifest.privacy.to_toml_lines()[1:]) if manifest.privacy is not None else "none",
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
            yield f"{_organisation(manifest.aggregators, names[0])} operates every aggregator: it can read every update"
        elif len(names) > 1:
            yield (
                f"{_organisation(manifest.aggregators, names[0])} operates {_listed('aggregator', names)}: they count "
                f"as one, so the {len(manifest.aggregators)} aggregators are at most {independent} independent ones"
            )
    for names in clients.values():
        if len(names) > 1:
            yield (
                f"{_organisation(manifest.clients, names[0])} operates {_listed('client', names)}: if it is corrupt, "
                f"those are {len(names)} corrupt clients, where corrupt_clients = {manifest.corrupt_clients}, and an "
                "average hides a client only among the others"
            )
    for key, names in aggregators.items():
        if key in clients:
            count = "one corrupt client" if len(clients[key]) == 1 else f"{len(clients[key])} corrupt clients"
            yield (
                f"{_organisation(manifest.aggregators, names[0])} operates {_listed('aggregator', names)} and "
                f"{_listed('client', clients[key])}: if it is corrupt, it is {count} beside a corrupt aggregator, and "
                "can shift the average blindly within the clip"
            )


def _by_organisation(parties: tuple[Party, ...]) -> dict[str, list[str]]:
    """Names by organisation; case, spaces and other widths of letters do not make two of one."""
    found: dict[str, list[str]] = defaultdict(list)
    for party in parties:
        key = " ".join(unicodedata.normalize("NFKC", party.organisation).casefold().split())
        if key:
            found[key].append(party.name)
    return dict(found)


def _organisation(parties: tuple[Party, ...], name: str) -> str:
    return next(party.organisation for party in parties if party.name == name)


def _listed(role: str, names: list[str]) -> str:
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f"{role if len(names) == 1 else role + 's'} {shown}"


def differences(mine: Manifest, theirs: Manifest, places: tuple[str, str] = ("here", "there")) -> list[str]:
    """Every difference between the pinned manifest and another copy, one line each; none means the same task.

    Args:
        places: what the lines call the two.
    """
    here, there = places
    others = parameters(theirs)
    lines = [
        f"{key}: {value} {here}, {others[key]} {there}"
        for key, value in parameters(mine).items()
        if value != others[key]
    ]
    for role, own, other in (
        ("aggregator", mine.aggregators, theirs.aggregators),
        ("client", mine.clients, theirs.clients),
    ):
        for number, (left, right) in enumerate(zip_longest(own, other), start=1):
            lines += [f"{role} {number}: {line}" for line in _party_differences(left, right, here, there)]
    return lines


def _party_differences(mine: Party | None, theirs: Party | None, here: str, there: str) -> Iterator[str]:
    if mine is None or theirs is None:
        if mine is not None:
            yield f"{mine.name!r} only {here}"
        if theirs is not None:
            yield f"{theirs.name!r} only {there}"
        return
    if mine.name != theirs.name:
        yield f"name {mine.name!r} {here}, {theirs.name!r} {there}"
    if mine.public_key != theirs.public_key:
        yield f"key {fingerprint(mine.public_key)} {here}, {fingerprint(theirs.public_key)} {there}"
    if mine.organisation != theirs.organisation:
        yield f"organisation {mine.organisation!r} {here}, {theirs.organisation!r} {there}"

"""manifests.json: files and their digests, and files that are refused."""

from __future__ import annotations

from typing import Any

from privateyes.aggregation.keys import setup_id
from privateyes.aggregation.manifest import Manifest, Party, manifest_from_toml
from privateyes.crypto.field import COMPACT, WIDE
from privateyes.crypto.signature import SigningKey
from privateyes.encoding.fixed_point import FixedPoint, exact_clip
from vectors.values import refusal, require, secret


def _parties(role: str, count: int, organisation: str = "") -> tuple[Party, ...]:
    return tuple(
        Party(f"{role} {number}", SigningKey(secret(f"manifests/{role} {number}")).public_bytes, organisation)
        for number in range(1, count + 1)
    )


def _plain() -> Manifest:
    return Manifest(
        dimension=10, encoding=FixedPoint(COMPACT, 1.5, 8, 20, 4), roster_min=3, corrupt_clients=1, leader=2,
        aggregators=_parties("aggregator", 3, "operator"), clients=_parties("client", 5, "clinic"),
    )  # fmt: skip


def _legal() -> list[tuple[str, str]]:
    public = Manifest(
        dimension=78_122, encoding=FixedPoint(WIDE, exact_clip(0.1), 30, 1000, 15, noise_bound=7), roster_min=15,
        corrupt_clients=0, leader=15, aggregators=_parties("aggregator", 2), clients=_parties("client", 15),
        mode="public",
    )  # fmt: skip
    names = (Party('quoted "name"', secret("manifests/a")), Party("back\\slash, ä, 眼", secret("manifests/b"), "ü"))
    named = Manifest(
        dimension=1, encoding=FixedPoint(COMPACT, 2.0**-20, 40, 1, 2), roster_min=2, corrupt_clients=0, leader=1,
        aggregators=_parties("aggregator", 7), clients=names,
    )  # fmt: skip
    plain = _plain().to_toml()
    loose = "# a comment\n" + plain.replace("clip = 1.5", "clip    =  15e-1").replace("leader = 2", "leader = 0x2")
    return [
        ("compact, sealed", plain),
        ("the same values written in another way: the same digest", loose),
        ("wide, public, with noise", public.to_toml()),
        ("seven aggregators, unusual names", named.to_toml()),
        ("a whole number as clip", plain.replace("clip = 1.5", "clip = 2")),
    ]


def _many(role: str, count: int) -> str:
    return "".join(
        f'\n[[{role}]]\nname = "{party.name}"\npublic_key = "{party.public_key.hex()}"\norganisation = ""\n'
        for party in _parties(role[:-1], count)
    )


def _refused() -> list[tuple[str, str, str]]:
    text = _plain().to_toml()
    head = text[: text.index("\n[[aggregators]]")]
    key = text[text.index('public_key = "') + 14 :][:64]
    last = text[text.rindex('public_key = "') + 14 :][:64]
    replaced: list[tuple[str, str, str, str]] = [
        ("a later version", "version = 1", "version = 2", "ConfigError"),
        ("no version", "version = 1\n", "", "ConfigError"),
        ("a version that is true", "version = 1", "version = true", "ConfigError"),
        ("an unknown key", "leader = 2", "leader = 2\nextra = 1", "ConfigError"),
        ("a key given twice", "leader = 2", "leader = 2\nleader = 2", "ConfigError"),
        ("a number with a point where a whole one belongs", "leader = 2", "leader = 2.0", "ConfigError"),
        ("a number as text", "leader = 2", 'leader = "2"', "ConfigError"),
        ("a clip as text", "clip = 1.5", 'clip = "1.5"', "ConfigError"),
        ("a clip beyond every float", "clip = 1.5", f"clip = {10**400}", "ConfigError"),
        ("a ring in place of a field", 'field = "compact"', 'field = "ring64"', "ConfigError"),
        ("a mode that is a number", 'mode = "sealed"', "mode = 1", "ConfigError"),
        ("an unknown mode", 'mode = "sealed"', 'mode = "open"', "ParameterError"),
        ("no mode", 'mode = "sealed"\n', "", "ConfigError"),
        ("an unknown key of a party", 'organisation = "clinic"', 'organisation = "clinic"\nx = 1', "ConfigError"),
        ("a party without a name", 'name = "aggregator 1"\n', "", "ConfigError"),
        ("a key that is not hexadecimal", key, "x" * 64, "ConfigError"),
        ("a key of 31 bytes", key, key[:62], "ParameterError"),
        ("the same key twice", key, last, "ParameterError"),
        ("the same name twice", 'name = "client 2"', 'name = "client 1"', "ParameterError"),
        ("a clip that is no float32", "clip = 1.5", "clip = 0.1", "ParameterError"),
        ("a clip of zero", "clip = 1.5", "clip = 0.0", "ParameterError"),
        ("a clip that is not a number", "clip = 1.5", "clip = nan", "ParameterError"),
        ("an infinite clip", "clip = 1.5", "clip = inf", "ParameterError"),
        ("a scale that could wrap the sum", "scale_bits = 8", "scale_bits = 40", "ParameterError"),
        ("weights that could wrap their sum", "weight_max = 20", "weight_max = 16777217", "ParameterError"),
        ("noise that could wrap the sum", "noise_bound = 0", "noise_bound = 300000000", "ParameterError"),
        ("no parameters", "dimension = 10", "dimension = 0", "ParameterError"),
        ("more parameters than a stream has words", "dimension = 10", "dimension = 4294967296", "ParameterError"),
        ("a roster of one", "roster_min = 3", "roster_min = 1", "ParameterError"),
        ("fewer than two honest clients", "corrupt_clients = 1", "corrupt_clients = 2", "ParameterError"),
        ("a negative number of corrupt clients", "corrupt_clients = 1", "corrupt_clients = -1", "ParameterError"),
        ("R_min above R_max", "roster_min = 3", "roster_min = 5", "ParameterError"),
        ("R_max above the number of clients", "roster_max = 4", "roster_max = 6", "ParameterError"),
        ("a leader that is no client", "leader = 2", "leader = 6", "ParameterError"),
    ]
    cases = [(about, text.replace(old, new, 1), error) for about, old, new, error in replaced]
    unchanged = [about for about, changed, _ in cases if changed == text]
    if unchanged:
        raise RuntimeError(f"not changed: {unchanged}")
    whole = head.replace("corrupt_clients = 1", "corrupt_clients = 0")
    return [
        *cases,
        ("not TOML", "= \n" + text, "ConfigError"),
        ("cut off", text[:-3], "ConfigError"),
        ("nothing", "", "ConfigError"),
        ("no clients", head + _many("aggregators", 2), "ConfigError"),
        ("one aggregator", whole + _many("aggregators", 1) + _many("clients", 5), "ParameterError"),
        ("eight aggregators", whole + _many("aggregators", 8) + _many("clients", 5), "ParameterError"),
        ("aggregators that are no tables", "aggregators = [1]\n" + head + _many("clients", 5), "ConfigError"),
    ]


def make() -> dict[str, Any]:
    """Legal files with digests; refused ones with the class of the error."""
    accepted = []
    for about, text in _legal():
        manifest = manifest_from_toml(text)
        ids = {str(epoch): setup_id(manifest.digest(), epoch) for epoch in (1, 2)}
        accepted.append({"about": about, "toml": text, "digest": manifest.digest(), "setup_id_of_epoch": ids,
                         "share_elements": manifest.share_elements})  # fmt: skip
    refused = []
    for about, text, error in _refused():
        got = refusal(lambda text=text: manifest_from_toml(text))
        refused.append({"about": about, "toml": text, **require({"error": error}, got, about)})
    return {"about": "manifests, docs/protocol.md, Setup 1", "accepted": accepted, "refused": refused}

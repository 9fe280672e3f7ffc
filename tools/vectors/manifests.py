"""manifests.json: files and their digests, and files that are refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from privateyes.aggregation.manifest import Manifest, Party, manifest_from_toml
from privateyes.aggregation.privacy_section import Privacy
from privateyes.crypto.bulk import BulkHash
from privateyes.crypto.field import COMPACT, WIDE
from privateyes.crypto.signature import SigningKey
from privateyes.encoding.fixed_point import FixedPoint, exact_clip
from vectors.values import refusal, require, secret

PRIVACY = """
[privacy]
norm_clip = 2.5
noise = "none"
"""
NAMED = ("hub_key", "initial_state", "settings")


def _parties(role: str, count: int, organisation: str = "") -> tuple[Party, ...]:
    return tuple(
        Party(f"{role} {number}", SigningKey(secret(f"manifests/{role} {number}")).public_bytes, organisation)
        for number in range(1, count + 1)
    )


def _manifest(
    dimension: int, encoding: FixedPoint, roster_min: int, aggregators: Sequence[Party], clients: Sequence[Party],
    leaders: tuple[int, ...] = (1,), corrupt_clients: int = 0, bulk_hash: BulkHash = BulkHash.BLAKE3,
    mode: str = "sealed", privacy: Privacy | None = None,
) -> Manifest:  # fmt: skip
    return Manifest(
        dimension=dimension,
        encoding=encoding,
        roster_min=roster_min,
        corrupt_clients=corrupt_clients,
        leaders=leaders,
        aggregators=tuple(aggregators),
        clients=tuple(clients),
        hub_key=SigningKey(secret("manifests/hub")).public_bytes,
        initial_state=secret("manifests/initial state"),
        settings=secret("manifests/settings"),
        bulk_hash=bulk_hash,
        mode=mode,
        privacy=privacy,
    )


def _plain() -> Manifest:
    return _manifest(
        10, FixedPoint(COMPACT, 1.5, 8, 20, 4), 3, _parties("aggregator", 3, "operator"),
        _parties("client", 5, "clinic"), leaders=(2, 5), corrupt_clients=1,
    )  # fmt: skip


def _legal() -> list[tuple[str, str]]:
    public = _manifest(
        78_122, FixedPoint(WIDE, exact_clip(0.1), 30, 1000, 15, noise_bound=7), 15, _parties("aggregator", 2),
        _parties("client", 15), leaders=(15, 1, 7), bulk_hash=BulkHash.SHA256, mode="public",
        privacy=Privacy(exact_clip(0.3)),
    )  # fmt: skip
    names = (Party('quoted "name"', secret("manifests/a")), Party("back\\slash, ä, 眼", secret("manifests/b"), "ü"))
    named = _manifest(1, FixedPoint(COMPACT, 2.0**-20, 40, 1, 2), 2, _parties("aggregator", 7), names)
    plain = _plain().to_toml()
    loose = plain.replace("clip = 1.5", "clip    =  15e-1").replace("leaders = [2, 5]", "leaders = [0x2, 5]")
    limited = plain.replace("\n[[aggregators]]", f"{PRIVACY}\n[[aggregators]]", 1)
    return [
        ("compact, sealed, blake3", plain),
        ("the same values written in another way: the same digest", "# a comment\n" + loose),
        ("wide, public, sha256, a noise bound, three leaders, a limit of the norm", public.to_toml()),
        ("seven aggregators, unusual names", named.to_toml()),
        ("a whole number as clip", plain.replace("clip = 1.5", "clip = 2")),
        ("the leaders in another order", plain.replace("leaders = [2, 5]", "leaders = [5, 2]")),
        ("the other bulk hash", plain.replace('"blake3"', '"sha256"')),
        ("a limit of the L2 norm", limited),
        ("another limit", limited.replace("norm_clip = 2.5", "norm_clip = 0.25")),
        ("the least limit for 10 parameters: 13 steps of the grid", limited.replace("2.5", "0.05078125")),
    ]


def _many(role: str, count: int) -> str:
    return "".join(
        f'\n[[{role}]]\nname = "{party.name}"\npublic_key = "{party.public_key.hex()}"\norganisation = ""\n'
        for party in _parties(role[:-1], count)
    )


def _refused() -> list[tuple[str, dict[str, str], str]]:
    text = _plain().to_toml()
    head = text[: text.index("\n[[aggregators]]")]
    key = text[text.index('public_key = "') + 14 :][:64]
    last = text[text.rindex('public_key = "') + 14 :][:64]
    hub, state, settings = (text[text.index(f'{name} = "') :].split('"')[1] for name in NAMED)
    replaced: list[tuple[str, str, str, str]] = [
        ("a manifest of protocol version 1", "version = 2", "version = 1", "ConfigError"),
        ("a later version", "version = 2", "version = 3", "ConfigError"),
        ("version 0", "version = 2", "version = 0", "ConfigError"),
        ("no version", "version = 2\n", "", "ConfigError"),
        ("a version that is true", "version = 2", "version = true", "ConfigError"),
        ("an unknown key", "roster_min = 3", "roster_min = 3\nextra = 1", "ConfigError"),
        ("the leader of version 1", "leaders = [2, 5]", "leader = 2", "ConfigError"),
        ("a key given twice", "roster_min = 3", "roster_min = 3\nroster_min = 3", "ConfigError"),
        ("a number with a point where a whole one belongs", "roster_min = 3", "roster_min = 3.0", "ConfigError"),
        ("a number as text", "roster_min = 3", 'roster_min = "3"', "ConfigError"),
        ("a number beyond 63 bits", "roster_min = 3", f"roster_min = {2**63}", "ConfigError"),
        ("no bulk hash: there is no default", 'bulk_hash = "blake3"\n', "", "ConfigError"),
        ("an unknown bulk hash", '"blake3"', '"sha512"', "ConfigError"),
        ("a bulk hash in capital letters", '"blake3"', '"BLAKE3"', "ConfigError"),
        ("no hub's key", "hub_key", "hub_kex", "ConfigError"),
        ("a hub's key of 31 bytes", hub, hub[:62], "ParameterError"),
        ("the hub has a client's key", hub, last, "ParameterError"),
        ("the hub has an aggregator's key", hub, key, "ParameterError"),
        ("no initial state", "initial_state", "initial_stats", "ConfigError"),
        ("an initial state of 31 bytes", state, state[:62], "ParameterError"),
        ("an initial state of 33 bytes", state, state + "00", "ParameterError"),
        ("settings of 31 bytes", settings, settings[:62], "ParameterError"),
        ("settings that are not hexadecimal", settings, "x" * 64, "ConfigError"),
        ("no leaders", "leaders = [2, 5]", "leaders = []", "ParameterError"),
        ("a leader twice", "leaders = [2, 5]", "leaders = [2, 5, 2]", "ParameterError"),
        ("client 0 as leader", "leaders = [2, 5]", "leaders = [0]", "ParameterError"),
        ("a fallback leader that is no client", "leaders = [2, 5]", "leaders = [2, 6]", "ParameterError"),
        ("leaders that are no list", "leaders = [2, 5]", "leaders = 2", "ConfigError"),
        ("a leader that is a text", "leaders = [2, 5]", 'leaders = [2, "5"]', "ConfigError"),
        ("a leader that is true", "leaders = [2, 5]", "leaders = [2, true]", "ConfigError"),
        ("a negative leader", "leaders = [2, 5]", "leaders = [2, -1]", "ConfigError"),
        ("a leader beyond 32 bits", "leaders = [2, 5]", f"leaders = [2, {2**32}]", "ConfigError"),
        ("a clip as text", "clip = 1.5", 'clip = "1.5"', "ConfigError"),
        ("a clip beyond every float", "clip = 1.5", f"clip = {10**400}", "ConfigError"),
        ("a ring in place of a field", 'field = "compact"', 'field = "ring64"', "ConfigError"),
        ("a mode that is a number", 'mode = "sealed"', "mode = 1", "ConfigError"),
        ("an unknown mode", 'mode = "sealed"', 'mode = "open"', "ParameterError"),
        ("no mode", 'mode = "sealed"\n', "", "ConfigError"),
        ("an unknown key of a party", 'organisation = "clinic"', 'organisation = "clinic"\nx = 1', "ConfigError"),
        ("a control character in a name", 'name = "client 2"', 'name = "client\\u0007 2"', "ConfigError"),
        ("a character that turns the reading direction", 'name = "client 2"', 'name = "client\u202e 2"', "ConfigError"),
        ("a character without width", 'name = "client 2"', 'name = "client\u200b 2"', "ConfigError"),
        ("a line separator in an operator's name", '"operator"', '"oper\u2028ator"', "ConfigError"),
        ("an empty name", 'name = "client 2"', 'name = ""', "ConfigError"),
        ("a name of 201 characters", 'name = "client 2"', f'name = "{"x" * 201}"', "ConfigError"),
        ("a name that begins with a space", 'name = "client 2"', 'name = " client 2"', "ConfigError"),
        ("a dotted key", "roster_min = 3", "roster_min = 3\na.b = 1", "ConfigError"),
        ("a quoted key", "roster_min = 3", '"roster_min" = 3', "ConfigError"),
        ("a table as a value", "roster_min = 3", "roster_min = {a = 3}", "ConfigError"),
        ("a list in a list", "leaders = [2, 5]", "leaders = [[2, 5]]", "ConfigError"),
        ("a list over two lines", "leaders = [2, 5]", "leaders = [2,\n5]", "ConfigError"),
        ("a text of several lines", '"blake3"', '"""blake3"""', "ConfigError"),
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
    ]
    unchanged = [about for about, old, new, _ in replaced if text.replace(old, new, 1) == text]
    if unchanged:
        raise RuntimeError(f"not changed: {unchanged}")
    whole = head.replace("corrupt_clients = 1", "corrupt_clients = 0")
    return [
        *_refused_privacy(),
        *((about, {"old": old, "new": new}, error) for about, old, new, error in replaced),
        ("not TOML", {"old": "version", "new": "= \nversion"}, "ConfigError"),
        ("cut off", {"toml": text[:-3]}, "ConfigError"),
        ("nothing", {"toml": ""}, "ConfigError"),
        ("no clients", {"toml": head + _many("aggregators", 2)}, "ConfigError"),
        ("one client", {"toml": whole + _many("aggregators", 2) + _many("clients", 1)}, "ParameterError"),
        ("one aggregator", {"toml": whole + _many("aggregators", 1) + _many("clients", 5)}, "ParameterError"),
        ("eight aggregators", {"toml": whole + _many("aggregators", 8) + _many("clients", 5)}, "ParameterError"),
        ("aggregators that are no tables", {"toml": "aggregators = [1]\n" + head + _many("clients", 5)}, "ConfigError"),
    ]


def _refused_privacy() -> list[tuple[str, dict[str, str], str]]:
    """Files with a section [privacy] that says something else than the one that is legal."""
    sections: list[tuple[str, str, str, str]] = [
        ("a norm just too short for 10 parameters", "2.5", "0.05078124627470970", "ParameterError"),
        ("a norm of zero", "2.5", "0.0", "ParameterError"),
        ("a negative norm", "2.5", "-2.5", "ParameterError"),
        ("a norm that is no float32", "2.5", "0.1", "ParameterError"),
        ("an infinite norm", "2.5", "inf", "ParameterError"),
        ("a norm that is not a number", "2.5", "nan", "ParameterError"),
        ("a norm as text", "2.5", '"2.5"', "ConfigError"),
        ("no norm", "norm_clip = 2.5\n", "", "ConfigError"),
        ("no word on noise", 'noise = "none"\n', "", "ConfigError"),
        ("an unknown noise", '"none"', '"laplace"', "ParameterError"),
        ("noise that cannot be added yet", 'noise = "none"',
         'noise = "dgauss-640-255"\nunit = "client"\nnorm_bound = 100\nreleases = 5\ndelta = 1e-5', "ParameterError"),
        ("noise without its unit", '"none"', '"dgauss-640-255"', "ParameterError"),
        ("a bound in steps without noise", 'noise = "none"', 'noise = "none"\nnorm_bound = 640', "ParameterError"),
        ("a delta without noise", 'noise = "none"', 'noise = "none"\ndelta = 1e-5', "ParameterError"),
        ("releases without noise", 'noise = "none"', 'noise = "none"\nreleases = 5', "ParameterError"),
        ("a clip that follows the updates", 'noise = "none"', 'noise = "none"\nquantile = 0.5', "ConfigError"),
        ("an unknown key of the section", 'noise = "none"', 'noise = "none"\nextra = 1', "ConfigError"),
    ]  # fmt: skip
    if any(PRIVACY.replace(old, new, 1) == PRIVACY for _, old, new, _ in sections):
        raise RuntimeError("a section of [privacy] is not changed")
    end = "\n[[aggregators]]"
    cases = [(about, PRIVACY.replace(old, new, 1), error) for about, old, new, error in sections]
    cases.append(("privacy as a value", "\nprivacy = 1\n", "ConfigError"))
    return [(about, {"old": end, "new": f"{section}{end}"}, error) for about, section, error in cases]


def _text(case: dict[str, str]) -> str:
    return case["toml"] if "toml" in case else _plain().to_toml().replace(case["old"], case["new"], 1)


def make() -> dict[str, Any]:
    """Legal files with digests; refused ones with the class of the error."""
    accepted = []
    for about, text in _legal():
        manifest = manifest_from_toml(text)
        seeds = {str(seed): manifest.weights_seed(seed) for seed in (0, 1)}
        bound = None if manifest.privacy is None else manifest.privacy.limit(manifest.encoding).bound
        accepted.append({"about": about, "toml": text, "digest": manifest.digest(), "weights_seed": seeds,
                         "share_elements": manifest.share_elements, "fixed_cohort": manifest.is_fixed_cohort,
                         "norm_bound": bound})  # fmt: skip
    refused = []
    for about, case, error in _refused():
        got = refusal(lambda case=case: manifest_from_toml(_text(case)))
        refused.append({"about": about, **case, **require({"error": error}, got, about)})
    return {"about": "manifests, docs/protocol.md, Setup 1", "accepted": accepted, "refused": refused}

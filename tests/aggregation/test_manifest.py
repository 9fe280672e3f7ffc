"""A manifest is read strictly, written back exactly, and refuses unsafe combinations."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privateyes.aggregation.manifest import Manifest, Party, manifest_from_toml
from privateyes.aggregation.privacy_section import Privacy
from privateyes.crypto.field import COMPACT, WIDE
from privateyes.encoding.fixed_point import FixedPoint
from privateyes.errors import ConfigError, ParameterError


def _parties(kind: int, count: int) -> tuple[Party, ...]:
    return tuple(Party(f"p{number}", bytes([kind, number]) + bytes(30), "clinic") for number in range(count))


def _manifest(**changes) -> Manifest:
    values = {
        "dimension": 10,
        "encoding": FixedPoint(COMPACT, 1.5, 8, 20, 4),
        "roster_min": 3,
        "corrupt_clients": 1,
        "leader": 2,
        "aggregators": _parties(1, 3),
        "clients": _parties(2, 5),
    }
    return Manifest(**{**values, **changes})


NAMES = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=8).map(str.strip).filter(bool)


@given(
    st.lists(NAMES, min_size=2, max_size=7, unique=True),
    st.lists(NAMES, min_size=4, max_size=6, unique=True),
    NAMES,
    st.floats(2.0**-20, 30, width=32),
    st.sampled_from([COMPACT, WIDE]),
)
def test_what_is_written_is_read_back(aggregators, clients, organisation, clip, field) -> None:
    manifest = _manifest(
        encoding=FixedPoint(field, clip, 3, 20, 4, noise_bound=2),
        aggregators=tuple(Party(n, bytes([1, i]) + bytes(30), organisation) for i, n in enumerate(aggregators)),
        clients=tuple(Party(n, bytes([2, i]) + bytes(30)) for i, n in enumerate(clients)),
    )
    again = manifest_from_toml(manifest.to_toml())
    assert again == manifest
    assert again.digest() == manifest.digest()


def test_every_field_enters_the_digest() -> None:
    base = _manifest()
    party = base.clients[0]
    encoding = base.encoding
    others = [
        replace(base, dimension=11),
        replace(base, roster_min=4),
        replace(base, corrupt_clients=0),
        replace(base, leader=1),
        replace(base, aggregators=base.aggregators[:2]),
        replace(base, aggregators=base.aggregators[::-1]),
        replace(base, clients=base.clients[::-1]),
        replace(base, privacy=Privacy(2.0)),
        replace(base, privacy=Privacy(4.0)),
        *(replace(base, clients=(changed, *base.clients[1:])) for changed in (
            replace(party, name="q"), replace(party, public_key=bytes(32)), replace(party, organisation="q"),
        )),
        *(replace(base, encoding=changed) for changed in (
            replace(encoding, field=WIDE), replace(encoding, clip=1.25), replace(encoding, scale_bits=7),
            replace(encoding, weight_max=19), replace(encoding, roster_max=5), replace(encoding, noise_bound=1),
        )),
    ]  # fmt: skip
    assert len({manifest.digest() for manifest in (base, *others)}) == len(others) + 1
    assert {f.name for f in fields(Manifest)} == {
        "dimension", "encoding", "roster_min", "corrupt_clients", "leader", "aggregators", "clients", "mode",
        "privacy",
    }  # fmt: skip


def test_names_that_look_alike_when_joined_are_told_apart() -> None:
    def named(*pairs):
        return _manifest(clients=tuple(
            Party(name, bytes([2, i]) + bytes(30), organisation) for i, (name, organisation) in enumerate(pairs)
        ))  # fmt: skip

    rest = [("x", ""), ("y", ""), ("z", "")]
    assert named(("ab", "c"), *rest, ("w", "")).digest() != named(("a", "bc"), *rest, ("w", "")).digest()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"dimension": 0}, "dimension = 0"),
        ({"dimension": -3}, "dimension = -3"),
        ({"dimension": 2**40}, "longer key stream"),
        ({"mode": "open"}, "neither sealed nor public"),
        ({"roster_min": 1}, "roster_min = 1"),
        ({"roster_min": 5}, "roster_min = 5"),
        ({"clients": _parties(2, 3)}, "do not fit 3 clients"),
        ({"corrupt_clients": 2}, "fewer than 2 honest"),
        ({"corrupt_clients": -1}, "corrupt_clients = -1"),
        ({"leader": 0}, "leader = 0"),
        ({"leader": 6}, "leader = 6"),
        ({"aggregators": _parties(1, 1)}, "1 aggregators"),
        ({"aggregators": _parties(1, 8)}, "8 aggregators"),
        ({"aggregators": ()}, "0 aggregators"),
        ({"clients": _parties(2, 1)}, r"1 client\(s\)"),
        ({"clients": _parties(1, 5)}, "the same key"),
        ({"clients": (*_parties(2, 4), Party("p9", bytes(31)))}, "not an Ed25519"),
        ({"clients": (*_parties(2, 4), Party("p1", bytes(32)))}, "clients have the same name"),
        ({"aggregators": (*_parties(1, 2), Party("p1", bytes(32)))}, "aggregators have the same name"),
    ],
)
def test_an_unsafe_combination_is_refused_with_a_remedy(changes, problem) -> None:
    with pytest.raises(ParameterError, match=problem) as refusal:
        _manifest(**changes)
    assert refusal.value.remedy


def test_an_aggregator_and_a_client_may_share_a_name_but_no_key() -> None:
    assert _manifest().clients[0].name == _manifest().aggregators[0].name


TEXT = _manifest().to_toml()


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("version = 1", "version = 2", "manifest version 2"),
        ("version = 1", "", "key version is missing"),
        ("version = 1", "version = true", "version = True"),
        ("leader = 2", "leader = 2\nextra = 1", "unknown key extra"),
        ("leader = 2", "leader = 2\nleader = 2", "not valid TOML"),
        ("leader = 2", "leader = 2.0", "leader = 2.0"),
        ("leader = 2", 'leader = "2"', "leader = '2'"),
        ("clip = 1.5", 'clip = "1.5"', "clip = '1.5'"),
        ("clip = 1.5", f"clip = {10**400}", "clip is too large"),
        ('field = "compact"', 'field = "ring"', "'ring' is not a field"),
        ('mode = "sealed"', "mode = 1", "mode = 1"),
        ('organisation = "clinic"', 'organisation = "clinic"\ncolour = "red"', "unknown key colour"),
        ('name = "p0"\n', "", r"\[\[aggregators\]\] number 1: key name is missing"),
        ("public_key = \"01", "public_key = \"xx", "not hexadecimal"),
        ("[[clients]]", "[[client]]", "key clients is missing"),
        ("", "= ", "not valid TOML"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_file_is_named_with_a_remedy(old, new, problem) -> None:
    text = TEXT.replace(old, new, 1) if old != "[[clients]]" else TEXT.replace(old, new)
    assert text != TEXT
    with pytest.raises(ConfigError, match=problem) as refusal:
        manifest_from_toml(text)
    assert refusal.value.remedy


@pytest.mark.parametrize("value", ["[]", "[1, 2]", '"many"'])
def test_parties_that_are_no_tables_are_refused(value) -> None:
    head = TEXT[: TEXT.index("[[aggregators]]")]
    with pytest.raises((ConfigError, ParameterError)):
        manifest_from_toml(f"aggregators = {value}\nclients = {value}\n{head}")


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "0", "0.1"])
def test_a_clip_that_is_no_float32_above_zero_is_refused(value) -> None:
    with pytest.raises(ParameterError, match="positive float32"):
        manifest_from_toml(TEXT.replace("clip = 1.5", f"clip = {value}"))


@pytest.mark.parametrize("role", ["aggregators", "clients"])
@pytest.mark.parametrize(
    ("name", "organisation"), [("a\nb", ""), ("a\u202eb", ""), ("a", "b\u2028"), (" ", ""), ("", "")]
)
def test_a_name_that_is_not_what_it_looks_like_is_refused(role, name, organisation) -> None:
    others = {"aggregators": _parties(1, 2), "clients": _parties(2, 4)}[role]
    with pytest.raises(ConfigError, match=rf"^\[\[{role}\]\] number 1: (name|organisation)"):
        _manifest(**{role: (Party(name, bytes(32), organisation), *others)})

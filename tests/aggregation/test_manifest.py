"""A manifest is read strictly, written back exactly, and refuses unsafe combinations."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privateyes.aggregation.manifest import Manifest, Party, manifest_from_toml
from privateyes.aggregation.manifest_text import require_plain_name
from privateyes.aggregation.privacy_section import Privacy, privacy_part
from privateyes.crypto.bulk import BulkHash
from privateyes.crypto.field import COMPACT, WIDE
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.statement import digest, encode_tuple
from privateyes.crypto.streams import MAX_STREAM_BYTES
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
        "leaders": (2, 3),
        "hub_key": bytes([3]) * 32,
        "initial_state": bytes([4]) * 32,
        "settings": bytes([5]) * 32,
        "bulk_hash": BulkHash.BLAKE3,
        "aggregators": _parties(1, 3),
        "clients": _parties(2, 5),
    }
    return Manifest(**{**values, **changes})


def _is_plain(name: str) -> bool:
    try:
        require_plain_name(name, "")
    except ConfigError:
        return False
    return True


NAMES = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=8).map(str.strip).filter(_is_plain)


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


@pytest.mark.parametrize(
    "changes",
    [
        {"leaders": (5, 1, 2)}, {"bulk_hash": BulkHash.SHA256}, {"mode": "public"}, {"privacy": Privacy(2.0)},
        {"hub_key": bytes(32), "initial_state": b"\xff" * 32, "settings": bytes(32)},
    ],
)  # fmt: skip
def test_every_other_value_is_read_back_too(changes) -> None:
    manifest = _manifest(**changes)
    assert manifest_from_toml(manifest.to_toml()) == manifest


def test_every_field_enters_the_digest() -> None:
    base = _manifest()
    party = base.clients[0]
    encoding = base.encoding
    others = [
        replace(base, dimension=11),
        replace(base, roster_min=4),
        replace(base, corrupt_clients=0),
        replace(base, leaders=(3, 2)),
        replace(base, leaders=(2,)),
        replace(base, leaders=(2, 4)),
        replace(base, hub_key=bytes(32)),
        replace(base, initial_state=bytes(32)),
        replace(base, settings=bytes(32)),
        replace(base, bulk_hash=BulkHash.SHA256),
        replace(base, mode="public"),
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
        "dimension", "encoding", "roster_min", "corrupt_clients", "leaders", "aggregators", "clients", "mode",
        "privacy", "hub_key", "initial_state", "settings", "bulk_hash",
    }  # fmt: skip
    assert {f.name for f in fields(FixedPoint)} == {
        "field", "clip", "scale_bits", "weight_max", "roster_max", "noise_bound",
    }  # fmt: skip
    assert {f.name for f in fields(Party)} == {"name", "public_key", "organisation"}


def test_the_digest_covers_every_field_in_the_order_of_the_protocol() -> None:
    manifest = _manifest(privacy=Privacy(4.0))
    parties = [
        encode_tuple((role, party.name, party.public_key, party.organisation))
        for role, group in ((Role.AGGREGATOR, manifest.aggregators), (Role.CLIENT, manifest.clients))
        for party in group
    ]
    assert manifest.digest() == digest(
        Label.MANIFEST, Role.ALL, b"", 2, "blake3", "compact", 10, (1.5).hex(), 8, 20, 0, "sealed", 3, 4, 1,
        bytes([3]) * 32, bytes([4]) * 32, bytes([5]) * 32, 2, 2, 3, 3, 5, *parties, privacy_part(manifest.privacy),
    )  # fmt: skip


def test_values_that_trade_places_give_another_digest() -> None:
    base = _manifest()
    swapped = [
        replace(base, hub_key=base.initial_state, initial_state=base.hub_key),
        replace(base, initial_state=base.settings, settings=base.initial_state),
        replace(base, aggregators=base.clients[:3], clients=(*base.aggregators, *base.clients[3:])),
        replace(base, roster_min=4, corrupt_clients=1),
        replace(base, roster_min=3, encoding=replace(base.encoding, roster_max=3)),
    ]
    assert len({manifest.digest() for manifest in (base, *swapped)}) == len(swapped) + 1


def test_leaders_are_counted_so_that_none_is_taken_for_the_number_of_parties() -> None:
    """Without the count, (2, 3) before 3 aggregators would read as (2,) before as many more."""
    assert _manifest(leaders=(2, 3)).digest() != _manifest(leaders=(2,)).digest()
    assert _manifest(leaders=(2, 3, 5)).digest() != _manifest(leaders=(2, 5)).digest()


def test_first_weights_are_drawn_from_all_of_the_manifest_but_the_state_that_holds_them() -> None:
    base = _manifest()
    assert base.weights_seed(7) == replace(base, initial_state=bytes(32)).weights_seed(7)
    others = [replace(base, settings=bytes(32)), replace(base, dimension=11), replace(base, clients=base.clients[::-1])]
    seeds = {base.weights_seed(7), base.weights_seed(8), *(other.weights_seed(7) for other in others)}
    assert len(seeds) == 5
    assert base.digest() not in seeds


@pytest.mark.parametrize(
    ("roster_min", "roster_max", "fixed"), [(5, 5, True), (4, 5, False), (4, 4, False), (3, 5, False)]
)
def test_a_cohort_is_fixed_if_every_roster_holds_every_client(roster_min, roster_max, fixed) -> None:
    manifest = _manifest(roster_min=roster_min, encoding=FixedPoint(COMPACT, 1.5, 8, 20, roster_max))
    assert manifest.is_fixed_cohort == fixed


def test_numbers_that_follow_from_the_manifest() -> None:
    compact, wide = _manifest(), _manifest(encoding=FixedPoint(WIDE, 1.5, 8, 20, 4))
    assert (compact.share_elements, compact.share_bytes) == (10 + 1 + 4, 60)
    assert (wide.share_elements, wide.share_bytes) == (10 + 1 + 2, 104)
    assert list(compact.aggregator_numbers) == [1, 2, 3]
    assert compact.sealed
    assert not _manifest(mode="public").sealed


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
        ({"roster_min": 1, "corrupt_clients": 0}, "roster_min = 1"),
        ({"roster_min": 5}, "roster_min = 5"),
        ({"clients": _parties(2, 3)}, "do not fit 3 clients"),
        ({"corrupt_clients": 2}, "fewer than 2 honest"),
        ({"corrupt_clients": -1}, "corrupt_clients = -1"),
        ({"leaders": ()}, "is empty or names a client twice"),
        ({"leaders": (2, 3, 2)}, "is empty or names a client twice"),
        ({"leaders": (0,)}, "leaders: 0 is no client"),
        ({"leaders": (2, 6)}, "leaders: 6 is no client"),
        ({"hub_key": bytes(31)}, "not an Ed25519"),
        ({"hub_key": _parties(1, 1)[0].public_key}, "the same key"),
        ({"hub_key": _parties(2, 5)[4].public_key}, "the same key"),
        ({"initial_state": bytes(31)}, "initial_state has 31 bytes"),
        ({"initial_state": b""}, "initial_state has 0 bytes"),
        ({"settings": bytes(33)}, "settings has 33 bytes"),
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


def test_a_share_is_at_most_as_long_as_a_key_stream() -> None:
    longest = MAX_STREAM_BYTES // 4 - _manifest().share_elements + 10
    assert _manifest(dimension=longest).share_bytes == MAX_STREAM_BYTES
    with pytest.raises(ParameterError, match="longer key stream"):
        _manifest(dimension=longest + 1)


def test_a_privacy_section_that_does_not_fit_the_encoding_is_refused() -> None:
    assert _manifest(privacy=Privacy(4.0)).privacy == Privacy(4.0)
    with pytest.raises(ParameterError, match="an L2 norm of 0 steps of the grid is too short") as refusal:
        _manifest(privacy=Privacy(2.0**-20))
    assert refusal.value.remedy


@pytest.mark.parametrize(
    "changes",
    [
        {"roster_min": 2, "corrupt_clients": 0}, {"roster_min": 4, "corrupt_clients": 2}, {"leaders": (1, 5)},
        {"aggregators": _parties(1, 2)}, {"aggregators": _parties(1, 7)}, {"dimension": 1},
        {"clients": _parties(2, 2), "roster_min": 2, "corrupt_clients": 0, "leaders": (1,),
         "encoding": FixedPoint(COMPACT, 1.5, 8, 20, 2)},
    ],
)  # fmt: skip
def test_the_last_values_that_are_safe_are_taken(changes) -> None:
    manifest = _manifest(**changes)
    assert manifest_from_toml(manifest.to_toml()) == manifest


def test_an_aggregator_and_a_client_may_share_a_name_but_no_key() -> None:
    assert _manifest().clients[0].name == _manifest().aggregators[0].name


TEXT = _manifest().to_toml()


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("version = 2", "version = 1", "of version 1, whose recovery after lost stores was broken"),
        ("version = 2", "version = 3", "manifest version 3"),
        ("version = 2", "version = 0", "manifest version 0"),
        ("version = 2", "", "key version is missing"),
        ("version = 2", "version = true", "version = True"),
        ("roster_min = 3", "roster_min = 3\nextra = 1", "unknown key extra"),
        ("roster_min = 3", "roster_min = 3\nroster_min = 3", "not valid TOML"),
        ("roster_min = 3", "roster_min = 3.0", "roster_min = 3.0"),
        ("roster_min = 3", 'roster_min = "3"', "roster_min = '3'"),
        ("roster_min = 3", f"roster_min = {2**63}", "roster_min is too large"),
        ('mode = "sealed"', 'mode = "sealed\\u007f"', "holds a control character"),
        ('mode = "sealed"', 'mode = "sealed\\u001f"', "holds a control character"),
        ('mode = "sealed"', 'mode = "sealed\\u0000"', "holds a control character"),
        ("leaders = [2, 3]", "leader = 2", "key leaders is missing"),
        ("leaders = [2, 3]", "leaders = 2", "leaders = 2"),
        ("leaders = [2, 3]", "leaders = [2, true]", r"leaders = \[2, True\]"),
        ("leaders = [2, 3]", "leaders = [2, 5.0]", r"leaders = \[2, 5.0\]"),
        ("leaders = [2, 3]", "leaders = [2, -1]", r"leaders = \[2, -1\]"),
        ("leaders = [2, 3]", f"leaders = [2, {2**32}]", r"leaders = \[2, 4294967296\]"),
        ('bulk_hash = "blake3"', "", "key bulk_hash is missing"),
        ('bulk_hash = "blake3"', 'bulk_hash = "md5"', "'md5' is not a bulk hash"),
        ("hub_key", "hubkey", "key hub_key is missing"),
        ("initial_state", "initial", "key initial_state is missing"),
        ("settings", "setting", "key settings is missing"),
        ('settings = "05', 'settings = "xx', "settings is not hexadecimal"),
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


def test_an_empty_list_of_parties_is_read_and_judged() -> None:
    head, rest = TEXT.split("[[aggregators]]", 1)
    clients = rest[rest.index("[[clients]]") :]
    with pytest.raises(ParameterError, match="0 aggregators"):
        manifest_from_toml(f"aggregators = []\n{head}{clients}")


def test_a_leader_of_32_bits_is_read_and_judged() -> None:
    with pytest.raises(ParameterError, match="leaders: 4294967295 is no client"):
        manifest_from_toml(TEXT.replace("leaders = [2, 3]", f"leaders = [2, {2**32 - 1}]"))


def test_of_unknown_keys_the_first_in_the_alphabet_is_named() -> None:
    unknown = "".join(f"{letter}x = 1\n" for letter in "hgfedcba")
    with pytest.raises(ConfigError, match="unknown key ax"):
        manifest_from_toml(TEXT.replace("roster_min = 3\n", f"roster_min = 3\n{unknown}"))


def test_a_number_of_63_bits_is_read_and_judged() -> None:
    with pytest.raises(ParameterError, match="roster_min = 9223372036854775807"):
        manifest_from_toml(TEXT.replace("roster_min = 3", f"roster_min = {2**63 - 1}"))


def test_a_space_is_no_control_character() -> None:
    with pytest.raises(ParameterError, match="' sealed~' is neither sealed nor public"):
        manifest_from_toml(TEXT.replace('mode = "sealed"', 'mode = " sealed~"'))


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

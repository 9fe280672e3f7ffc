from __future__ import annotations

import tomllib
from dataclasses import replace
from typing import Any

import pytest

from privateyes.aggregation.manifest import Manifest, Party
from privateyes.aggregation.manifest_check import differences, fingerprint, independence_warnings, parameters
from privateyes.aggregation.privacy_section import Privacy
from privateyes.crypto.bulk import BulkHash


@pytest.fixture
def manifest(make_world: Any) -> Manifest:
    """Three aggregators and four clients, each of its own organisation."""
    plain: Manifest = make_world(set_up=False).manifest
    return operated(plain, ["one", "two", "three"], ["a", "b", "c", "d"])


def operated(manifest: Manifest, aggregators: list[str], clients: list[str]) -> Manifest:
    return replace(
        manifest,
        aggregators=tuple(replace(p, organisation=o) for p, o in zip(manifest.aggregators, aggregators, strict=True)),
        clients=tuple(replace(p, organisation=o) for p, o in zip(manifest.clients, clients, strict=True)),
    )


def test_independent_operators_give_no_warning(manifest: Manifest) -> None:
    assert independence_warnings(manifest) == []


def test_one_organisation_with_two_aggregators_counts_as_one(manifest: Manifest) -> None:
    (line,) = independence_warnings(operated(manifest, ["clinic one", "Clinic  One", "three"], ["a", "b", "c", "d"]))
    assert line.startswith("clinic one operates aggregators a1, a2: they count as one")
    assert "at most 2 independent" in line


def test_one_organisation_with_all_aggregators_can_read_everything(manifest: Manifest) -> None:
    (line,) = independence_warnings(operated(manifest, ["one"] * 3, ["a", "b", "c", "d"]))
    assert line == "one operates every aggregator: it can read every update"


def test_one_organisation_in_both_roles_is_a_corrupt_client_beside_a_corrupt_aggregator(manifest: Manifest) -> None:
    (line,) = independence_warnings(operated(manifest, ["one", "two", "three"], ["a", "TWO", "c", "d"]))
    assert line.startswith(
        "two operates aggregator a2 and client c2: if it is corrupt, it is one corrupt client beside"
    )
    assert "shift the average blindly" in line


def test_one_organisation_with_two_clients_is_as_many_corrupt_clients(manifest: Manifest) -> None:
    (line,) = independence_warnings(operated(manifest, ["one", "two", "three"], ["a", "B", "b", "d"]))
    assert line.startswith("B operates clients c2, c3: if it is corrupt, those are 2 corrupt clients")
    assert "corrupt_clients = 0" in line
    of_clients, of_both = independence_warnings(operated(manifest, ["one", "b", "three"], ["a", "b", "b", "b"]))
    assert of_clients.startswith("b operates clients c2, c3, c4: if it is corrupt, those are 3 corrupt clients")
    assert of_both.startswith("b operates aggregator a2 and clients c2, c3, c4: if it is corrupt, it is 3 corrupt")


def test_aggregators_without_an_operator_are_named(manifest: Manifest) -> None:
    (line,) = independence_warnings(operated(manifest, ["one", "", ""], ["", "", "", ""]))
    assert line.startswith("no organisation is named for aggregators a2, a3")


def test_aggregators_without_an_operator_count_as_independent_ones(manifest: Manifest) -> None:
    five = tuple(Party(f"a{number}", bytes([9, number]) + bytes(30), "") for number in range(1, 6))
    lines = independence_warnings(
        operated(replace(manifest, aggregators=five), ["one", "one", "", "", ""], ["a", "b", "c", "d"])
    )
    assert lines[0].startswith("no organisation is named for aggregators a3, a4, a5: ")
    assert lines[1].endswith("so the 5 aggregators are at most 4 independent ones")


def test_of_many_parties_the_first_five_are_named(manifest: Manifest) -> None:
    def named(count: int) -> str:
        more = tuple(Party(f"c{number}", bytes([9, number]) + bytes(30), "") for number in range(1, count + 1))
        (line,) = independence_warnings(
            operated(replace(manifest, clients=more), ["one", "two", "three"], ["same"] * count)
        )
        return line.partition(":")[0]

    assert named(5) == "same operates clients c1, c2, c3, c4, c5"
    assert named(8) == "same operates clients c1, c2, c3, c4, c5 and 3 more"


def test_a_privacy_section_is_shown_without_its_head(manifest: Manifest) -> None:
    private = replace(manifest, privacy=Privacy(4.0))
    head, *lines = private.privacy.to_toml_lines()
    assert head == "[privacy]"
    assert parameters(private)["privacy"] == ", ".join(lines)
    assert parameters(manifest)["privacy"] == "none"


def test_a_copy_has_no_differences(manifest: Manifest) -> None:
    assert differences(manifest, replace(manifest)) == []


def test_every_field_that_differs_is_listed(manifest: Manifest) -> None:
    """Whatever changes the digest is a line here: nothing can differ unseen."""
    encoding = manifest.encoding
    others = [
        replace(manifest, dimension=8),
        replace(manifest, roster_min=3),
        replace(manifest, roster_min=3, corrupt_clients=1),
        replace(manifest, leaders=(2, 1)),
        replace(manifest, leaders=(1,)),
        replace(manifest, hub_key=bytes(32)),
        replace(manifest, initial_state=bytes([1]) * 32),
        replace(manifest, settings=bytes(32)),
        replace(manifest, bulk_hash=BulkHash.SHA256),
        replace(manifest, mode="public"),
        replace(manifest, privacy=Privacy(4.0)),
        *[
            replace(manifest, encoding=replace(encoding, **change))
            for change in (
                {"clip": 0.5}, {"scale_bits": 3}, {"weight_max": 7}, {"roster_max": 3}, {"noise_bound": 1},
            )
        ],
        operated(manifest, ["one", "two", "four"], ["a", "b", "c", "d"]),
        replace(manifest, clients=manifest.clients[::-1]),
        replace(manifest, clients=(replace(manifest.clients[0], name="x"), *manifest.clients[1:])),
        replace(manifest, clients=(replace(manifest.clients[0], public_key=bytes(32)), *manifest.clients[1:])),
    ]  # fmt: skip
    for other in others:
        assert other.digest() != manifest.digest()
        assert differences(manifest, other), parameters(other)
    assert differences(manifest, replace(manifest, leaders=(2, 3))) == ["leaders: 1, 2 here, 2, 3 there"]


def test_everything_that_a_file_holds_beside_parties_is_a_parameter_by_its_key(manifest: Manifest) -> None:
    table = tomllib.loads(replace(manifest, privacy=Privacy(4.0)).to_toml())
    keys = set(table) - {"version", "aggregators", "clients"}
    assert keys - {"privacy"} <= set(parameters(manifest))
    for key in keys - {"privacy"}:
        value = table[key]
        shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        assert parameters(manifest)[key] == shown


def test_parties_that_only_one_copy_has_are_listed(manifest: Manifest) -> None:
    fewer = replace(manifest, aggregators=manifest.aggregators[:2])
    assert differences(manifest, fewer) == ["aggregator 3: 'a3' only here"]
    assert differences(fewer, manifest) == ["aggregator 3: 'a3' only there"]


def test_the_lines_call_the_two_copies_as_they_are_told(manifest: Manifest) -> None:
    others = replace(manifest, leaders=(2,), aggregators=manifest.aggregators[:2])
    assert differences(manifest, others, ("as pinned", "in the file")) == [
        "leaders: 1, 2 as pinned, 2 in the file",
        "aggregator 3: 'a3' only as pinned",
    ]


def test_another_key_is_shown_as_people_compare_it(manifest: Manifest) -> None:
    key = bytes(range(32))
    other = replace(manifest, clients=(replace(manifest.clients[0], public_key=key), *manifest.clients[1:]))
    (line,) = differences(manifest, other)
    assert line.endswith("0001 0203 0405 0607 0809 0a0b 0c0d 0e0f there")
    assert fingerprint(key) in line

from __future__ import annotations

from privateyes.experiments.way_names import ADAPTIVE, WAYS
from privateyes.federation.server_step import SERVER_OPTIMISERS


def test_every_secure_way_differs_from_its_twin_in_how_updates_travel_alone() -> None:
    secure = [plan for plan in WAYS.values() if plan.secure]
    assert len(secure) == 7
    for plan in secure:
        assert plan.twin is not None
        twin = WAYS[plan.twin]
        assert (twin.kind, twin.server_optimiser, twin.proximal) == ("clear", plan.server_optimiser, plan.proximal)


def test_every_way_in_the_clear_has_a_secure_twin() -> None:
    twins = {plan.twin for plan in WAYS.values() if plan.secure}
    assert twins == {name for name, plan in WAYS.items() if plan.kind == "clear"}


def test_every_named_server_optimiser_exists() -> None:
    named = {plan.server_optimiser for plan in WAYS.values()} - {ADAPTIVE}
    assert named == set(SERVER_OPTIMISERS)


def test_a_way_is_listed_under_its_own_name() -> None:
    assert all(name == plan.name for name, plan in WAYS.items())

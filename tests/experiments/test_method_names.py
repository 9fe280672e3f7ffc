from __future__ import annotations

from privateyes.experiments.method_names import ADAPTIVE, METHODS
from privateyes.federation.server_step import SERVER_OPTIMISERS


def test_every_secure_method_differs_from_its_counterpart_in_how_updates_travel_alone() -> None:
    secure = [plan for plan in METHODS.values() if plan.secure]
    assert len(secure) == 7
    for plan in secure:
        assert plan.counterpart is not None
        counterpart = METHODS[plan.counterpart]
        assert (counterpart.kind, counterpart.server_optimiser, counterpart.proximal) == (
            "clear",
            plan.server_optimiser,
            plan.proximal,
        )


def test_every_method_in_the_clear_has_a_secure_counterpart() -> None:
    counterparts = {plan.counterpart for plan in METHODS.values() if plan.secure}
    assert counterparts == {name for name, plan in METHODS.items() if plan.kind == "clear"}


def test_every_named_server_optimiser_exists() -> None:
    named = {plan.server_optimiser for plan in METHODS.values()} - {ADAPTIVE}
    assert named == set(SERVER_OPTIMISERS)


def test_a_method_is_listed_under_its_own_name() -> None:
    assert all(name == plan.name for name, plan in METHODS.items())

"""Finished sessions and their records."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from audit_records import record_of, set_up_of


@pytest.fixture(scope="session")
def make(make_world: Any) -> Callable[..., SimpleNamespace]:
    """A finished session and its record; parties are drawn once for each shape."""
    known: dict[Any, SimpleNamespace] = {}

    def finished(**shape: Any) -> SimpleNamespace:
        key = tuple(sorted(shape.items()))
        if key not in known:
            world = make_world(**shape)
            world.run()
            known[key] = SimpleNamespace(world=world, said=[*set_up_of(world), *record_of(world)])
        return known[key]

    return finished

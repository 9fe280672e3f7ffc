from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from privateyes.experiments.compare.warm_up import warm_up
from privateyes.experiments.spec import ExperimentSpec
from privateyes.storage.store import PartyStore


@pytest.mark.parametrize(("methods", "stores"), [('["federated"]', 0), ('["federated", "private"]', 1)])
def test_what_warms_up_leaves_nothing_in_the_experiments_mirrors(
    small_spec: Callable[..., ExperimentSpec],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    methods: str,
    stores: int,
) -> None:
    made: list[tuple[Path, ...]] = []
    create = PartyStore.create

    def noted(*folders: Path, **named: list[str]) -> PartyStore:
        made.append(folders)
        return create(*folders, **named)

    monkeypatch.setattr(PartyStore, "create", noted)
    mirrors = [str(tmp_path / name) for name in "abc"]
    warm_up(small_spec(methods=methods, tail=f"[store]\nmirrors = {json.dumps(mirrors)}\n"))
    assert [len(folders) for folders in made] == [1] * stores
    assert list(tmp_path.iterdir()) == []

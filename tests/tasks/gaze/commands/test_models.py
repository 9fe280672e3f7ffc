from __future__ import annotations

from collections.abc import Callable

from click.testing import Result

from privateyes.tasks.gaze.models import MODELS, count_parameters


def test_every_model_is_listed_with_its_inputs_sizes_and_parameters(call: Callable[..., Result]) -> None:
    result = call("models")
    assert result.exit_code == 0
    lines = {line.split()[0]: line for line in result.stdout.splitlines() if line.strip()}
    for name, kind in MODELS.items():
        assert f"{count_parameters(kind):,}" in lines[name]
        assert f"{kind.smallest_side}x{kind.smallest_side}" in lines[name]
        assert kind.inputs[0] in lines[name]
        assert ("RGB" if kind.channels == 3 else "grey") in lines[name]
    assert "No weights are shipped" in result.stdout

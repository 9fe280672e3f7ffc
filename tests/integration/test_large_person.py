"""A person of 1.5 GB trains, and is evaluated, in a third of that memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from privateyes.training.cache import HELD_BYTES

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SIZE_BYTES = 1_500_000_000


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_person_of_a_gigabyte_and_a_half_trains_and_is_evaluated_in_500_megabytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    import large_person

    path = tmp_path / "person.h5"
    count = large_person.write_person(path, SIZE_BYTES)
    lazily, held = (large_person.measure(path, most, 0.02) for most in (HELD_BYTES, 4 * SIZE_BYTES))
    predicted = large_person.measure(path, HELD_BYTES, None)
    assert lazily["samples"] == held["samples"] > 10_000
    assert lazily["peak_bytes"] < 500_000_000
    assert predicted["samples"] == count
    assert predicted["peak_bytes"] < 500_000_000
    assert held["peak_bytes"] > SIZE_BYTES, "the bound would be kept by a full read too"

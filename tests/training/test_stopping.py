from __future__ import annotations

from privateyes.training.stopping import best_round, is_over


def by_round(*errors: float) -> dict[int, float]:
    return dict(enumerate(errors, start=1))


def test_the_best_round_is_the_first_with_the_smallest_error() -> None:
    assert best_round({3: 5.0}) == 3
    assert best_round(by_round(5.0, 3.0, 4.0, 3.0)) == 2
    assert best_round({8: 3.0, 4: 3.0, 12: 4.0}) == 4


def test_it_is_over_once_patience_has_run_out_since_the_best_round() -> None:
    errors = [5.0, 3.0, 4.0, 3.0, 3.5]
    found = [is_over(by_round(*errors[:count]), 2) for count in range(6)]
    assert found == [False, False, False, False, True, True]


def test_an_improvement_starts_the_count_anew() -> None:
    assert not is_over(by_round(5.0, 6.0, 4.9, 6.0), 2)
    assert is_over(by_round(5.0, 6.0, 4.9, 6.0, 6.0), 2)


def test_rounds_without_an_evaluation_count_and_void_ones_do_not() -> None:
    assert is_over({5: 3.0, 10: 4.0}, 5)
    assert not is_over({5: 3.0, 10: 4.0}, 6)
    assert not is_over({5: 3.0, 10: 4.0}, 5, void={7})
    assert is_over({5: 3.0, 10: 4.0}, 5, void={2, 12})


def test_without_patience_it_is_never_over() -> None:
    assert not is_over(by_round(1.0, *[2.0] * 100), None)

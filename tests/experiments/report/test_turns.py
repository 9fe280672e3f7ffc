from __future__ import annotations

import itertools

import pytest

from privateyes.experiments.report.turns import Turn, turns

LINE = [(float(x), 100 - x / 3) for x in range(0, 300, 20)]


def moved(points: list[tuple[float, float]], down: float) -> list[tuple[float, float]]:
    return [(x, y + down) for x, y in points]


def drawn_at(turn: Turn, place: float) -> bool:
    """Whether a line is there at a distance from its start, by the rules of SVG's dashes."""
    on, off = map(float, turn.dashes.split())
    return (place + turn.offset) % (on + off) < on


@pytest.mark.parametrize("count", [2, 3, 5])
def test_everywhere_along_a_shared_line_exactly_one_curve_is_drawn(count: int) -> None:
    found = turns([LINE] * count)
    assert [turn and turn.index for turn in found] == list(range(count))
    for place in range(1, 400, 3):
        assert sum(drawn_at(turn, place) for turn in found if turn is not None) == 1


def test_curves_apart_are_drawn_as_they_are() -> None:
    assert turns([LINE, moved(LINE, 6), moved(LINE, -9)]) == [None, None, None]
    assert turns([LINE]) == [None]
    assert turns([LINE, [], [(400.0, 1.0)]]) == [None, None, None]


def test_two_pairs_take_turns_apart_from_each_other() -> None:
    found = turns([LINE, moved(LINE, 30), moved(LINE, 1), moved(LINE, 31)])
    assert [(turn.index, turn.count) for turn in found if turn] == [(0, 2), (0, 2), (1, 2), (1, 2)]


def test_a_curve_that_broke_off_or_parts_late_still_lies_on_the_other() -> None:
    parting = [*LINE[:10], *moved(LINE[10:], 40)]
    for other in (LINE[:4], LINE[::3], parting):
        assert all(turns([LINE, other])), "half of it would hide, or be hidden"


def test_the_first_parts_of_all_turns_lie_in_their_order() -> None:
    found = [turn for turn in turns([LINE] * 3) if turn is not None]
    starts = [next(place for place in itertools.count() if drawn_at(turn, place)) for turn in found]
    assert starts == sorted(starts)
    assert starts[0] == 0

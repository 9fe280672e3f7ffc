from __future__ import annotations

import numpy as np
import pytest

from privateyes.tasks.gaze.synthetic import kernels
from privateyes.tasks.gaze.synthetic.kernels import COLUMNS, ROWS, STEP_MM, X_LIMIT_MM, Y_LIMIT_MM


def test_ramp_rises_from_0_to_1() -> None:
    assert kernels.ramp.py_func(-1.0, 0.0, 2.0) == 0.0
    assert kernels.ramp.py_func(1.0, 0.0, 2.0) == pytest.approx(0.5)
    assert kernels.ramp.py_func(3.0, 0.0, 2.0) == 1.0


def test_bell_is_1_in_the_middle_and_a_quarter_at_its_width() -> None:
    assert kernels.bell.py_func(0.0, 0.7) == 1.0
    assert kernels.bell.py_func(0.7, 0.7) == pytest.approx(0.25)
    assert kernels.bell.py_func(-0.7, 0.7) == pytest.approx(0.25)


def test_height_look_up_is_exact_for_a_plane_and_stops_at_the_edge() -> None:
    x = np.linspace(-X_LIMIT_MM, X_LIMIT_MM, COLUMNS)[None, :]
    y = np.linspace(-Y_LIMIT_MM, Y_LIMIT_MM, ROWS)[:, None]
    plane = (0.3 * x - 0.2 * y + 5.0).astype(np.float32)
    assert kernels.height_at(plane, 1.23, -4.56) == pytest.approx(0.3 * 1.23 + 0.2 * 4.56 + 5.0, abs=1e-4)
    assert kernels.height_at(plane, 1e6, 0.0) == pytest.approx(0.3 * X_LIMIT_MM + 5.0, abs=STEP_MM * 0.01)


def test_lashes_cover_only_their_side_of_the_margin() -> None:
    lashes = np.ones((2, kernels.LASHES), dtype=np.float32)
    cover = kernels.lash_cover.py_func
    assert cover(lashes, 0, 0.0, 0.5, 2.0, 0.8) > 0
    assert cover(lashes, 0, 0.0, -0.5, 2.0, 0.8) == 0
    assert cover(lashes, 0, 0.0, 2.5, 2.0, 0.8) == 0
    assert cover(lashes, 0, 0.0, -0.5, -2.0, 0.8) > 0

from __future__ import annotations

import numpy as np
import pytest

from privateyes.tasks.gaze.synthetic.anatomy import SURFACE_STREAM, draw_anatomy, person_generator
from privateyes.tasks.gaze.synthetic.kernels import COLUMNS, ROWS, STEP_MM, X_LIMIT_MM, Tables
from privateyes.tasks.gaze.synthetic.surface import build_surfaces, smooth_noise


def tables_of(person: int) -> Tables:
    anatomy = draw_anatomy(0, person)
    return build_surfaces((anatomy.left, anatomy.right), person_generator(0, person, SURFACE_STREAM))


def test_tables_have_the_shapes_that_the_compiled_part_reads() -> None:
    tables = tables_of(0)
    assert tables.height.shape == (2, ROWS, COLUMNS)
    assert tables.skin.shape == (2, ROWS, COLUMNS, 6)
    assert tables.lids.shape == (2, COLUMNS, 7)
    assert all(table.dtype == np.float32 and table.flags.c_contiguous for table in tables)


@pytest.mark.parametrize("person", range(6))
def test_reflectance_normals_and_visibility_stay_physical(person: int) -> None:
    skin = tables_of(person).skin
    albedo, normal_x, normal_y, sky = np.moveaxis(skin[..., :4], -1, 0)
    assert 0.02 < albedo.min() < albedo.max() < 0.95
    assert np.all(normal_x**2 + normal_y**2 < 1)
    assert 0 < sky.min() < sky.max() <= 1 + 1e-6


@pytest.mark.parametrize("person", range(6))
def test_lids_meet_in_both_corners_and_open_between_them(person: int) -> None:
    anatomy = draw_anatomy(0, person)
    x = np.linspace(-X_LIMIT_MM, X_LIMIT_MM, COLUMNS)
    for eye, lids in zip((anatomy.left, anatomy.right), tables_of(person).lids, strict=True):
        outside = (x < eye.inner_x_mm) | (x > eye.outer_x_mm)
        inside = (x > eye.inner_x_mm + STEP_MM) & (x < eye.outer_x_mm - STEP_MM)
        for profile in (lids[:, 1], lids[:, 2]):
            assert np.all(profile[outside] == 0)
            assert np.all(profile[inside] > 0)
            assert profile.max() == pytest.approx(1.0, abs=0.01)


def test_the_nose_side_is_higher_than_the_temple() -> None:
    height = tables_of(1).height[0]
    assert height[ROWS // 2, 0] > height[ROWS // 2, -1] + 10


def test_smooth_noise_has_unit_variance_and_is_smooth() -> None:
    field = smooth_noise(np.random.default_rng(0), (89, 121), 3.0, 3.0)
    assert field.std() == pytest.approx(1.0)
    assert np.abs(np.diff(field, axis=0)).mean() < 0.4

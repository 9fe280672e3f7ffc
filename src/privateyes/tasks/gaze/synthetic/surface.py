"""What stays the same in all images of one eye: relief, skin, iris, lid curves and lashes, tabulated once per person.

The face around the eye is a height field over the head's frontal plane. Light on it is the usual product of reflectance
and cosine, times a visibility that is precomputed: the horizon in sixteen directions, kept as its mean (ambient
occlusion) and first harmonic (soft shadows of nose and brow).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from privateyes.tasks.gaze.synthetic.anatomy import EyeAnatomy
from privateyes.tasks.gaze.synthetic.kernels import (
    COLUMNS,
    IRIS_REACH,
    IRIS_TEXELS,
    LASHES,
    ROWS,
    STEP_MM,
    X_LIMIT_MM,
    Y_LIMIT_MM,
    Tables,
)

Grid = NDArray[np.float64]

LID_THICKNESS_MM: Final = 0.9


def build_surfaces(eyes: tuple[EyeAnatomy, EyeAnatomy], rng: np.random.Generator) -> Tables:
    """Tabulate both eyes of one person.

    Args:
        eyes: the left eye and the mirrored right eye.
        rng: draws textures. Skin, iris and lashes are shared by both eyes but for moles and details.

    Returns:
        `Tables` whose arrays have a leading axis of length 2 (left, right).
    """
    shared = _Textures.draw(rng)
    built = [_build_surface(eye, shared, rng) for eye in eyes]
    return Tables(
        np.stack([one.height for one in built]),
        np.stack([one.skin for one in built]),
        np.stack([one.lids for one in built]),
        np.stack([one.iris for one in built]),
        np.stack([one.lashes for one in built]),
    )


@dataclass(frozen=True, slots=True)
class _Textures:
    """Unit-variance noise fields over the skin, and the iris and lash patterns of one person."""

    blotches: Grid
    mottle: Grid
    pores: Grid
    hairs: Grid
    iris: Grid
    lashes: Grid

    @staticmethod
    def draw(rng: np.random.Generator) -> _Textures:
        return _Textures(
            smooth_noise(rng, (ROWS, COLUMNS), 10.0, 10.0),
            smooth_noise(rng, (ROWS, COLUMNS), 3.0, 3.0),
            smooth_noise(rng, (ROWS, COLUMNS), 0.9, 1.1),
            smooth_noise(rng, (ROWS, COLUMNS), 0.7, 3.0),
            _iris_pattern(rng),
            np.stack([_lash_row(rng, 0.8), _lash_row(rng, 1.4)]),
        )


def _build_surface(eye: EyeAnatomy, shared: _Textures, rng: np.random.Generator) -> Tables:
    x = np.linspace(-X_LIMIT_MM, X_LIMIT_MM, COLUMNS)[None, :]
    y = np.linspace(-Y_LIMIT_MM, Y_LIMIT_MM, ROWS)[:, None]
    lids = _lid_curves(eye, x[0])
    height = _relief(eye, x, y, lids)
    albedo = _skin_albedo(eye, shared, x, y, lids, rng)
    relief = (
        height + 0.028 * shared.pores + 0.05 * shared.mottle - eye.wrinkles * 0.11 * _wrinkle_lines(eye, x, y, lids)
    )
    slope_y, slope_x = np.gradient(relief, STEP_MM)
    length = np.sqrt(1.0 + slope_x**2 + slope_y**2)
    mean, first_x, first_y = _visibility(height)
    skin = np.stack([albedo, -slope_x / length, -slope_y / length, mean, first_x, first_y], axis=-1)
    iris = np.clip(1.0 + eye.iris_contrast * shared.iris, 0.25, 2.2)
    return Tables(
        np.ascontiguousarray(height, dtype=np.float32),
        np.ascontiguousarray(skin, dtype=np.float32),
        np.ascontiguousarray(lids, dtype=np.float32),
        np.ascontiguousarray(iris, dtype=np.float32),
        np.ascontiguousarray(shared.lashes, dtype=np.float32),
    )


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], width_y: float, width_x: float) -> Grid:
    """Periodic Gaussian noise of unit variance, smoothed by Gaussians of these widths (in samples)."""
    fy = np.fft.fftfreq(shape[0])[:, None]
    fx = np.fft.rfftfreq(shape[1])[None, :]
    transfer = np.exp(-2 * np.pi**2 * ((fy * width_y) ** 2 + (fx * width_x) ** 2))
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal(shape)) * transfer, s=shape)
    unit: Grid = (field - field.mean()) / field.std()
    return unit


def _bump(x: Grid, inner: float, outer: float, inner_power: float, outer_power: float) -> Grid:
    """0 at both corners, 1 at its highest point, 0 outside."""
    t = np.clip((x - inner) / (outer - inner), 0.0, 1.0)
    peak = inner_power / (inner_power + outer_power)
    top = peak**inner_power * (1 - peak) ** outer_power
    bump: Grid = t**inner_power * (1 - t) ** outer_power / top
    return bump


def _lid_curves(eye: EyeAnatomy, x: Grid) -> Grid:
    inner, outer = eye.inner_x_mm, eye.outer_x_mm
    t = (x - inner) / (outer - inner)
    base = eye.inner_y_mm + np.clip(t, -0.4, 1.4) * (eye.outer_y_mm - eye.inner_y_mm)
    upper = _bump(x, inner, outer, eye.upper_inner_power, eye.upper_outer_power)
    lower = _bump(x, inner, outer, eye.lower_inner_power, eye.lower_outer_power)
    crease = _bump(x, inner - 1.0, outer + 4.5, 0.75, 0.8)
    fade = np.clip((x - inner) / 6.0, 0.0, 1.0) * np.clip((outer + 4.5 - x) / 5.0, 0.0, 1.0)
    cos_upper = 1.0 / np.sqrt(1.0 + np.gradient(base - eye.upper_opening_mm * upper, STEP_MM) ** 2)
    cos_lower = 1.0 / np.sqrt(1.0 + np.gradient(base + eye.lower_opening_mm * lower, STEP_MM) ** 2)
    return np.stack([base, upper, lower, crease, fade, cos_upper, cos_lower], axis=-1)


def _soft_maximum(a: Grid, b: Grid, width: float) -> Grid:
    larger: Grid = 0.5 * (a + b + np.sqrt((a - b) ** 2 + width**2))
    return larger


def _ramp(value: Grid, start: float, end: float) -> Grid:
    t = np.clip((value - start) / (end - start), 0.0, 1.0)
    smooth: Grid = t * t * (3 - 2 * t)
    return smooth


def _relief(eye: EyeAnatomy, x: Grid, y: Grid, lids: Grid) -> Grid:
    """Height of the skin, lids closed over the eyeball, in mm."""
    nose = eye.nose_mm * _ramp(-x - 0.15 * y, 9.0, 34.0)
    brow = eye.brow_mm * _ramp(-y - 0.12 * x, 3.0, 21.0) * (1.0 - 0.35 * _ramp(x, 2.0, 28.0))
    cheek = 2.4 * _ramp(y, -1.0, 10.0) * (1 - 0.5 * _ramp(x, 6.0, 20.0)) + eye.cheek_mm * _ramp(y + 0.2 * x, 6.0, 24.0)
    temple = 0.022 * np.maximum(x - 3.0, 0.0) ** 2
    bag_y = lids[None, :, 0] + eye.lower_opening_mm * lids[None, :, 2] + 4.5
    bag = eye.bag_mm * np.exp(-(((y - bag_y) / 2.2) ** 2)) * np.exp(-((x / 11.0) ** 2))
    face = eye.socket_mm + nose + brow + cheek + bag - temple
    radius = eye.eyeball_radius_mm + LID_THICKNESS_MM
    ball = np.sqrt(np.maximum(radius**2 - x**2 - y**2, 0.04)) - 0.35
    return _soft_maximum(face, ball, 2.6)


def _wrinkle_lines(eye: EyeAnatomy, x: Grid, y: Grid, lids: Grid) -> Grid:
    """Depth, about 0 to 1, of the lines under the eye and at its outer corner."""
    lower = lids[None, :, 0] + eye.lower_opening_mm * lids[None, :, 2]
    under = np.zeros_like(x + y)
    for offset, strength in ((2.6, 0.8), (5.2, 1.0), (7.6, 0.6)):
        curve = lower + offset + 0.012 * (x + 2.0) ** 2 * (offset / 5.0)
        under += strength * np.exp(-(((y - curve) / 0.55) ** 2)) * _ramp(x, -15.0, -8.0) * (1 - _ramp(x, 6.0, 15.0))
    corner = np.zeros_like(under)
    for slope in (-0.55, -0.1, 0.35):
        line = eye.outer_y_mm + slope * (x - eye.outer_x_mm) + 0.4
        corner += np.exp(-(((y - line) / 0.5) ** 2)) * _ramp(x, eye.outer_x_mm + 1.0, eye.outer_x_mm + 4.0)
    lines: Grid = under + 0.9 * corner
    return lines


def _skin_albedo(eye: EyeAnatomy, shared: _Textures, x: Grid, y: Grid, lids: Grid, rng: np.random.Generator) -> Grid:
    tone = 1.0 + 0.05 * shared.blotches + 0.035 * shared.mottle + 0.03 * shared.pores
    lid = np.exp(-(((x - 1.0) / 14.0) ** 2) - (((y + 5.0) / 5.0) ** 2))
    lower = lids[None, :, 0] + eye.lower_opening_mm * lids[None, :, 2]
    ring = np.exp(-(((y - lower - 4.0) / 3.5) ** 2)) * np.exp(-(((x + 5.0) / 11.0) ** 2))
    corner = np.exp(-(((x - eye.inner_x_mm + 1.0) / 4.0) ** 2) - (((y - eye.inner_y_mm) / 4.0) ** 2))
    tone = tone * (1 - eye.lid_darkness * lid) * (1 - eye.under_eye_darkness * ring) * (1 - 0.16 * corner)
    tone = tone * (1 - eye.wrinkles * 0.10 * np.clip(_wrinkle_lines(eye, x, y, lids), 0.0, 1.5))
    for _ in range(int(rng.integers(0, 4))):
        mole_x, mole_y = rng.uniform(-22.0, 22.0), rng.choice([-1.0, 1.0]) * rng.uniform(7.0, 13.0)
        size, depth = rng.uniform(0.4, 1.0), rng.uniform(0.25, 0.6)
        tone = tone * (1 - depth * np.exp(-(((x - mole_x) ** 2 + (y - mole_y) ** 2) / size**2)))
    arch = eye.brow_y_mm + 0.005 * (x - 7.0) ** 2
    hair = _ramp(-(y - arch) + 0.9 * shared.hairs, -1.2, 1.6) * (0.8 + 0.2 * np.tanh(shared.hairs))
    hair = hair * (1 - _ramp(-(y - arch), 7.0, 10.0)) * _ramp(x, -21.0, -15.0)
    albedo: Grid = eye.skin_albedo * tone * (1 - hair) + eye.brow_albedo * hair
    return np.clip(albedo, 0.03, 0.9)


def _visibility(height: Grid) -> tuple[Grid, Grid, Grid]:
    """How much of the sky each point of the relief sees: mean over directions, and first harmonic in x and y."""
    mean, first_x, first_y = np.zeros_like(height), np.zeros_like(height), np.zeros_like(height)
    rows, columns = np.arange(ROWS)[:, None], np.arange(COLUMNS)[None, :]
    directions = 16
    for angle in 2 * np.pi * np.arange(directions) / directions:
        dx, dy = np.cos(angle), np.sin(angle)
        horizon = np.zeros_like(height)
        for distance_mm in (1.5, 3.0, 5.0, 8.0, 12.0, 17.0):
            step_r, step_c = round(dy * distance_mm / STEP_MM), round(dx * distance_mm / STEP_MM)
            beyond = height[np.clip(rows + step_r, 0, ROWS - 1), np.clip(columns + step_c, 0, COLUMNS - 1)]
            horizon = np.maximum(horizon, (beyond - height) / distance_mm)
        seen = 1.0 / (1.0 + horizon**2)  # cos² of the horizon's elevation: the cosine-weighted share of that slice
        mean += seen / directions
        first_x += 2 * seen * dx / directions
        first_y += 2 * seen * dy / directions
    return mean, first_x, first_y


def _iris_pattern(rng: np.random.Generator) -> Grid:
    """Fibres, collarette and crypts over the unit disc: deviations from 1 of about unit size."""
    axis = np.linspace(-IRIS_REACH, IRIS_REACH, IRIS_TEXELS)
    a, b = axis[None, :], axis[:, None]
    radius, angle = np.hypot(a, b), np.arctan2(b, a)
    fibres = np.zeros_like(radius)
    for frequency in (9, 14, 23, 31):
        fibres += rng.uniform(0.2, 0.5) * np.cos(frequency * angle + rng.uniform(0, 2 * np.pi) + 2.5 * radius)
    collarette = np.exp(-(((radius - rng.uniform(0.42, 0.52)) / 0.08) ** 2))
    sectors = 0.5 * np.cos(angle + rng.uniform(0, 2 * np.pi)) + 0.3 * np.cos(2 * angle + rng.uniform(0, 2 * np.pi))
    crypts = smooth_noise(rng, radius.shape, 1.8, 1.8)
    pattern: Grid = 0.6 * fibres + rng.uniform(0.2, 1.0) * collarette + 0.35 * sectors + 0.45 * crypts - 0.2
    return pattern


def _lash_row(rng: np.random.Generator, spacing_mm: float) -> Grid:
    """Strength in [0, 1] of the lash rooted at each x: clumps of uneven length and distance."""
    x = np.linspace(-X_LIMIT_MM, X_LIMIT_MM, LASHES)
    row = np.zeros(LASHES)
    root = -X_LIMIT_MM
    while root < X_LIMIT_MM:
        root += spacing_mm * rng.uniform(0.6, 1.7)
        row = np.maximum(row, rng.uniform(0.5, 1.0) * np.exp(-(((x - root) / 0.24) ** 2)))
    return row

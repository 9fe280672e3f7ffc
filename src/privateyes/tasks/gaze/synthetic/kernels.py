"""The compiled part of the renderer: the light that reaches each point of an image, and the camera that records it.

The projection is parallel along z, which at 600 mm differs from the true perspective by less than 2 % of an offset.
Lengths are mm, directions three components, light is linear (1 is a white surface in full light). Frames and eyes are
the records described in `scene`; tables are those of `surface`.

All compiled functions are in this one file: the compiler's cache notices changes of a function's own file only.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

# The person's tables cover x in [-X_LIMIT, X_LIMIT] and y in [-Y_LIMIT, Y_LIMIT] in steps of STEP, all in mm.
X_LIMIT_MM: Final = 30.0
Y_LIMIT_MM: Final = 22.0
STEP_MM: Final = 0.5
COLUMNS: Final = int(2 * X_LIMIT_MM / STEP_MM) + 1
ROWS: Final = int(2 * Y_LIMIT_MM / STEP_MM) + 1
IRIS_TEXELS: Final = 48
IRIS_REACH: Final = 1.05  # the iris table covers that many iris radii to each side
PUPIL_ALBEDO: Final = 0.012
LASH_ALBEDO: Final = 0.03
LASH_STEP_MM: Final = 0.16
LASHES: Final = int(2 * X_LIMIT_MM / LASH_STEP_MM) + 1
# 60 pixels across: a virtual camera of focal length 960 px, 600 mm away.
FIELD_WIDTH_MM: Final = 37.5
REFERENCE_WIDTH: Final = 60
COARSE: Final = 4  # the skin's coordinates are solved at every fourth sample and interpolated
REFRACTION: Final = 1.0 / 1.336  # air to aqueous humour
IRIS_DEPTH_MM: Final = 0.35  # of the iris plane behind the plane of the limbus


class Tables(NamedTuple):
    """What stays the same in all images of one eye, or, with a leading axis (left, right), of both. All float32.

    Attributes:
        height: (ROWS, COLUMNS), mm toward the face's front.
        skin: (ROWS, COLUMNS, 6): albedo, normal x, normal y, mean visibility, its first harmonic in x and in y.
        lids: (COLUMNS, 7): canthal line, upper and lower profile, crease profile, crease fade, cosine of the upper and
            of the lower margin's slope.
        iris: (IRIS_TEXELS, IRIS_TEXELS), factor on the iris albedo.
        lashes: (2, LASHES), strength of the upper and the lower lash that grows at x.
    """

    height: NDArray[np.float32]
    skin: NDArray[np.float32]
    lids: NDArray[np.float32]
    iris: NDArray[np.float32]
    lashes: NDArray[np.float32]


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy", inline="always")
def ramp(value: float, start: float, end: float) -> float:
    """0 before start, 1 after end, smooth between."""
    t = min(max((value - start) / (end - start), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy", inline="always")
def bell(value: float, width: float) -> float:
    """1 at 0, falling to a quarter at one width: a cheap stand-in for a Gaussian."""
    q = value / width
    return 1.0 / ((1.0 + q * q) * (1.0 + q * q))


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def height_at(height: Any, x: float, y: float) -> float:
    """Bilinear look-up in a (ROWS, COLUMNS) table."""
    column = min(max((x + X_LIMIT_MM) / STEP_MM, 0.0), COLUMNS - 1.001)
    row = min(max((y + Y_LIMIT_MM) / STEP_MM, 0.0), ROWS - 1.001)
    c, r = int(column), int(row)
    fc, fr = column - c, row - r
    top = height[r, c] + fc * (height[r, c + 1] - height[r, c])
    bottom = height[r + 1, c] + fc * (height[r + 1, c + 1] - height[r + 1, c])
    return float(top + fr * (bottom - top))


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def skin_light(frame: Any, skin: Any, u: float, v: float) -> tuple[float, float]:
    """Reflectance of the skin at head coordinates (u, v), and the light that falls on it."""
    column = min(max((u + X_LIMIT_MM) / STEP_MM, 0.0), COLUMNS - 1.001)
    row = min(max((v + Y_LIMIT_MM) / STEP_MM, 0.0), ROWS - 1.001)
    c, r = int(column), int(row)
    fc, fr = column - c, row - r
    w00, w01, w10, w11 = (1 - fr) * (1 - fc), (1 - fr) * fc, fr * (1 - fc), fr * fc
    albedo = w00 * skin[r, c, 0] + w01 * skin[r, c + 1, 0] + w10 * skin[r + 1, c, 0] + w11 * skin[r + 1, c + 1, 0]
    nx = w00 * skin[r, c, 1] + w01 * skin[r, c + 1, 1] + w10 * skin[r + 1, c, 1] + w11 * skin[r + 1, c + 1, 1]
    ny = w00 * skin[r, c, 2] + w01 * skin[r, c + 1, 2] + w10 * skin[r + 1, c, 2] + w11 * skin[r + 1, c + 1, 2]
    sky = w00 * skin[r, c, 3] + w01 * skin[r, c + 1, 3] + w10 * skin[r + 1, c, 3] + w11 * skin[r + 1, c + 1, 3]
    seen_x = w00 * skin[r, c, 4] + w01 * skin[r, c + 1, 4] + w10 * skin[r + 1, c, 4] + w11 * skin[r + 1, c + 1, 4]
    seen_y = w00 * skin[r, c, 5] + w01 * skin[r, c + 1, 5] + w10 * skin[r + 1, c, 5] + w11 * skin[r + 1, c + 1, 5]
    nz = -np.sqrt(max(1.0 - nx * nx - ny * ny, 0.0))
    cosine = nx * frame.light_u + ny * frame.light_v + nz * frame.light_w
    # A little light leaks around the terminator, as it does under real skin.
    cosine = max((cosine + 0.12) / 1.12, 0.0)
    seen = min(max(sky + 1.3 * (seen_x * frame.light_u + seen_y * frame.light_v), 0.0), 1.0)
    return albedo, frame.ambient * sky * sky + frame.diffuse * cosine * seen


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def reflections(frame: Any, nx: float, ny: float, nz: float, sharpness: float) -> float:
    """What a wet surface with this normal mirrors: the screen as a soft rectangle, the lamp as a spot."""
    mx, my, mz = -2 * nz * nx, -2 * nz * ny, 1.0 - 2 * nz * nz
    if mz > -0.15:
        return float(frame.haze)
    lamp = mx * frame.light_x + my * frame.light_y + mz * frame.light_z
    shine = frame.haze + frame.lamp * ramp(lamp, 1.0 - 0.035 / sharpness, 1.0 - 0.008 / sharpness)
    sx = abs(mx / -mz - frame.screen_x / -frame.screen_z)
    sy = abs(my / -mz - frame.screen_y / -frame.screen_z)
    soft = 0.05 / sharpness
    inside = 1 - ramp(sx, frame.screen_width - soft, frame.screen_width + soft)
    inside *= 1 - ramp(sy, frame.screen_height - soft, frame.screen_height + soft)
    return float(shine + frame.screen * inside)


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def iris_light(frame: Any, eye: Any, iris: Any, point: tuple[float, float, float], shade: float) -> float:
    """The iris or the pupil, seen through the cornea at `point`; the lids let `shade` of the light through."""
    x, y, z = point
    nx = (x - frame.cornea * frame.axis_x) / eye.cornea_radius_mm
    ny = (y - frame.cornea * frame.axis_y) / eye.cornea_radius_mm
    nz = (z - frame.cornea * frame.axis_z) / eye.cornea_radius_mm
    # Snell's law for a ray along z, then on to the plane of the iris.
    bend = -REFRACTION * nz - np.sqrt(1.0 - REFRACTION**2 * (1.0 - nz * nz))
    rx, ry, rz = bend * nx, bend * ny, REFRACTION + bend * nz
    axial = x * frame.axis_x + y * frame.axis_y + z * frame.axis_z
    along = rx * frame.axis_x + ry * frame.axis_y + rz * frame.axis_z
    t = (frame.limbus - IRIS_DEPTH_MM - axial) / along
    x, y, z = x + t * rx, y + t * ry, z + t * rz
    a = x * frame.across_x + y * frame.across_y + z * frame.across_z
    b = x * frame.down_x + y * frame.down_y + z * frame.down_z
    radius = np.sqrt(a * a + b * b)
    rim = eye.iris_radius_mm
    ring = 1.0 - eye.limbus_darkness * ramp(radius, rim - 1.9 * eye.limbus_width_mm, rim)
    albedo = eye.iris_albedo * _iris_texture(iris, a / rim, b / rim) * ring
    albedo = PUPIL_ALBEDO + (albedo - PUPIL_ALBEDO) * ramp(radius, frame.pupil - 0.18, frame.pupil + 0.18)
    facing = frame.axis_x * frame.light_x + frame.axis_y * frame.light_y + frame.axis_z * frame.light_z
    light = (0.85 * frame.ambient + frame.diffuse * max(0.15, facing)) * shade
    return float(albedo * light + reflections(frame, nx, ny, nz, 1.0) * (0.25 + 0.75 * shade))


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy", inline="always")
def _iris_texture(iris: Any, a: float, b: float) -> float:
    """Bilinear look-up at (a, b) in units of the iris radius."""
    scale = (IRIS_TEXELS - 1) / (2 * IRIS_REACH)
    column = min(max((a + IRIS_REACH) * scale, 0.0), IRIS_TEXELS - 1.001)
    row = min(max((b + IRIS_REACH) * scale, 0.0), IRIS_TEXELS - 1.001)
    c, r = int(column), int(row)
    fc, fr = column - c, row - r
    top = iris[r, c] + fc * (iris[r, c + 1] - iris[r, c])
    bottom = iris[r + 1, c] + fc * (iris[r + 1, c + 1] - iris[r + 1, c])
    return float(top + fr * (bottom - top))


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy", inline="always")
def eyeball_light(frame: Any, eye: Any, iris: Any, place: tuple[float, float], shade: float, tissue: float) -> float:
    """Sclera, limbus and iris at camera coordinates (x, y); `tissue` where the eyeball does not reach."""
    x, y = place
    dx, dy = x - frame.cornea * frame.axis_x, y - frame.cornea * frame.axis_y
    under = eye.cornea_radius_mm**2 - dx * dx - dy * dy
    cover = 0.0
    iris_part = 0.0
    if under > 0.0:
        z = frame.cornea * frame.axis_z - np.sqrt(under)
        axial = x * frame.axis_x + y * frame.axis_y + z * frame.axis_z
        half = 0.22 * eye.limbus_width_mm
        cover = ramp(axial - frame.limbus, -half, half)
        if cover > 0.0:
            iris_part = iris_light(frame, eye, iris, (x, y, z), shade)
    if cover >= 1.0:
        return iris_part
    left = eye.eyeball_radius_mm**2 - x * x - y * y
    if left <= 0.05:
        return float(cover * iris_part + (1 - cover) * tissue)
    nx, ny = x / eye.eyeball_radius_mm, y / eye.eyeball_radius_mm
    nz = -np.sqrt(left) / eye.eyeball_radius_mm
    cosine = nx * frame.light_x + ny * frame.light_y + nz * frame.light_z
    cosine = max((cosine + 0.45) / 1.45, 0.0)
    light = (0.9 * frame.ambient + frame.diffuse * cosine) * shade
    white = eye.sclera_albedo * light + 0.35 * (reflections(frame, nx, ny, nz, 0.5) - frame.haze) * shade
    white = tissue + (white - tissue) * ramp(left, 0.0, 60.0)
    return float(cover * iris_part + (1 - cover) * white)


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy", inline="always")
def lash_cover(lashes: Any, which: int, u: float, away: float, reach: float, strength: float) -> float:
    """How much the lashes cover a point `away` from the margin (same sign as `reach` where they are)."""
    along = away / reach
    if along <= 0.0 or along >= 1.0:
        return 0.0
    root = u - 0.055 * (u - 1.0) * abs(away) * (0.6 + 0.4 * along)
    place = min(max((root + X_LIMIT_MM) / LASH_STEP_MM, 0.0), LASHES - 1.001)
    k = int(place)
    lash = lashes[which, k] + (place - k) * (lashes[which, k + 1] - lashes[which, k])
    return float(strength * min(max((lash - along) * 2.2, 0.0), 1.0))


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy", inline="always")
def point_light(
    frame: Any, eye: Any, tables: Any, skin: tuple[float, float], place: tuple[float, float, float, float]
) -> float:
    """Light from one point of the scene.

    Args:
        skin: reflectance of the skin there, and the light that falls on it.
        place: (x, y) in the camera frame and (u, v), where the skin or the lids' opening lies in the head frame.
    """
    u, v = place[2:]
    albedo, falling = skin
    value = albedo * falling
    column = min(max((u + X_LIMIT_MM) / STEP_MM, 0.0), COLUMNS - 1.001)
    c = int(column)
    f = column - c
    lids = tables.lids
    base = lids[c, 0] + f * (lids[c + 1, 0] - lids[c, 0])
    lower = base + frame.lower * (lids[c, 2] + f * (lids[c + 1, 2] - lids[c, 2]))
    below = (v - lower) * (lids[c, 6] + f * (lids[c + 1, 6] - lids[c, 6]))  # mm below the lower margin
    if below > 4.0:
        return value
    bump = lids[c, 1] + f * (lids[c + 1, 1] - lids[c, 1])
    above = (base - frame.upper * bump - v) * (lids[c, 5] + f * (lids[c + 1, 5] - lids[c, 5]))
    within = ramp(u, eye.inner_x_mm - 0.5, eye.inner_x_mm + 1.5)
    within *= 1 - ramp(u, eye.outer_x_mm - 0.5, eye.outer_x_mm + 2.5)
    if above > -0.2:
        crease = base - frame.crease * (lids[c, 3] + f * (lids[c + 1, 3] - lids[c, 3])) - v
        fade = lids[c, 4] + f * (lids[c + 1, 4] - lids[c, 4])
        value *= _upper_lid(eye, crease, fade) * (1 - 0.18 * bell(above, 1.3) * within)
    if below > -0.2:  # the wet rim of the lower lid, then its lash line
        value *= 1 + 0.30 * bell(below - 0.35, 0.5) * within * (1 - ramp(u, eye.outer_x_mm - 3.0, eye.outer_x_mm))
        value *= 1 - 0.35 * eye.lower_lash * bell(below - 1.3, 0.7) * within
    opened = ramp(-above, -0.15, 0.25) * ramp(-below, -0.15, 0.25)
    if opened > 0.0:
        value += opened * (_opening(frame, eye, tables.iris, skin, place, (above, below)) - value)
    if above > 8.0 or within == 0.0:
        return value
    line = 0.95 * eye.lash_line * bell(above - 0.15, 0.75) * within * ramp(bump, 0.05, 0.5)
    bare = (1 - line) * (1 - lash_cover(tables.lashes, 0, u, above, frame.reach, eye.lash_density * within))
    bare *= 1 - lash_cover(tables.lashes, 1, u, below - 0.5, 2.2, eye.lower_lash * within * 0.8)
    dark = LASH_ALBEDO * falling
    return float(dark + bare * (value - dark))


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy", inline="always")
def _upper_lid(eye: Any, crease: float, fade: float) -> float:
    """Factor on the skin `crease` mm above the lid's crease: a dark valley, a bright fold above, a darker lid below."""
    valley = eye.crease_strength * bell(crease + 0.15, eye.crease_width_mm) * fade
    fold = 0.16 * eye.crease_strength * bell(crease - 1.6, 1.6) * fade
    return float((1 - 0.75 * valley) * (1 + fold) * (1 - 0.10 * ramp(-crease, 0.0, 1.0) * fade))


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy", inline="always")
def _opening(
    frame: Any,
    eye: Any,
    iris: Any,
    skin: tuple[float, float],
    place: tuple[float, float, float, float],
    margins: tuple[float, float],
) -> float:
    """What shows between the lids: eyeball, caruncle, and the shadow the lids throw on them.

    Args:
        skin, place: see `point_light`.
        margins: mm above the upper and below the lower margin, both negative here.
    """
    x, y, u, v = place
    albedo, falling = skin
    shadow = 0.62 * bell(margins[0], 1.9) + 0.18 * bell(margins[1], 1.2)
    inner = ramp(u, eye.inner_x_mm, eye.inner_x_mm + 9.0)
    outer = 1 - 0.45 * ramp(u, eye.outer_x_mm - 6.0, eye.outer_x_mm)
    shade = max(1.0 - shadow, 0.12) * (0.55 + 0.45 * inner) * outer
    tissue = (0.5 * albedo + 0.19) * falling * (0.35 + 0.65 * shade)
    value = eyeball_light(frame, eye, iris, (x, y), shade, tissue)
    caruncle = 1 - ramp(u, eye.inner_x_mm + 2.0, eye.inner_x_mm + 6.5)
    wet = 0.25 * frame.ambient * bell(u - eye.inner_x_mm - 3.0, 0.8) * bell(v - eye.inner_y_mm + 0.3, 0.7)
    return float(value + caruncle * (tissue + wet * shade - value))


@njit(nogil=True, cache=True, error_model="numpy")
def render_images(frames: Any, eyes: Any, tables: Any, noise: Any, images: Any, supersampling: int) -> None:
    """Fill `images` (N, height, width) uint8 from N frames, two eyes, the tables of both, and as much noise."""
    rows, columns = images.shape[1], images.shape[2]
    linear = np.empty((rows, columns))
    scratch = np.empty((rows, columns))
    coarse = np.empty((rows * supersampling // COARSE + 2, columns * supersampling // COARSE + 2, 2))
    for n in range(len(frames)):
        frame = frames[n]
        k = frame.side
        eye = eyes[k]
        one = Tables(tables.height[k], tables.skin[k], tables.lids[k], tables.iris[k], tables.lashes[k])
        _solve_skin(frame, one.height, linear, supersampling, coarse)
        _shade(frame, eye, one, coarse, linear, supersampling)
        scale = columns / REFERENCE_WIDTH
        _blur(linear, scratch, frame.blur_x * scale, frame.blur_y * scale)
        _develop(frame, linear, noise[n], scratch, images[n])


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def _solve_skin(frame: Any, height: Any, linear: Any, supersampling: int, coarse: Any) -> None:
    """For nodes of a coarse grid, the head coordinates (u, v) of the skin seen there, by fixed-point iteration.

    A skin point (u, v, -h(u, v)) is seen at A (u, v) - h b, with A and b from the rotation's first two rows.
    """
    a, b, c, d = frame.r00, frame.r01, frame.r10, frame.r11
    determinant = a * d - b * c
    rows2, columns2 = linear.shape[0] * supersampling, linear.shape[1] * supersampling
    step = FIELD_WIDTH_MM / columns2 / frame.zoom
    for i in range(coarse.shape[0]):
        y = frame.centre_y + (i * COARSE + 0.5 - rows2 / 2) * step
        u, v = 0.0, 0.0
        for j in range(coarse.shape[1]):
            x = frame.centre_x + (j * COARSE + 0.5 - columns2 / 2) * step
            for _ in range(5 if j else 12):
                h = height_at(height, u, v)
                p, q = x + h * frame.r02, y + h * frame.r12
                u, v = (d * p - b * q) / determinant, (a * q - c * p) / determinant
            coarse[i, j, 0], coarse[i, j, 1] = u, v


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def _shade(frame: Any, eye: Any, tables: Any, coarse: Any, linear: Any, supersampling: int) -> None:
    """Fill `linear` with light averaged over supersampling² samples per pixel."""
    rows, columns = linear.shape
    rows2, columns2 = rows * supersampling, columns * supersampling
    step = FIELD_WIDTH_MM / columns2 / frame.zoom
    half = (supersampling - 1) / 2
    for r in range(rows):
        for c in range(columns):
            # The skin is smooth: once per pixel is enough. Lids, lashes and iris are not.
            u, v = _between(coarse, r * supersampling + half, c * supersampling + half)
            skin = skin_light(frame, tables.skin, u, v)
            total = 0.0
            for i in range(r * supersampling, (r + 1) * supersampling):
                y = frame.centre_y + (i + 0.5 - rows2 / 2) * step
                for j in range(c * supersampling, (c + 1) * supersampling):
                    x = frame.centre_x + (j + 0.5 - columns2 / 2) * step
                    u, v = _between(coarse, i, j)
                    total += point_light(frame, eye, tables, skin, (x, y, u, v))
            linear[r, c] = total / supersampling**2


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy", inline="always")
def _between(coarse: Any, i: float, j: float) -> tuple[float, float]:
    """Interpolate the coarse grid at sample (i, j)."""
    y, x = i / COARSE, j / COARSE
    r, c = int(y), int(x)
    fy, fx = y - r, x - c
    w00, w01, w10, w11 = (1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx
    u = w00 * coarse[r, c, 0] + w01 * coarse[r, c + 1, 0] + w10 * coarse[r + 1, c, 0] + w11 * coarse[r + 1, c + 1, 0]
    v = w00 * coarse[r, c, 1] + w01 * coarse[r, c + 1, 1] + w10 * coarse[r + 1, c, 1] + w11 * coarse[r + 1, c + 1, 1]
    return u, v


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def _blur(image: Any, scratch: Any, sigma_x: float, sigma_y: float) -> None:
    """Separable Gaussian blur in place; edges repeat."""
    rows, columns = image.shape
    reach_x, reach_y = int(2.5 * sigma_x) + 1, int(2.5 * sigma_y) + 1
    weights_x = np.exp(-0.5 * (np.arange(-reach_x, reach_x + 1) / max(sigma_x, 1e-3)) ** 2)
    weights_y = np.exp(-0.5 * (np.arange(-reach_y, reach_y + 1) / max(sigma_y, 1e-3)) ** 2)
    weights_x /= weights_x.sum()
    weights_y /= weights_y.sum()
    scratch[:] = 0.0
    for r in range(rows):
        for t in range(-reach_x, reach_x + 1):
            weight = weights_x[t + reach_x]
            for c in range(columns):
                scratch[r, c] += weight * image[r, min(max(c + t, 0), columns - 1)]
    image[:] = 0.0
    for r in range(rows):
        for t in range(-reach_y, reach_y + 1):
            weight = weights_y[t + reach_y]
            source = min(max(r + t, 0), rows - 1)
            for c in range(columns):
                image[r, c] += weight * scratch[source, c]


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def _develop(frame: Any, linear: Any, noise: Any, scratch: Any, image: Any) -> None:
    """Exposure, uneven light, tone curve, sensor noise, a little denoising, eight bits."""
    rows, columns = linear.shape
    power = 1.0 / frame.gamma
    for r in range(rows):
        for c in range(columns):
            uneven = 1 + frame.gradient_x * (2 * c / columns - 1) + frame.gradient_y * (2 * r / rows - 1)
            light = max(frame.exposure * linear[r, c] * max(uneven, 0.2), 0.0)
            if light > 0.7:  # highlights roll off instead of clipping
                light = 0.7 + 0.45 * (1 - np.exp(-(light - 0.7) / 0.45))
            tone = min(light**power, 1.0)
            tone += frame.contrast * (tone * tone * (3.0 - 2.0 * tone) - tone)  # darker shadows, brighter lights
            grey = 255.0 * tone
            scratch[r, c] = grey + frame.noise * noise[r, c] * (0.6 + 0.4 * grey / 128.0)
    side, middle = frame.denoise, 1 - 2 * frame.denoise
    for r in range(rows):
        up, down = max(r - 1, 0), min(r + 1, rows - 1)
        for c in range(columns):
            linear[r, c] = side * (scratch[up, c] + scratch[down, c]) + middle * scratch[r, c]
    for r in range(rows):
        for c in range(columns):
            before, after = max(c - 1, 0), min(c + 1, columns - 1)
            value = side * (linear[r, before] + linear[r, after]) + middle * linear[r, c]
            image[r, c] = np.uint8(min(max(value + 0.5, 0.0), 255.0))

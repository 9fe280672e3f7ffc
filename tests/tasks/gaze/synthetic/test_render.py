"""The drawn iris lies where the label, less kappa, puts it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from privateyes.tasks.gaze.angles import angles_from_vectors
from privateyes.tasks.gaze.synthetic.anatomy import SURFACE_STREAM, EyeAnatomy, draw_anatomy, person_generator
from privateyes.tasks.gaze.synthetic.axes import head_rotation, optical_axis, rotate
from privateyes.tasks.gaze.synthetic.render import render_scene
from privateyes.tasks.gaze.synthetic.scene import Scene, draw_scene, open_lids, turn_eyeball
from privateyes.tasks.gaze.synthetic.surface import build_surfaces

SIZE = (36, 60)
SEED = 0


def scene_looking(person: int, gaze_deg: list[tuple[float, float]], pose_deg: tuple[float, float] = (0, 0)) -> Scene:
    """The person's first left eye again and again, in the same light, looking at these angles."""
    anatomy = draw_anatomy(SEED, person)
    scene = draw_scene(SEED, person, anatomy, 1)
    gaze = np.radians(np.array(gaze_deg, dtype=float))
    count = len(gaze)
    pose = np.tile(np.radians(np.array(pose_deg, dtype=float)), (count, 1))
    frames = np.repeat(scene.frames, count)
    rotation = head_rotation(pose)
    optical = optical_axis(gaze, rotation, np.array([anatomy.left.kappa_pitch_rad, anatomy.left.kappa_yaw_rad]))
    turn_eyeball(frames, scene.eyes, rotation, optical)
    in_head = angles_from_vectors(rotate(rotation.transpose(0, 2, 1), optical))
    open_lids(frames, scene.eyes, in_head, pose, np.ones(count))
    return Scene(frames, rotation, optical, pose, gaze, scene.eyes)


def laid_bare(person: int, scene: Scene) -> NDArray[np.uint8]:
    """Render with lids torn open, black iris on white ground, even light, and a perfect camera."""
    bright = {"skin_albedo": 0.8, "brow_albedo": 0.8, "under_eye_darkness": 0.0, "lid_darkness": 0.0}
    eye: EyeAnatomy = replace(draw_anatomy(SEED, person).left, **bright)
    tables = build_surfaces((eye, eye), person_generator(SEED, person, SURFACE_STREAM))
    frames, eyes = scene.frames.copy(), scene.eyes.copy()
    for name, value in (("upper", 10.0), ("lower", 10.0), ("ambient", 1.0), ("exposure", 0.9), ("gamma", 2.2)):
        frames[name] = value
    for name in ("diffuse", "haze", "lamp", "screen", "gradient_x", "gradient_y", "contrast", "noise", "denoise"):
        frames[name] = 0.0
    frames["blur_x"] = frames["blur_y"] = 0.3
    eyes["iris_albedo"] = eyes["lash_density"] = eyes["lash_line"] = eyes["lower_lash"] = 0.0
    eyes["sclera_albedo"] = 0.9
    noise = np.zeros((len(frames), *SIZE), dtype=np.float32)
    return render_scene(Scene(frames, scene.rotation, scene.optical, scene.pose, scene.gaze, eyes), tables, SIZE, noise)


def dark_centre(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(N, 2) centre (x, y) of the dark pixels, in pixels."""
    weight = np.clip(90.0 - images.astype(float), 0, None)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    total = weight.sum(axis=(1, 2))
    return np.stack([(weight * columns).sum(axis=(1, 2)) / total, (weight * rows).sum(axis=(1, 2)) / total], axis=-1)


def projected_iris(scene: Scene) -> NDArray[np.float64]:
    """(N, 2) where the centre of the limbus must appear, from the label alone (less kappa), in pixels."""
    frames = scene.frames
    pixels_per_mm = SIZE[1] / 37.5 * frames["zoom"]
    x = (frames["limbus"] * scene.optical[:, 0] - frames["centre_x"]) * pixels_per_mm + (SIZE[1] - 1) / 2
    y = (frames["limbus"] * scene.optical[:, 1] - frames["centre_y"]) * pixels_per_mm + (SIZE[0] - 1) / 2
    return np.stack([x, y], axis=-1)


@pytest.mark.parametrize("person", range(5))
@pytest.mark.parametrize("pose", [(0, 0), (6, -9), (-5, 10)])
def test_the_iris_is_drawn_where_the_label_less_kappa_projects_it(person: int, pose: tuple[float, float]) -> None:
    gaze = [(pitch, yaw) for pitch in (-12.0, -6.0, 0.0) for yaw in (-10.0, 0.0, 4.0, 12.0)]
    scene = scene_looking(person, gaze, pose)
    offset = dark_centre(laid_bare(person, scene)) - projected_iris(scene)
    assert np.abs(offset).max() < 0.5  # a pixel is 3 degrees of eye rotation
    assert np.abs(offset.mean(axis=0)).max() < 0.25


@pytest.mark.parametrize("person", range(4))
def test_looking_left_in_the_image_moves_the_iris_left_and_looking_up_moves_it_up(person: int) -> None:
    scene = scene_looking(person, [(-5.0, 0.0), (-5.0, 12.0), (5.0, 0.0)])
    middle, left, up = dark_centre(laid_bare(person, scene))
    assert left[0] < middle[0] - 3
    assert abs(left[1] - middle[1]) < 0.7
    assert up[1] < middle[1] - 2
    assert abs(up[0] - middle[0]) < 0.7


def test_the_optical_axis_is_what_is_drawn_so_kappa_shifts_the_iris_away_from_the_nose() -> None:
    scene = scene_looking(0, [(0.0, 0.0)])
    straight = Scene(
        scene.frames.copy(), scene.rotation, np.array([[0.0, 0.0, -1.0]]), scene.pose, scene.gaze, scene.eyes
    )
    turn_eyeball(straight.frames, straight.eyes, straight.rotation, straight.optical)
    assert dark_centre(laid_bare(0, scene))[0, 0] > dark_centre(laid_bare(0, straight))[0, 0] + 0.4


def test_a_lowered_gaze_lowers_the_upper_lid_in_the_picture() -> None:
    scene = scene_looking(1, [(5.0, 0.0), (-20.0, 0.0)])
    assert scene.frames["upper"][1] < scene.frames["upper"][0] - 2
    tables = build_surfaces(
        (draw_anatomy(SEED, 1).left, draw_anatomy(SEED, 1).right), person_generator(SEED, 1, SURFACE_STREAM)
    )
    images = render_scene(scene, tables, SIZE, np.zeros((2, *SIZE), dtype=np.float32)).astype(float)
    assert np.abs(images[0] - images[1]).mean() > 3


@pytest.mark.parametrize("size", [(9, 15), (18, 30), (36, 60), (72, 120), (37, 61)])
def test_every_size_shows_the_same_eye(size: tuple[int, int]) -> None:
    anatomy = draw_anatomy(SEED, 2)
    tables = build_surfaces((anatomy.left, anatomy.right), person_generator(SEED, 2, SURFACE_STREAM))
    scene = draw_scene(SEED, 2, anatomy, 4)
    images = render_scene(scene, tables, size, np.zeros((4, *size), dtype=np.float32))
    reference = render_scene(scene, tables, (36, 60), np.zeros((4, 36, 60), dtype=np.float32))
    assert images.shape == (4, *size)
    coarse = [_blocks(image) for image in images]
    for one, other in zip(coarse, (_blocks(image) for image in reference), strict=True):
        assert np.abs(one - other).max() < 25


def _blocks(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean grey of 3 x 5 blocks."""
    rows = np.array_split(image.astype(float), 3, axis=0)
    return np.array([[block.mean() for block in np.array_split(row, 5, axis=1)] for row in rows])

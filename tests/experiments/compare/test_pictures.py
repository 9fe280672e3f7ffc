from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from privateyes.errors import RunDirectoryError
from privateyes.experiments.compare.pictures import themes, write_pictures
from privateyes.experiments.method_names import METHODS
from privateyes.experiments.report.methods import method


def test_each_chart_is_drawn_light_and_dark(comparison_results: dict[str, Any], tmp_path: Path) -> None:
    written = write_pictures(tmp_path / "pictures", comparison_results)
    assert sorted(path.name for path in written) == sorted(
        f"{name}-{theme}.png" for name in ("errors", "curves", "persons", "costs") for theme in ("light", "dark")
    )
    for path in written:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("L"), dtype=float)
        assert (pixels.mean() > 128) == path.name.endswith("-light.png")
        assert pixels.std() > 5


def test_equal_results_give_equal_bytes(comparison_results: dict[str, Any], tmp_path: Path) -> None:
    first = write_pictures(tmp_path / "a", comparison_results)
    second = write_pictures(tmp_path / "b", comparison_results)
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_pictures_name_what_the_persons_are(comparison_results: dict[str, Any], tmp_path: Path) -> None:
    plain = write_pictures(tmp_path / "a", comparison_results)
    named = write_pictures(tmp_path / "b", {**comparison_results, "persons_are": "day blocks"})
    assert all(one.read_bytes() != other.read_bytes() for one, other in zip(plain, named, strict=True))


def test_names_are_not_read_as_formulas(comparison_results: dict[str, Any], tmp_path: Path) -> None:
    for entry in comparison_results["methods"]:
        entry["per_person"] = {"$\\frac{p00$": 5.0, "p_1$": 6.0}
    assert write_pictures(tmp_path, {**comparison_results, "name": "$\\frac{$"})


def test_every_method_has_a_colour_in_both_themes() -> None:
    for theme in themes():
        for name in METHODS:
            assert theme.of(method(name)).startswith("#")


def test_a_folder_that_cannot_be_made_is_named(comparison_results: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunDirectoryError, match="cannot be written"):
        write_pictures(tmp_path / "file", comparison_results)

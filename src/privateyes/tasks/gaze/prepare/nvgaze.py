"""NVGaze: near-eye infrared images from a headset's cameras, real and synthetic [NVGaze].

The real set as the authors of PrivatEyes read it, in `nvgaze_real`:

    SOURCE/01/*.jpg, SOURCE/01.csv, SOURCE/02/..., ...                            -> persons p01, p02, ...

The synthetic set as NVIDIA publishes it, in `nvgaze_synthetic`:

    SOURCE/nvgaze_female_01_public_50K_1/{footage_description.csv, footage_image_data.zip}, ..._2/, ...   -> female_01,
    ...

What comes out: grey images, right eyes mirrored to look like left ones; gaze as in `nvgaze_labels`; eye; frame. There
is no head pose: the cameras move with the head. Without a size of the user's choice, images are brought to 127x127, the
input of the set's own network; the originals are 640x480 and 1280x960, so they become narrower.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

from privateyes.errors import DataError, UsageError
from privateyes.tasks.gaze.prepare import nvgaze_real, nvgaze_synthetic
from privateyes.tasks.gaze.prepare.converter import Block, ConvertOptions, still_packed
from privateyes.tasks.gaze.prepare.rows import in_blocks
from privateyes.tasks.gaze.prepare.tally import Tally

SIZE: Final = (127, 127)


class NVGaze:
    """Converts either flavour, whichever SOURCE holds.

    Args:
        source: the folder that holds 01.csv and 01/, or the folders nvgaze_*_public_*.
        options: `size`, `subset` (real) and `largest_blink` (synthetic).

    Raises:
        UsageError: an option of another data set is given, or the limit on blinks is not within 0 and 1.
    """

    dataset: Final = "nvgaze"
    image_of: Final[Literal["eye"]] = "eye"

    def __init__(self, source: Path, options: ConvertOptions) -> None:
        if options.split is not None:
            raise UsageError("NVGaze has no published split", "leave it out; hold persons out in the experiment")
        blink = options.largest_blink
        if blink is not None and not 0 <= blink <= 1:
            raise UsageError(f"the limit on blinks is {blink}", "0 is an open eye and 1 a closed one")
        self._source = source
        self._options = options

    def persons(self) -> Sequence[str]:
        """Persons of the flavour found, sorted.

        Raises:
            DataError: SOURCE holds neither flavour, or both.
            UsageError: a limit on blinks is given for real recordings.
        """
        real, synthetic = nvgaze_real.persons(self._source), nvgaze_synthetic.packages(self._source)
        if real and synthetic:
            problem = (
                f"{self._source}: real recordings (01.csv) and synthetic packages ({next(iter(synthetic))}) in one"
            )
            raise DataError(problem, "convert them from two folders into two files")
        if not real and not synthetic:
            problem = f"{self._source}: neither 01.csv with 01/ nor a folder such as nvgaze_female_01_public_50K_1"
            packed = still_packed(self._source, nvgaze_real.NUMBER)
            raise DataError(problem, "unpack the archives first" if packed else "name the folder that holds them")
        if real and self._options.largest_blink is not None:
            raise UsageError("NVGaze's real lists say nothing about blinks", "leave the limit on blinks out")
        return sorted(real or synthetic)

    def devices(self, person: str) -> Sequence[str]:  # noqa: ARG002
        """None: there is no column `device`."""
        return ()

    def source_files(self, person: str) -> Sequence[Path]:
        """The real list and its folder of images, or the synthetic lists and archives."""
        packages = nvgaze_synthetic.packages(self._source).get(person)
        if packages is None:
            return nvgaze_real.source_files(self._source, person)
        return nvgaze_synthetic.source_files(packages)

    def blocks(self, person: str, tally: Tally) -> Iterator[Block]:
        """See `Converter.blocks`."""
        size = self._options.size or SIZE
        packages = nvgaze_synthetic.packages(self._source).get(person)
        if packages is None:
            rows = nvgaze_real.rows(self._source, person, size, self._options, tally)
        else:
            rows = nvgaze_synthetic.rows(packages, size, self._options, tally)
        yield from in_blocks(rows, tally)

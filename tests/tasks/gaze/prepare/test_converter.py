from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from privateyes.errors import DataError, UsageError
from privateyes.tasks.gaze.commands.prepare import Dataset
from privateyes.tasks.gaze.prepare.converter import (
    CONVERTERS,
    DAMAGED,
    ConvertOptions,
    caution,
    open_converter,
    refuse_options_of_others,
    still_packed,
    stop_or_skip,
)
from privateyes.tasks.gaze.prepare.tally import Tally


@pytest.mark.parametrize("name", CONVERTERS)
def test_every_converter_opens_under_its_name_and_refuses_a_folder_of_something_else(name: str, tmp_path: Path) -> None:
    converter = open_converter(name, tmp_path, ConvertOptions())
    assert converter.dataset == name
    assert converter.image_of in ("eye", "face")
    with pytest.raises(DataError, match=str(tmp_path)) as caught:
        converter.persons()
    assert caught.value.remedy


def test_the_command_line_knows_the_same_names() -> None:
    assert list(Dataset) == list(CONVERTERS)


def test_other_names_and_missing_sources_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no converter for 'lpw'; there are mpiigaze, mpiifacegaze, gazecapture"):
        open_converter("lpw", tmp_path, ConvertOptions())
    with pytest.raises(DataError, match="none: there is no such file or folder; name the unpacked download"):
        open_converter("mpiigaze", tmp_path / "none", ConvertOptions())


def test_converters_are_imported_when_they_are_asked_for() -> None:
    program = (
        "import sys; import privateyes.tasks.gaze.prepare.converter\n"
        "print([name for name in sys.modules if 'mpiigaze' in name or name in ('scipy', 'PIL', 'h5py')])"
    )
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"


def test_a_damaged_file_stops_or_is_named_as_the_user_chose() -> None:
    tally = Tally()
    with pytest.raises(DataError, match="x is damaged; copy it; or go on without it: --skip-damaged"):
        stop_or_skip(DataError("x is damaged", "copy it"), ConvertOptions(), tally)
    with pytest.raises(DataError, match="x is damaged; --skip-damaged goes on"):
        stop_or_skip(DataError("x is damaged"), ConvertOptions(), tally)
    assert tally.skipped == []
    stop_or_skip(DataError("x is damaged", "copy it"), ConvertOptions(skip_damaged=True), tally)
    assert [(skip.reason, skip.what) for skip in tally.skipped] == [(DAMAGED, "x is damaged")]


def test_options_that_a_data_set_does_not_have_are_refused_unless_untouched() -> None:
    refuse_options_of_others("X", ConvertOptions(limit=3, skip_damaged=True, size=(3, 3)), {"size"})
    with pytest.raises(UsageError, match=r"X has no option subset .here all.; leave it out"):
        refuse_options_of_others("X", ConvertOptions(subset="all"), {"size"})


def test_who_never_met_original_data_says_so() -> None:
    assert [name for name in CONVERTERS if not caution(name)] == ["mpiigaze"]
    assert caution("nvgaze") == "the converter for nvgaze follows the published format and never met the original data"


def test_archives_beside_which_nothing_lies_unpacked_are_found(tmp_path: Path) -> None:
    for name in ("a1.tar.gz", "a2.tgz", "a3.ZIP", "a4.zip", "b.zip", "a5.txt"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "a4").mkdir()
    (tmp_path / "a6.zip").mkdir()
    names = re.compile("a[0-9]")
    assert still_packed(tmp_path, names) == {
        "a1": tmp_path / "a1.tar.gz", "a2": tmp_path / "a2.tgz", "a3": tmp_path / "a3.ZIP",
    }  # fmt: skip
    assert still_packed(tmp_path / "none", names) == {}

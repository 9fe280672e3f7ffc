from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from click.testing import Result

Call = Callable[..., Result]


def test_clients_are_listed_with_skew_and_drawn(call: Call, eyes: Path, tmp_path: Path) -> None:
    out = tmp_path / "clients.png"
    result = call(
        "data", "partition", eyes, "--by", "label_skew", "--clients", "6", "--alpha", "0.3", "--seed", "2", "--out", out
    )
    assert result.exit_code == 0
    assert "6 clients of 5 persons, label skew with alpha 0.3, persons pooled, seed 2" in result.stdout
    assert sum(line.strip().startswith("c") and "°" in line for line in result.stdout.splitlines()) == 6
    assert "by chance" in result.stdout
    assert out.stat().st_size > 10_000


def test_persons_can_be_left_out_and_devices_made_up(call: Call, eyes: Path) -> None:
    result = call("data", "partition", eyes, "--by", "device", "--leave-out", "p03, p04")
    assert result.exit_code == 0
    assert "p00-d2" in result.stdout
    assert "p03" not in result.stdout
    assert "note: No column tells the devices of p00, p01, p02 apart" in result.stdout


def test_size_skew_takes_its_law(call: Call, eyes: Path) -> None:
    arguments = ("--by", "size_skew", "--clients", "4", "--size-law", "power", "--size-spread", "0.5")
    result = call("data", "partition", eyes, *arguments, "--minimum", "5", "--image-limit", "20")
    assert result.exit_code == 0
    assert "power sizes with spread 0.5" in result.stdout
    assert "images per client 18 to 36" in result.stdout


def test_bad_input_is_one_line(call: Call, eyes: Path, tmp_path: Path) -> None:
    for arguments, words in (
        ((eyes, "--by", "label_skew"), "needs exactly one of clients and clients_per_person"),
        ((eyes, "--clients", "3"), "partition.clients does not go with"),
        ((eyes, "--by", "label_skew", "--clients", "2", "--alpha", "0"), "partition.alpha = 0; it should be above 0"),
        ((eyes, "--by", "label_skew", "--clients", "2", "--alpha", "nan"), "partition.alpha = nan"),
        ((eyes, "--by", "size_skew", "--clients", "2", "--size-spread", "-1"), "partition.size_spread = -1"),
        ((eyes, "--by", "label_skew", "--clients", "50"), "cannot give 50 clients 10 samples each"),
        ((eyes, "--leave-out", "p9"), "there is no person p9"),
        ((tmp_path / "none.h5",), "there is no such file"),
        ((eyes, "--out", tmp_path / "plot.doc"), "no picture format"),
        ((eyes, "--out", tmp_path / "none" / "plot.png"), "cannot be written"),
    ):
        result = call("data", "partition", *arguments)
        assert result.exit_code == 2, arguments
        assert words in result.stderr
        assert len(result.stderr.splitlines()) == 1

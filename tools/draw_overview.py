"""Draw the README's picture of a round: clients, hub, aggregators, average.

python tools/draw_overview.py    # writes docs/images/overview.svg
"""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "privateyes", "font.family": "DejaVu Sans"}

from matplotlib import pyplot as plt  # noqa: E402 - after the backend is chosen
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch  # noqa: E402

OUT = Path(__file__).parents[1] / "docs" / "images" / "overview.svg"
INK, LINE = "#1f2933", "#52606d"
CLIENT, HUB, AGGREGATOR = "#dbeafe", "#f1f5f9", "#fde9c8"  # told apart by their shape and words too


def box(axes: Axes, centre: tuple[float, float], size: tuple[float, float], fill: str, text: str) -> None:
    """A party, with its name in bold and what it holds below."""
    (x, y), (width, height) = centre, size
    corner = (x - width / 2, y - height / 2)
    axes.add_patch(
        FancyBboxPatch(corner, width, height, boxstyle="round,pad=0,rounding_size=0.12", fc=fill, ec=LINE, lw=1.1)
    )
    name, *rest = text.split("\n")
    axes.text(x, y + 0.13 * len(rest), name, ha="center", va="center", fontsize=11, weight="bold", color=INK)
    for line, words in enumerate(rest):
        axes.text(x, y + 0.13 * len(rest) - 0.27 * (line + 1), words, ha="center", va="center", fontsize=8.5, color=INK)


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], bend: float = 0.0) -> None:
    """What is sent."""
    style = f"arc3,rad={bend}"
    axes.add_patch(
        FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=12, lw=1.3, color=LINE, connectionstyle=style)
    )


def draw() -> None:
    """One round from left to right, and the average back."""
    figure, axes = plt.subplots(figsize=(9.4, 3.9))
    axes.set(xlim=(0, 9.4), ylim=(0, 3.9), aspect="equal")
    axes.axis("off")
    heights = (3.15, 2.05, 0.95)
    for y, name in zip(heights, ("Ada", "Bob", "Cyd"), strict=True):
        box(axes, (1.05, y), (1.9, 0.8), CLIENT, f"client {name}\nits images stay here")
        arrow(axes, (2.04, y), (3.62, 2.05 + 0.22 * (y - 2.05)))
    axes.text(2.95, 3.3, "one masked\nvector each", ha="center", va="center", fontsize=9, color=INK)
    box(axes, (4.5, 2.05), (1.7, 1.1), HUB, "hub\nadds vectors that\nit cannot read")
    for y, number in zip(heights, (1, 2, 3), strict=True):
        box(axes, (8.15, y), (2.3, 0.8), AGGREGATOR, f"aggregator {number}\na part of the masks' sum")
        arrow(axes, (6.96, y), (5.38, 2.05 + 0.22 * (y - 2.05)))
    axes.text(6.05, 3.3, "all commit before\nany opens", ha="center", va="center", fontsize=9, color=INK)
    arrow(axes, (4.5, 1.48), (1.3, 0.53), bend=-0.3)
    axes.text(
        4.5, 0.22, "the average, to every client: each checks it before it uses it, or the round aborts",
        ha="center", va="center", fontsize=9, color=INK,
    )  # fmt: skip
    figure.savefig(OUT, metadata={"Date": None}, bbox_inches="tight", pad_inches=0.05)


if __name__ == "__main__":
    draw()

"""How many times faster than model2vec each vocabulary and kind of text is, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vecsmith.reporting.pictures.drawing import FAINT, FONT, INK, RULE

SIDES = (("vecsmith", "#0a3d62", "unseen text"), ("vecsmith, text seen before", "#8fb3cc", "seen"))
PEER = "model2vec"


def save_picture(cases: Sequence[Any], names: Sequence[str], path: Path) -> None:
    """Draws a bar of each case's median with the range of its rounds, and writes a PNG."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    plt.rcParams["font.family"] = FONT
    figure, axes = plt.subplots(figsize=(9.6, 1.2 + 0.34 * len(cases)), dpi=120)
    for place, case in enumerate(cases):
        for side, color, _ in reversed(SIDES):
            ratio = case["times_faster"][side][PEER]
            width = 0.62 if side == SIDES[0][0] else 0.8
            axes.barh(place, ratio["median"], height=width, color=color)
        ratio = case["times_faster"][SIDES[0][0]][PEER]
        axes.plot([ratio["min"], ratio["max"]], [place, place], color="#e07a1f", linewidth=1.6)
        axes.annotate(
            f"{ratio['median']:.0f}x", xy=(0, place), xytext=(4, 0), textcoords="offset points",
            va="center", fontsize=8.5, color="white",
        )  # fmt: skip
    axes.set_yticks(range(len(cases)), names, fontsize=9, color=INK)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.grid(axis="x", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelcolor=INK)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.set_title(
        "Times faster than model2vec on the same core, float32, 256 dimensions",
        loc="left", fontsize=11.5, color=INK, pad=26,
    )  # fmt: skip
    axes.annotate(
        "dark: text not seen before, the range of the rounds in orange; light: text seen before",
        xy=(0, 1), xycoords="axes fraction", xytext=(0, 10), textcoords="offset points",
        fontsize=9, color=FAINT,
    )  # fmt: skip
    figure.savefig(path, bbox_inches="tight")
    plt.close(figure)

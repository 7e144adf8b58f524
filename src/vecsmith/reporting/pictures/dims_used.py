"""How many dimensions the texts of each class took before a classifier was sure.

The one rule: a class's bar is all of its texts, cut by the prefix that decided them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from vecsmith.reporting.pictures.drawing import (
    FAINT,
    INK,
    KeyEntry,
    Look,
    PanelSizes,
    clean_axes,
    draw_bar_sample,
    drawable,
    own_style,
    panels,
)

_BAR = 0.17  # inches
_LEFT = 2.6
# From pale to dark, the longest prefix darkest; hatches tell them apart on grey paper.
_LOOKS: Final = (
    Look("#d7ecf7", "", "solid", ""),
    Look("#a3d1ea", "", "solid", ""),
    Look("#5fb0d8", "", "solid", "//"),
    Look("#2f7fb0", "", "solid", ""),
    Look("#0a3d62", "", "solid", "xx"),
    Look("#e8b93f", "", "solid", ""),
    Look("#e07a1f", "", "solid", "//"),
    Look("#7a2e5d", "", "solid", ""),
)


def dims_used_figure(
    shares: Mapping[str, Sequence[float]],
    dims: Sequence[int],
    *,
    title: str,
    subtitle: str = "",
    most: int = 24,
) -> Any | None:
    """Bars of the share of each class's texts that each prefix decided; None without classes.

    Classes stand by their mean dimensions, the fewest first. Of more than `most`, those with the
    fewest and those with the most are drawn, and the picture says so.

    Args:
        shares: For each class the share of its texts that each prefix decided, summing to 1.
        dims: The prefix lengths, ascending.
        title: Of the picture.
        subtitle: Under it.
        most: Most classes to draw.

    Raises:
        ValueError: If a class has not as many shares as there are prefixes.
        MissingExtraError: If matplotlib is not installed.
    """
    for name, parts in shares.items():
        if len(parts) != len(dims):
            raise ValueError(
                f"class {name!r} has {len(parts)} shares, expected {len(dims)}, one a prefix"
            )
    if not shares:
        return None
    means = {
        name: sum(dim * part for dim, part in zip(dims, parts, strict=True))
        for name, parts in shares.items()
    }
    ordered = sorted(shares, key=lambda name: (means[name], name))
    if len(ordered) > most:
        half = most // 2
        subtitle += f"; of {len(ordered)} classes the {half} with the fewest and with the most"
        ordered = [*ordered[:half], *ordered[-half:]]
    looks = [_LOOKS[place % len(_LOOKS)] for place in range(len(dims))]
    with own_style():
        figure, (axes,) = panels(
            1,
            PanelSizes(
                n_columns=1, height=max(0.8, len(ordered) * _BAR * 1.35), left=_LEFT, right=0.75,
                above=0.28, below=0.45,
            ),
            title=drawable(title, 80),
            subtitle=drawable(subtitle.removeprefix("; "), 140),
            key=[
                KeyEntry(label=f"{dim} dims", draw=partial(draw_bar_sample, look=look))
                for dim, look in zip(dims, looks, strict=True)
            ],
        )  # fmt: skip
        _draw(axes, [(name, shares[name], means[name]) for name in ordered], looks)
    return figure


def _draw(
    axes: Any, rows: Sequence[tuple[str, Sequence[float], float]], looks: Sequence[Look]
) -> None:
    clean_axes(axes, "", grid="x")
    places = range(len(rows))
    before = [0.0] * len(rows)
    for m, look in enumerate(looks):
        widths = [100 * parts[m] for _, parts, _ in rows]
        axes.barh(
            places, widths, left=before, height=0.74, color=look.color, hatch=look.hatch,
            edgecolor="white", linewidth=0,
        )  # fmt: skip
        before = [left + width for left, width in zip(before, widths, strict=True)]
    for place, (_, _, mean) in enumerate(rows):
        axes.annotate(
            f"{mean:.1f}", xy=(100, place), xytext=(6, 0), textcoords="offset points", fontsize=8,
            color=INK, ha="left", va="center", annotation_clip=False,
        )  # fmt: skip
    axes.annotate(
        "mean dims", xy=(1, 1), xycoords="axes fraction", xytext=(6, 4),
        textcoords="offset points", fontsize=8, color=FAINT, ha="left", va="bottom",
        annotation_clip=False,
    )  # fmt: skip
    axes.set_yticks(list(places), [drawable(name, 34) for name, _, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, 100)
    axes.set_xlabel("share of the class's texts, %", fontsize=8.5, color=FAINT, labelpad=2)

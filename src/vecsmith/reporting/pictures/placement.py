"""Places for labels where they cover nothing.

The one rule: a label is moved before it is allowed to overlap; lengths are in pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

_RINGS = 40
_STEP = 0.6  # of a label's height, from ring to ring


class Box(NamedTuple):
    """A rectangle, y upwards."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: Box) -> float:
        """Area that both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(0.0, width) * max(0.0, height)

    def holds(self, other: Box) -> bool:
        """Whether `other` is wholly inside."""
        across = self.left <= other.left and other.right <= self.right
        return across and self.bottom <= other.bottom and other.top <= self.top


def free_box(point: Box, width: float, height: float, *, taken: Sequence[Box], frame: Box) -> Box:
    """The place nearest to `point` that is free and in `frame`; else the one that covers least.

    Args:
        point: What the label belongs to.
        width: Of the label.
        height: Of the label.
        taken: What must not be covered, the point itself among it.
        frame: Where the label has to be.
    """
    best, least = None, float("inf")
    for box in _candidates(point, width, height):
        cost = sum(box.overlap(other) for other in taken)
        if not frame.holds(box):
            cost += 1e9
        if cost == 0:
            return box
        if cost < least:
            best, least = box, cost
    assert best is not None
    return best


def _candidates(point: Box, width: float, height: float) -> Iterator[Box]:
    """Right, left, above and below of the point, farther and farther away."""
    gap = 0.25 * height
    middle_x, middle_y = (point.left + point.right) / 2, (point.bottom + point.top) / 2
    for ring in range(_RINGS):
        away = ring * _STEP * height
        for left, bottom in (
            (point.right + gap, middle_y - height / 2 + away),
            (point.right + gap, middle_y - height / 2 - away),
            (point.left - gap - width, middle_y - height / 2 + away),
            (point.left - gap - width, middle_y - height / 2 - away),
            (middle_x - width / 2, point.top + gap + away),
            (middle_x - width / 2, point.bottom - gap - away - height),
        ):
            yield Box(left, bottom, left + width, bottom + height)


def spread(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """`places` moved as little as needed to be `gap` apart, kept between `low` and `high`.

    Where they do not fit, the gap shrinks: the order is kept in any case.
    """
    order = sorted(range(len(places)), key=lambda index: (places[index], index))
    if len(places) > 1:
        gap = min(gap, (high - low) / (len(places) - 1))
    moved = [0.0] * len(places)
    # blocks of labels that touch, each centred on the mean of what its members want
    blocks: list[tuple[list[int], float]] = []
    for index in order:
        members, start = [index], min(max(places[index], low), high)
        while blocks and blocks[-1][1] + gap * len(blocks[-1][0]) > start:
            members = blocks.pop()[0] + members
            wanted = sum(places[m] - gap * i for i, m in enumerate(members)) / len(members)
            start = min(max(wanted, low), high - gap * (len(members) - 1))
        blocks.append((members, start))
    for members, start in blocks:
        for i, member in enumerate(members):
            moved[member] = start + gap * i
    return moved

from __future__ import annotations

import numpy as np

from vecsmith.reporting.pictures.placement import Box, free_box, spread


def test_spread_keeps_order_gap_and_bounds() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        n = int(rng.integers(1, 12))
        wanted = rng.uniform(-0.1, 1.1, n).tolist()
        moved = spread(wanted, 0.07, 0.0, 1.0)
        assert min(moved) >= -1e-9
        assert max(moved) <= 1 + 1e-9
        order = np.argsort(wanted, kind="stable")
        gaps = np.diff(np.array(moved)[order])
        assert (gaps >= 0.07 - 1e-9).all()


def test_labels_that_are_free_stay_where_they_are() -> None:
    assert spread([0.1, 0.9, 0.5], 0.1, 0, 1) == [0.1, 0.9, 0.5]


def test_labels_around_one_place_cover_neither_each_other_nor_the_points() -> None:
    rng = np.random.default_rng(0)
    frame = Box(0, 0, 1000, 600)
    corners = rng.uniform([400, 250], [460, 300], (8, 2))
    points = [Box(x - 8, y - 8, x + 8, y + 8) for x, y in corners]
    taken = list(points)
    for point in points:
        box = free_box(point, float(rng.uniform(40, 250)), 16, taken=taken, frame=frame)
        assert all(box.overlap(other) == 0 for other in taken)
        assert frame.holds(box)
        taken.append(box)


def test_a_free_label_stands_right_of_its_point() -> None:
    point, frame = Box(90, 90, 110, 110), Box(0, 0, 500, 200)
    box = free_box(point, 50, 16, taken=[point], frame=frame)
    assert box.left > point.right
    assert (box.bottom + box.top) / 2 == 100


def test_at_the_edge_it_stands_left() -> None:
    point, frame = Box(470, 90, 490, 110), Box(0, 0, 500, 200)
    assert free_box(point, 50, 16, taken=[point], frame=frame).right < point.left


def test_where_nothing_is_free_it_covers_as_little_as_it_can() -> None:
    frame = Box(0, 0, 100, 20)
    point = Box(45, 5, 55, 15)
    box = free_box(point, 80, 16, taken=[point, frame], frame=frame)
    assert box.right - box.left == 80

"""Progress bars: drawn on a terminal, nothing anywhere else."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable

import pytest

from vecsmith._progress import progress_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def draw(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What a bar of 2,000 steps writes to stderr when 500 and then all are done."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")

    def drawn(
        file: io.StringIO,
        *,
        show: bool = True,
        total: int | None = 2000,
        details: tuple[str, ...] = ("", ""),
    ) -> str:
        monkeypatch.setattr(sys, "stderr", file)
        with progress_bar("work on [b]x[/b].txt", total=total, show=show) as advance:
            for n, detail in zip((500, 1500), details, strict=True):
                advance(n, detail or None)
        return file.getvalue()

    return drawn


def test_a_terminal_shows_the_label_the_share_and_the_detail(draw: Callable[..., str]) -> None:
    drawn = draw(Terminal(), details=("", "12 rows"))
    for part in ("work on [b]x[/b].txt", "100%", "12 rows"):
        assert part in drawn


def test_the_count_stands_where_no_detail_is_given(draw: Callable[..., str]) -> None:
    assert "2,000 of 2,000" in draw(Terminal())
    drawn = draw(Terminal(), total=None)
    assert "2,000" in drawn
    assert "2,000 of" not in drawn


def test_nothing_is_drawn_when_unasked_or_where_nobody_watches(draw: Callable[..., str]) -> None:
    assert draw(io.StringIO()) == ""
    assert draw(Terminal(), show=False) == ""

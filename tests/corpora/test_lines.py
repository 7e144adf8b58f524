from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecsmith.corpora.lines import LineTooLong, line_blocks


@given(
    lines=st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"")), max_size=30),
    ends=st.booleans(),
    max_lines=st.integers(1, 7),
    max_bytes=st.integers(1, 20),
)
def test_blocks_hold_every_line_once_and_do_not_depend_on_where_reading_began(
    lines: list[bytes], ends: bool, max_lines: int, max_bytes: int
) -> None:
    content = b"\n".join(lines) + (b"\n" if ends else b"")
    blocks = list(line_blocks(io.BytesIO(content), max_lines=max_lines, max_bytes=max_bytes))

    assert b"".join(block for block, _ in blocks) == content
    offset = 0
    for index, (block, n_lines) in enumerate(blocks):
        assert n_lines <= max_lines
        assert len(block) <= max_bytes or n_lines == 1
        assert n_lines == block.count(b"\n") + (not block.endswith(b"\n"))
        stream = io.BytesIO(content)
        stream.seek(offset)
        again = line_blocks(stream, max_lines=max_lines, max_bytes=max_bytes)
        assert list(again) == blocks[index:]
        offset += len(block)


def test_a_line_that_does_not_end_is_given_up() -> None:
    for length in (5_000, 50_000_000):
        stream = io.BytesIO(b"first\n" + b"x" * length)
        blocks = line_blocks(stream, max_lines=9, max_bytes=100, max_line_bytes=1000)
        assert next(blocks) == (b"first\n", 1)
        with pytest.raises(LineTooLong):
            next(blocks)
        assert stream.tell() < 1500  # no more was read than is needed to know

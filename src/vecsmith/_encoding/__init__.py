"""Texts and files of texts -> vectors and files of vectors, beneath `StaticModel`."""

from __future__ import annotations

from vecsmith._encoding.line_file import (
    LineFile,
    LineJob,
    check_lines,
    check_target,
    write_line_vectors,
)
from vecsmith._encoding.text_encoder import TextEncoder

__all__ = [
    "LineFile",
    "LineJob",
    "TextEncoder",
    "check_lines",
    "check_target",
    "write_line_vectors",
]

"""Texts and files of texts -> vectors and files of vectors, beneath `StaticModel`."""

from __future__ import annotations

from vecsmith._encoding.line_file import LineFile, encode_lines
from vecsmith._encoding.text_encoder import TextEncoder

__all__ = ["LineFile", "TextEncoder", "encode_lines"]

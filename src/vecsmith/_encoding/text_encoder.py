"""Texts -> vectors: the engine where it knows the tokenizer, `tokenizers` and the engine elsewhere.

One rule: a `TextEncoder` never changes after it is made, so any number of threads may use one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vecsmith import _core
from vecsmith._encoding.threads import granted_threads
from vecsmith._outputs import OutputDtype, Vectors
from vecsmith._texts import Chunk, Utf8Texts, ViewTexts, strings_of
from vecsmith.formats import Checkpoint
from vecsmith.formats.int4_table import Int4Table
from vecsmith.formats.short_tables import Bfloat16Table, Int16Table
from vecsmith.tokenizer import Tokenizer, cpu_level


class TextEncoder:
    """What makes vectors of texts, however its tokenizer works."""

    def __init__(self, checkpoint: Checkpoint, tokenizer: Tokenizer) -> None:
        """Looks at the memory of `checkpoint`, which it keeps alive.

        Raises:
            ValueError: If the tokenizer gives ids that the table has no row for.
        """
        self._tokenizer = tokenizer
        #: Token that does not count, or None.
        self.dropped_id: int | None = tokenizer.unk_id if checkpoint.unknown == "drop" else None
        table = _native_table(checkpoint)
        self._native: _core.Encoder | None = None
        self._pooler: _core.Pooler | None = None
        if tokenizer.native is not None:
            self._native = _core.Encoder(tokenizer.native, table, cpu_level())
            return
        self._pooler = _core.Pooler(table, cpu_level())
        if tokenizer.n_ids > checkpoint.n_tokens:
            raise ValueError(
                f"the tokenizer gives ids up to {tokenizer.n_ids - 1} "
                f"but the table has {checkpoint.n_tokens} tokens"
            )

    @property
    def is_native(self) -> bool:
        """Whether the engine does all the work."""
        return self._native is not None

    def settings(
        self,
        *,
        max_length: int | None,
        dim: int,
        normalize: bool,
        dtype: OutputDtype = "float32",
    ) -> _core.EncodeSettings:
        """What holds for every text of an encoding.

        Args:
            max_length: Tokens of a text that count, None for all.
            dim: Prefix length.
            normalize: Whether to scale to unit length.
            dtype: What vectors are written as.
        """
        keeps_end = self._tokenizer.keeps_end
        return _core.EncodeSettings(max_length, keeps_end, dim, normalize, self.dropped_id, dtype)

    def write(
        self, texts: Chunk, out: Vectors, settings: _core.EncodeSettings, n_threads: int | None
    ) -> None:
        """Writes the vectors of `texts` to `out`, as many rows of what `settings` says.

        Args:
            texts: Texts of one call.
            out: Where to.
            settings: What holds for every text.
            n_threads: Threads to use; None for the cores that no other call uses.

        Raises:
            TypeError: If a text is not a str.
        """
        with granted_threads(n_threads) as granted:
            self._write(texts, out, settings, granted)

    def write_lines(
        self,
        data: NDArray[np.uint8],
        begin: int,
        end: int,
        out: Vectors,
        settings: _core.EncodeSettings,
    ) -> None:
        """Writes the vectors of the lines of data[begin:end], UTF-8, to `out`; natively alone."""
        assert self._native is not None
        self._native.encode_lines(data, begin, end, out, settings, 1)

    def write_one(self, text: str, out: Vectors, settings: _core.EncodeSettings) -> None:
        """Writes the vector of `text` to `out`, one row."""
        if self._native is None:
            self.write([text], out[None, :], settings, 1)
        else:
            self._native.encode_one(text, out, settings)

    def _write(
        self, texts: Chunk, out: Vectors, settings: _core.EncodeSettings, n_threads: int
    ) -> None:
        if self._native is None:
            assert self._pooler is not None
            strings = strings_of(texts)
            ids, offsets = self._tokenizer.encode_batch(strings, max_length=settings.max_length)
            self._pooler.pool(ids, offsets, out, settings, n_threads)
        elif isinstance(texts, Utf8Texts):
            self._native.encode_utf8(texts.bytes, texts.offsets, out, settings, n_threads)
        elif isinstance(texts, ViewTexts):
            self._native.encode_views(texts.views, texts.buffers, out, settings, n_threads)
        else:
            self._native.encode(texts, 0, len(texts), out, settings, n_threads)


def _native_table(checkpoint: Checkpoint) -> _core.Table:
    table, weights, mapping = checkpoint.table, checkpoint.weights, checkpoint.mapping
    if isinstance(table, Bfloat16Table):
        return _core.Table.bfloat16(np.ascontiguousarray(table.bits), weights, mapping)
    if isinstance(table, Int16Table):
        codes = np.ascontiguousarray(table.codes)
        return _core.Table.int16(codes, np.ascontiguousarray(table.scales), weights, mapping)
    if not isinstance(table, Int4Table):
        return _core.Table(np.ascontiguousarray(table), weights, mapping)
    packed, scales, levels = (np.ascontiguousarray(part) for part in table.parts)
    return _core.Table.int4(packed, scales, levels, table.dim, weights, mapping)

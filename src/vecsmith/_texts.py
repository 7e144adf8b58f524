"""What users pass as texts -> what the engine takes."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Any iterable of strings: list, tuple, numpy or Arrow array, generator, ...
Texts = Iterable[str]


@dataclass(frozen=True, slots=True)
class Utf8Texts:
    """Texts one after another, as Arrow keeps strings and large strings.

    Attributes:
        bytes: UTF-8 of all texts, uint8, shape [B].
        offsets: Where each begins and the last ends, int32 or int64, shape [N + 1].
    """

    bytes: NDArray[np.uint8]
    offsets: NDArray[np.int32] | NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def strings(self) -> list[str]:
        """The texts."""
        first, last = int(self.offsets[0]), int(self.offsets[-1])
        data = self.bytes[first:last].tobytes()  # not the whole of a large array's buffer
        at = (self.offsets - first).tolist()
        return [_decoded(data[begin:end]) for begin, end in pairwise(at)]


@dataclass(frozen=True, slots=True)
class ViewTexts:
    """Texts wherever they are, as Arrow keeps string views.

    Attributes:
        views: What Arrow says of each text, uint8, shape [N, 16]: its length and itself if that is
            at most 12 bytes, else where it is.
        buffers: UTF-8 of the longer ones, uint8, shape [B] each.
    """

    views: NDArray[np.uint8]
    buffers: list[NDArray[np.uint8]]

    def __len__(self) -> int:
        return len(self.views)

    def strings(self) -> list[str]:
        """The texts."""
        texts = []
        for view, (n_bytes, _, buffer, begin) in zip(
            self.views, self.views.view(np.int32).tolist(), strict=True
        ):
            is_inline = n_bytes <= _INLINE_BYTES
            found = view[4:] if is_inline else self.buffers[buffer][begin:]
            texts.append(_decoded(found[:n_bytes].tobytes()))
        return texts


_INLINE_BYTES = 12
Chunk = list[Any] | Utf8Texts | ViewTexts


@dataclass(frozen=True, slots=True)
class PromptedTexts:
    """Texts that have been given their prompt and get no other.

    Attributes:
        texts: The texts, prompt included.
    """

    texts: Any


def count_of(texts: Any) -> int | None:
    """How many texts there are, or None for an iterator."""
    try:
        return len(texts)
    except TypeError:
        return None


def chunks_of(texts: Any, size: int) -> Iterator[Chunk]:
    """The texts in chunks of at most `size`, each a list of its own or views of Arrow memory.

    A list may hold things that are no strings: the engine says which.

    Raises:
        TypeError: If `texts` is nothing that holds strings.
        ValueError: If an array has more than one dimension or holds nulls.
    """
    if isinstance(texts, (bytes, bytearray, memoryview, dict, set, frozenset)):
        raise TypeError(f"texts are of type {type(texts).__name__}, expected str or a list of str")
    if isinstance(texts, np.ndarray):
        texts = _list_of_numpy(texts)
    elif (column := _arrow_column(texts)) is not None:
        yield from _arrow_chunks(column, size)
        return
    if isinstance(texts, (list, tuple)):
        for begin in range(0, len(texts), size):
            part = texts[begin : begin + size]
            yield part if type(part) is list else list(part)
        return
    try:
        iterator = iter(texts)
    except TypeError:
        raise TypeError(
            f"texts are of type {type(texts).__name__}, expected str or an iterable of str"
        ) from None
    while chunk := list(islice(iterator, size)):
        yield chunk


def with_prompt(texts: Any, prompt: str) -> Any:
    """The texts with `prompt` before each; an iterator stays one."""
    if prompt == "":
        return texts
    if isinstance(texts, str):
        return prompt + texts
    prompted = _prompted(texts, prompt)
    return prompted if count_of(texts) is None else list(prompted)


def _prompted(texts: Any, prompt: str) -> Iterator[Any]:
    for chunk in chunks_of(texts, 1024):
        # What is no string is passed on, for the engine to name it.
        yield from (prompt + t if isinstance(t, str) else t for t in strings_of(chunk))


def check_strings(chunk: Chunk, first: int) -> None:
    """Says which text of a chunk is no string; the chunk's own texts are counted from `first`.

    Raises:
        TypeError: If there is one.
    """
    if not isinstance(chunk, list):
        return
    for i, text in enumerate(chunk, first):
        if not isinstance(text, str):
            raise TypeError(f"text {i} is of type {type(text).__name__}, expected str")


def strings_of(chunk: Chunk) -> list[Any]:
    """The texts of a chunk as strings."""
    return chunk if isinstance(chunk, list) else chunk.strings()


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", errors="replace")


def _list_of_numpy(texts: NDArray[Any]) -> list[Any]:
    if texts.ndim != 1:
        raise ValueError(f"texts have shape {list(texts.shape)}, expected one dimension")
    if texts.dtype.kind == "S":
        raise TypeError(
            f"texts are an array of bytes ({texts.dtype}), expected strings: decode them first, "
            'with numpy.strings.decode(texts, "utf-8")'
        )
    if texts.dtype.kind not in "OUT":
        raise TypeError(f"texts are an array of {texts.dtype}, expected strings")
    items: list[Any] = texts.tolist()
    return items


def _arrow_column(texts: Any) -> Any:
    """The Arrow memory that `texts` are in, None if they are in none or pyarrow cannot be had."""
    match type(texts).__module__.split(".")[0]:
        case "pyarrow":
            return texts
        case "polars" if hasattr(texts, "__arrow_c_stream__") and _can_import("pyarrow"):
            import pyarrow as pa

            return pa.chunked_array(texts)
        case "pandas" if type(getattr(texts, "array", texts)).__name__.startswith("Arrow"):
            return getattr(texts, "array", texts).__arrow_array__()
    return None


def _can_import(library: str) -> bool:
    return library in sys.modules or find_spec(library) is not None


def _arrow_chunks(texts: Any, size: int) -> Iterator[Utf8Texts | ViewTexts]:
    import pyarrow as pa

    if isinstance(texts, pa.Scalar | pa.Table | pa.RecordBatch):
        raise TypeError(
            f"texts are a pyarrow {type(texts).__name__}, expected a column: use table['text']"
        )
    arrays = texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts]
    row = 0
    for array in arrays:
        _check_arrow(pa, array, row)
        row += len(array)
        for begin in range(0, len(array), size):
            yield _arrow_memory(pa, array.slice(begin, size))


def _check_arrow(pa: Any, array: Any, row: int) -> None:
    kind = array.type
    is_coded = pa.types.is_dictionary(kind)
    if is_coded:
        kind = kind.value_type
    text_types = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    if not any(is_text(kind) for is_text in text_types):
        raise TypeError(f"texts are an Arrow array of {array.type}, expected strings")
    # a code may stand for a null of the dictionary
    has_nulls = array.null_count or (is_coded and array.dictionary.null_count)
    if not has_nulls:
        return
    is_null = (array.dictionary_decode() if is_coded else array).is_null()
    nulls = np.flatnonzero(is_null.to_numpy(zero_copy_only=False))
    if len(nulls):
        raise ValueError(
            f"text {row + int(nulls[0])} is null ({len(nulls)} nulls in all), expected a string: "
            'use array.fill_null("") or array.drop_null()'
        )


def _arrow_memory(pa: Any, array: Any) -> Utf8Texts | ViewTexts:
    """The memory of a short array without nulls; codes alone are looked up, into new memory."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    buffers, rows = array.buffers(), slice(array.offset, array.offset + len(array) + 1)
    if pa.types.is_string_view(array.type):
        views = _bytes_of(buffers[1])[16 * rows.start : 16 * (rows.stop - 1)].reshape(-1, 16)
        return ViewTexts(views, [_bytes_of(buffer) for buffer in buffers[2:]])
    if pa.types.is_large_string(array.type):
        return Utf8Texts(_bytes_of(buffers[2]), np.frombuffer(buffers[1], np.int64)[rows])
    return Utf8Texts(_bytes_of(buffers[2]), np.frombuffer(buffers[1], np.int32)[rows])


def _bytes_of(buffer: Any) -> NDArray[np.uint8]:
    is_empty = buffer is None or buffer.size == 0  # which numpy takes for a mistake
    return np.empty(0, dtype=np.uint8) if is_empty else np.frombuffer(buffer, dtype=np.uint8)

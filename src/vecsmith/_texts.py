"""What users pass as texts -> what the engine takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Any iterable of strings: list, tuple, numpy or Arrow array, generator, ...
Texts = Iterable[str]


@dataclass(frozen=True, slots=True)
class Utf8Texts:
    """Texts as Arrow keeps them.

    Attributes:
        bytes: UTF-8 of all texts, uint8, shape [B].
        offsets: Where each begins and the last ends, int64, shape [N + 1].
    """

    bytes: NDArray[np.uint8]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1


Chunk = list[Any] | Utf8Texts


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
    if isinstance(texts, (bytes, bytearray, memoryview, dict)):
        raise TypeError(f"texts are of type {type(texts).__name__}, expected str or a list of str")
    if isinstance(texts, np.ndarray):
        texts = _list_of_numpy(texts)
    elif type(texts).__module__.split(".")[0] == "pyarrow":
        yield from _arrow_chunks(texts, size)
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
    if isinstance(chunk, Utf8Texts):
        return
    for i, text in enumerate(chunk, first):
        if not isinstance(text, str):
            raise TypeError(f"text {i} is of type {type(text).__name__}, expected str")


def strings_of(chunk: Chunk) -> list[Any]:
    """The texts of a chunk as strings."""
    if not isinstance(chunk, Utf8Texts):
        return chunk
    first, last = int(chunk.offsets[0]), int(chunk.offsets[-1])
    data = chunk.bytes[first:last].tobytes()  # not the whole of a large array's buffer
    at = (chunk.offsets - first).tolist()
    return [data[begin:end].decode("utf-8", errors="replace") for begin, end in pairwise(at)]


def _list_of_numpy(texts: NDArray[Any]) -> list[Any]:
    if texts.ndim != 1:
        raise ValueError(f"texts have shape {list(texts.shape)}, expected one dimension")
    if texts.dtype.kind not in "OUT":
        raise TypeError(f"texts are an array of {texts.dtype}, expected strings")
    items: list[Any] = texts.tolist()
    return items


def _arrow_chunks(texts: Any, size: int) -> Iterator[Utf8Texts]:
    import pyarrow as pa

    if isinstance(texts, pa.Scalar | pa.Table | pa.RecordBatch):
        raise TypeError(
            f"texts are a pyarrow {type(texts).__name__}, expected a column: use table['text']"
        )
    arrays = texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts]
    row = 0
    for array in arrays:
        strings = _large_strings(pa, array, row)
        row += len(strings)
        for begin in range(0, len(strings), size):
            part = strings.slice(begin, size)
            _, offsets, data = part.buffers()
            at = np.frombuffer(offsets, dtype=np.int64)[part.offset : part.offset + len(part) + 1]
            n_bytes = 0 if data is None else data.size
            raw = np.frombuffer(data, dtype=np.uint8) if n_bytes else np.empty(0, dtype=np.uint8)
            yield Utf8Texts(raw, at)


def _large_strings(pa: Any, array: Any, row: int) -> Any:
    kind = array.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    text_types = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    if not any(is_text(kind) for is_text in text_types):
        raise TypeError(f"texts are an Arrow array of {array.type}, expected strings")
    strings = array.cast(pa.large_string())  # nulls of a dictionary show only now
    if strings.null_count:
        first = row + int(np.flatnonzero(strings.is_null().to_numpy(zero_copy_only=False))[0])
        raise ValueError(
            f"text {first} is null ({strings.null_count} nulls in all), expected a string: "
            'use array.fill_null("") or array.drop_null()'
        )
    return strings

"""Ids of rows, and the way back from an id to its row, without an object for each.

Ids are whole numbers or texts. Both ways are arrays that can be mapped from a file: the ids in the
order of their rows, and sorted keys with their rows. The key of a number is the number, that of a
text the first eight bytes of its BLAKE2b; rows of equal keys are compared by their ids.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from vecsmith.errors import FormatError

IdKind = Literal["int", "str"]
# What a hit that is not there has for an id
NO_ID: Final = -1
# Texts that may have one key of 64 bits: two hardly ever meet, more only in a broken file
_MOST_EQUAL: Final = 64


class RowIds(Protocol):
    """Ids of N rows, wherever they are kept."""

    kind: IdKind

    def __len__(self) -> int:
        """How many rows."""
        ...

    def take(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Ids of `rows` of any shape; of a row below 0 it is -1, or None among texts."""
        ...

    def rows_of(self, ids: NDArray[np.int64] | Sequence[str]) -> NDArray[np.int64]:
        """Row of each id, -1 where there is none."""
        ...


class Ids:
    """Ids of N rows; not to be changed.

    Attributes:
        kind: Numbers or texts.
        arrays: What it is made of, by name, as it is written to files.
    """

    def __init__(self, kind: IdKind, arrays: Mapping[str, NDArray[Any]], *, source: str) -> None:
        """Takes arrays as `Ids.of` made them; `source` names them in errors.

        Raises:
            FormatError: If they do not fit together.
        """
        self.kind: IdKind = kind
        self.arrays = dict(arrays)
        self._source = source
        self._check()

    @classmethod
    def of(cls, ids: NDArray[np.int64] | Sequence[str]) -> Ids:
        """Of rows with these ids, which are distinct and of one kind."""
        arrays: dict[str, NDArray[Any]] = {}
        if isinstance(ids, np.ndarray):
            kind: IdKind = "int"
            arrays["ids"] = keys = np.ascontiguousarray(ids, dtype=np.int64)
        else:
            kind = "str"
            texts = [text.encode() for text in ids]
            ends = np.cumsum([0, *map(len, texts)], dtype=np.int64)
            arrays["ids"] = np.frombuffer(b"".join(texts), dtype=np.uint8)
            arrays["id-ends"] = ends
            keys = _text_keys(ids)
        order = np.argsort(keys, kind="stable")
        arrays["id-keys"], arrays["id-rows"] = keys[order], order.astype(np.int64)
        return cls(kind, arrays, source="ids")

    def __len__(self) -> int:
        return len(self.arrays["id-keys"])

    def take(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Ids of `rows` of any shape; of a row below 0 it is -1, or None among texts.

        Raises:
            FormatError: If a text is no UTF-8.
        """
        if self.kind == "int":
            found = np.full(rows.shape, NO_ID, dtype=np.int64)
            found[rows >= 0] = self.arrays["ids"][rows[rows >= 0]]
            return found
        texts = np.full(rows.shape, None, dtype=object)
        flat = texts.reshape(-1)
        for place, row in enumerate(rows.reshape(-1).tolist()):
            if row >= 0:
                flat[place] = self._text(row)
        return texts

    def rows_of(self, ids: NDArray[np.int64] | Sequence[str]) -> NDArray[np.int64]:
        """Row of each id, -1 where there is none.

        Raises:
            FormatError: If the arrays are from a broken file.
        """
        numbers = isinstance(ids, np.ndarray)
        keys = ids if isinstance(ids, np.ndarray) else _text_keys(ids)
        sorted_keys = self.arrays["id-keys"]
        rows = np.full(len(keys), -1, dtype=np.int64)
        places = np.searchsorted(sorted_keys, keys, side="left")
        open_ = np.flatnonzero(places < len(sorted_keys))
        for _ in range(_MOST_EQUAL):  # again where texts of one key stand beside each other
            if not len(open_):
                return rows
            open_ = open_[sorted_keys[places[open_]] == keys[open_]]
            found = self._checked(self.arrays["id-rows"][places[open_]])
            if numbers:
                is_it = self.arrays["ids"][found] == keys[open_]
            else:
                pairs = zip(found.tolist(), open_.tolist(), strict=True)
                is_it = np.array([self._text(row) == ids[i] for row, i in pairs], dtype=bool)
            rows[open_[is_it]] = found[is_it]
            open_ = open_[~is_it]
            places[open_] += 1
            open_ = open_[places[open_] < len(sorted_keys)]
        raise FormatError(
            f"{self._source}: a key is there more than {_MOST_EQUAL} times, expected keys that "
            "tell ids apart; the file was altered, restore it or build the index again"
        )

    def _checked(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        if len(rows) and not (rows.min() >= 0 and rows.max() < len(self)):
            raise FormatError(
                f"{self._source}: a key leads to row {rows.max()} or {rows.min()} of {len(self)}, "
                "expected one that is there; the file was altered, restore it or build the index "
                "again"
            )
        return rows

    def _text(self, row: int) -> str:
        begin, end = self.arrays["id-ends"][row : row + 2].tolist()
        text = self.arrays["ids"][max(0, begin) : max(0, end)].tobytes()
        try:
            return text.decode()
        except UnicodeDecodeError as error:
            raise FormatError(
                f"{self._source}: the id of row {row} is not UTF-8; the file was altered, restore "
                "it or build the index again"
            ) from error

    def _check(self) -> None:
        arrays = self.arrays
        expected = {"ids", "id-keys", "id-rows"} | ({"id-ends"} if self.kind == "str" else set())
        n = len(arrays["id-keys"]) if set(arrays) == expected else -1
        fits = n >= 0 and len(arrays["id-rows"]) == n
        if fits and self.kind == "int":
            fits = len(arrays["ids"]) == n
        elif fits:
            ends = arrays["id-ends"]
            fits = len(ends) == n + 1 and int(ends[-1]) == len(arrays["ids"])
        if not fits:
            shapes = {name: list(array.shape) for name, array in arrays.items()}
            raise FormatError(f"{self._source}: arrays of ids {shapes}, expected them to fit")


def checked_ids(ids: Any, n: int | None = None) -> NDArray[np.int64] | list[str]:
    """Ids as numbers or as texts, all of one kind and no two the same.

    Args:
        ids: Numbers or texts: a list, an array, a pandas or Arrow column.
        n: How many there have to be; None for any number.

    Raises:
        TypeError: If they are neither.
        ValueError: If there are not `n`, two are equal, or one is -1, which stands for no hit.
    """
    found = one_kind(ids)
    if n is not None and len(found) != n:
        raise ValueError(f"{len(found)} ids for {n} vectors, expected one for each")
    if isinstance(found, np.ndarray):
        values, counts = np.unique(found, return_counts=True)
        if (counts > 1).any():
            twice: Any = int(values[counts > 1][0])
            raise ValueError(f"id {twice} is there twice, expected each id once")
        if (values == NO_ID).any():
            raise ValueError(f"an id is {NO_ID}, which stands for no hit; expected another number")
        return found
    if len(set(found)) < len(found):
        seen: set[str] = set()
        twice = next(text for text in found if text in seen or seen.add(text))  # type: ignore[func-returns-value]
        raise ValueError(f"id {twice!r:.80} is there twice, expected each id once")
    return found


def one_kind(ids: Any) -> NDArray[np.int64] | list[str]:
    """Ids as an array of numbers or a list of texts.

    Raises:
        TypeError: If they are neither, or some of each.
    """
    if isinstance(ids, str | bytes):
        raise TypeError(f"ids are {ids!r:.60}, expected a list of them")
    if isinstance(ids, np.ndarray) and ids.dtype.kind in "iu" and ids.ndim == 1:
        return _as_int64(ids)
    items = ids.tolist() if hasattr(ids, "tolist") else list(ids)
    if all(isinstance(item, str) for item in items) and items:
        return [_whole(item) for item in items]
    if all(isinstance(item, int | np.integer) and not isinstance(item, bool) for item in items):
        try:
            return np.array(items, dtype=np.int64)
        except OverflowError as error:
            raise ValueError("an id is beyond 64 bits, expected a smaller number") from error
    odd = next((x for x in items if not isinstance(x, str)), items[0])
    raise TypeError(
        f"an id is {odd!r:.60} ({type(odd).__name__}), expected whole numbers or texts, all of "
        "one kind"
    )


def _whole(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"id {text!r:.80} has half a character, expected a text that UTF-8 can hold"
        ) from error
    return str(text)


def _as_int64(ids: NDArray[Any]) -> NDArray[np.int64]:
    if ids.dtype.kind == "u" and ids.size and int(ids.max()) >= 2**63:
        raise ValueError(f"id {int(ids.max())} is beyond 63 bits, expected a smaller number")
    return ids.astype(np.int64)


def shown(ids: NDArray[np.int64] | Sequence[str], i: int) -> str:
    """Id `i` as an error shows it."""
    return f"{ids[i]:d}" if isinstance(ids, np.ndarray) else f"{ids[i]!r:.80}"


def ids_of_both(parts: Iterable[NDArray[Any]], kind: IdKind) -> NDArray[np.int64] | list[str]:
    """Ids of several parts, one after another, as `Ids.of` takes them."""
    joined = list(parts)
    if kind == "int":
        return np.concatenate(joined) if joined else np.zeros(0, dtype=np.int64)
    return [text for part in joined for text in part.tolist()]


def _text_keys(texts: Sequence[str]) -> NDArray[np.int64]:
    digests = (hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts)
    return np.frombuffer(b"".join(digests), dtype="<i8").astype(np.int64)

"""Tables of the private module: parts of an int4 one that fit, that do not, and that live."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

from vecsmith import _core


def parts(n_rows: int = 3, dim: int = 40, **changes: Any) -> dict[str, Any]:
    n_groups = -(-dim // 32)
    kept: dict[str, Any] = {
        "codes": np.zeros((n_rows, 16 * n_groups), dtype=np.uint8),
        "scales": np.full((n_rows, n_groups), 0x3F80, dtype=np.uint16),
        "levels": np.arange(16, dtype=np.int8),
        "dim": dim,
        "weights": None,
        "mapping": None,
    }
    return {**kept, **changes}


@pytest.mark.parametrize(
    "change",
    [
        {"codes": np.zeros((3, 16), dtype=np.uint8)},
        {"codes": np.zeros((2, 32), dtype=np.uint8)},
        {"scales": np.zeros((3, 1), dtype=np.uint16)},
        {"levels": np.zeros(15, dtype=np.int8)},
        {"dim": 32},
        {"dim": 65},
        {"dim": 2**64 - 1},
        {"dim": 2**63},
    ],
)
def test_parts_that_do_not_fit_are_refused_with_their_sizes(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"codes \[\d, \d+\], scales \[3, \d\] and \d+ levels for"):
        _core.Table.int4(**{**parts(), **change})


def test_rows_without_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="0 dimensions"):
        _core.Table.int4(**parts(dim=0))


def test_parts_are_never_converted_in_silence() -> None:
    for name, dtype in (("codes", np.int8), ("scales", np.float32), ("levels", np.uint8)):
        wrong = parts()[name].astype(dtype)
        with pytest.raises(TypeError, match="incompatible"):
            _core.Table.int4(**parts(**{name: wrong}))
    with pytest.raises(TypeError, match="incompatible"):
        _core.Table.int4(**parts(codes=np.zeros((3, 64), dtype=np.uint8)[:, ::2]))


def test_a_mapping_beyond_the_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="mapping of token 1 is row 3 but there are 3 rows"):
        _core.Table.int4(**parts(mapping=np.array([0, 3], dtype=np.uint32)))


def test_a_tables_arrays_live_as_long_as_what_pools_with_it() -> None:
    given = parts(codes=np.full((3, 32), 0x21, dtype=np.uint8))
    kept = [weakref.ref(given[name]) for name in ("codes", "scales", "levels")]
    pooler = _core.Pooler(_core.Table.int4(**given))
    given.clear()
    gc.collect()
    assert all(array() is not None for array in kept)
    out = np.zeros((1, 40), dtype=np.float32)
    ids, offsets = np.array([2], dtype=np.uint32), np.array([0, 1], dtype=np.int64)
    pooler.pool(ids, offsets, out, _core.EncodeSettings(None, False, 40, False, None), 1)
    np.testing.assert_array_equal(out[0], [1] * 16 + [2] * 16 + [1] * 8)
    del pooler
    gc.collect()
    assert all(array() is None for array in kept)

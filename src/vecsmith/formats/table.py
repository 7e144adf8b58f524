"""The tensors of a static model: its table, the factors of its tokens and their rows.

One rule: whatever the layout of the folder, the three are checked here, against each other and
against the tokenizer, so that the engine never sees an id without a row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecsmith.errors import FormatError
from vecsmith.formats.checkpoint import Table
from vecsmith.formats.int4_table import Int4Table
from vecsmith.formats.safetensors import TensorFile
from vecsmith.formats.tokenizer_json import TokenizerSettings

_KEPT = (np.dtype(np.float32), np.dtype(np.float16), np.dtype(np.int8))


def read_table(file: TensorFile, name: str) -> NDArray[Any]:
    """The table called `name`, shape [R, D], float32, float16 or int8; mapped where possible.

    float64 and bfloat16 are given as float32.

    Raises:
        FormatError: If it is missing, empty, not two-dimensional or of another dtype.
    """
    table = file.tensor(name)
    where = f"{file.path}: tensor {name!r}"
    if table.ndim != 2 or 0 in table.shape:
        raise FormatError(
            f"{where}: shape {list(table.shape)}, expected [rows, dim], both at least 1"
        )
    if table.dtype == np.float64:
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite
            return table.astype(np.float32)
    if table.dtype not in _KEPT:
        raise FormatError(
            f"{where}: dtype {table.dtype}, expected float64, float32, float16, bfloat16 or int8"
        )
    return table


def read_int4_table(file: TensorFile) -> Int4Table:
    """The table of four bits a number, its codes and scales mapped where possible.

    Raises:
        FormatError: If a part is missing, of another dtype, empty or not finite, or if the parts
            do not fit each other.
    """
    dim = file.metadata.get("dim", "")
    if not (dim.isascii() and dim.isdecimal() and len(dim) < 10):
        raise FormatError(f"{file.path}: __metadata__.dim {dim!r:.60}, expected a whole number")
    try:
        table = Int4Table(
            file.tensor("codes"), file.bfloat16_bits("scales"), file.tensor("levels"), int(dim)
        )
    except ValueError as error:
        raise FormatError(f"{file.path}: {error}") from error
    if not len(table):
        raise FormatError(f"{file.path}: a table of 0 rows, expected at least 1")
    return table


def read_weights(file: TensorFile, name: str = "weights") -> NDArray[np.float32] | None:
    """The factor of each token id, shape [V], or None where the file holds none.

    Raises:
        FormatError: If it is not one-dimensional, not of floats, or holds a value that is none.
    """
    if name not in file:
        return None
    weights = file.tensor(name)
    where = f"{file.path}: tensor {name!r}"
    if weights.ndim != 1 or weights.dtype.kind != "f":
        raise FormatError(
            f"{where}: shape {list(weights.shape)} of {weights.dtype}, "
            "expected [tokens] of floating point numbers"
        )
    with np.errstate(over="ignore"):
        weights = weights.astype(np.float32)
    wrong = np.flatnonzero(~np.isfinite(weights))
    if len(wrong):
        raise FormatError(
            f"{where}: {weights[wrong[0]]} for token id {wrong[0]}, expected finite numbers"
        )
    return weights


def read_mapping(
    file: TensorFile, *, n_rows: int, name: str = "mapping"
) -> NDArray[np.uint32] | None:
    """The row of each token id, shape [V], or None where the file holds none.

    Raises:
        FormatError: If it is not one-dimensional, not of whole numbers, or names a row that is
            not there.
    """
    if name not in file:
        return None
    mapping = file.tensor(name)
    where = f"{file.path}: tensor {name!r}"
    if mapping.ndim != 1 or mapping.dtype.kind not in "iu":
        raise FormatError(
            f"{where}: shape {list(mapping.shape)} of {mapping.dtype}, "
            "expected [tokens] of whole numbers"
        )
    if len(mapping) and not 0 <= int(mapping.min()) <= int(mapping.max()) < n_rows:
        wrong = np.flatnonzero((mapping < 0) | (mapping >= n_rows))[0]
        raise FormatError(
            f"{where}: row {mapping[wrong]} for token id {wrong}, expected 0 to {n_rows - 1}"
        )
    return mapping.astype(np.uint32)


def check_lengths(
    table: Table,
    weights: NDArray[np.float32] | None,
    mapping: NDArray[np.uint32] | None,
    settings: TokenizerSettings,
    *,
    tensors: str,
    tokenizer: str,
) -> None:
    """Refuses a tokenizer, weights and mapping that do not fit the table.

    Args:
        table: Rows, shape [R, D].
        weights: Factor of each token id.
        mapping: Row of each token id.
        settings: What the tokenizer says.
        tensors: Name of the file of the tensors, for errors.
        tokenizer: Name of the file of the tokenizer, for errors.

    Raises:
        FormatError: If they do not fit; the message holds both lengths.
    """
    n_tokens = len(table) if mapping is None else len(mapping)
    holder = "the table" if mapping is None else "tensor 'mapping'"
    if weights is not None and len(weights) != n_tokens:
        raise FormatError(
            f"{tensors}: tensor 'weights' has {len(weights)} entries, "
            f"expected {n_tokens} as {holder} has"
        )
    if settings.n_ids > n_tokens:
        raise FormatError(
            f"{tokenizer}: names token id {settings.n_ids - 1}, but {holder} of {tensors} has "
            f"{n_tokens} rows, expected every id to have one"
        )

"""A model's shape written out by hand, for a family that is not known.

The one rule: every linear layer stands with its own sizes; nothing is guessed from a width.
"""

from __future__ import annotations

from typing import Any, Final

from vecsmith.errors import FormatError
from vecsmith.planning.accounting.layers import Linear, Norm
from vecsmith.planning.accounting.shapes import ModelShape

_COUNTS: Final = ("n_layers", "dim", "n_heads", "vocab_size")
_PARTS: Final = tuple(
    f"{place}_{kind}" for place in ("block", "lower", "upper") for kind in ("linears", "norms")
)
_OPTIONAL: Final = ("n_kv_heads", "head_dim", "embedding_dim")
_LARGEST: Final = 2**31 - 1
_MOST_LAYERS: Final = 1000  # linear layers of a block


def written_shape(values: Any, *, source: str) -> ModelShape:
    """The shape that a table of a catalogue file spells out; `source` names it in errors.

    Raises:
        FormatError: If a field is missing, unknown or makes no sense.
    """
    table = _table(values, source=source)
    known = {"family", "is_tied", "n_positions", *_COUNTS, *_OPTIONAL, *_PARTS}
    _check_keys(table, known, source=source)
    sizes = {name: _count(table, name, source=source) for name in _COUNTS}
    dim, n_heads = sizes["dim"], sizes["n_heads"]
    block_linears = _linears(table, "block_linears", source=source)
    if not block_linears:
        raise FormatError(f"{source}: no block_linears, expected the linear layers of a block")
    if "head_dim" not in table and dim % n_heads:
        raise FormatError(f"{source}: dim {dim} and {n_heads} heads, expected head_dim as well")
    family = table.get("family", "written out")
    if not isinstance(family, str):
        raise FormatError(f"{source}: family {family!r:.60}, expected a string")
    return ModelShape(
        family=family,
        n_layers=sizes["n_layers"],
        dim=dim,
        n_heads=n_heads,
        n_kv_heads=_count(table, "n_kv_heads", source=source, default=n_heads),
        head_dim=_count(table, "head_dim", source=source, default=dim // n_heads),
        vocab_size=sizes["vocab_size"],
        embedding_dim=_count(table, "embedding_dim", source=source, default=dim),
        n_positions=_count(table, "n_positions", source=source, default=0, least=0),
        is_tied=_flag(table, "is_tied", source=source, default=True),
        block_linears=block_linears,
        block_norms=_norms(table, "block_norms", source=source),
        lower_linears=_linears(table, "lower_linears", source=source),
        lower_norms=_norms(table, "lower_norms", source=source),
        upper_linears=_linears(table, "upper_linears", source=source),
        upper_norms=_norms(table, "upper_norms", source=source),
    )


def _linears(table: dict[str, Any], key: str, *, source: str) -> tuple[Linear, ...]:
    found = []
    for place, row in _rows(table, key, source=source):
        _check_keys(row, {"name", "in", "out", "bias", "first"}, source=place)
        found.append(
            Linear(
                name=str(row.get("name", "")),
                n_in=_count(row, "in", source=place),
                n_out=_count(row, "out", source=place),
                bias=_flag(row, "bias", source=place, default=False),
                first=_flag(row, "first", source=place, default=False),
            )
        )
    return tuple(found)


def _norms(table: dict[str, Any], key: str, *, source: str) -> tuple[Norm, ...]:
    found = []
    for place, row in _rows(table, key, source=source):
        _check_keys(row, {"name", "weights", "biases", "first"}, source=place)
        found.append(
            Norm(
                name=str(row.get("name", "")),
                n_weights=_count(row, "weights", source=place, least=0),
                n_biases=_count(row, "biases", source=place, default=0, least=0),
                first=_flag(row, "first", source=place, default=False),
            )
        )
    return tuple(found)


def _rows(table: dict[str, Any], key: str, *, source: str) -> list[tuple[str, dict[str, Any]]]:
    rows = table.get(key, [])
    if not isinstance(rows, list) or len(rows) > _MOST_LAYERS:
        raise FormatError(f"{source}: {key} is {rows!r:.60}, expected a list of tables")
    places = [f"{source}: {key} {number}" for number in range(1, len(rows) + 1)]
    return [(place, _table(row, source=place)) for place, row in zip(places, rows, strict=True)]


def _table(values: Any, *, source: str) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise FormatError(f"{source}: {values!r:.60}, expected a table")
    return values


def _check_keys(table: dict[str, Any], known: set[str], *, source: str) -> None:
    for key in table:
        if key not in known:
            raise FormatError(f"{source}: {key!r:.60}, expected one of {', '.join(sorted(known))}")


def _count(
    table: dict[str, Any], key: str, *, source: str, default: int | None = None, least: int = 1
) -> int:
    value = table.get(key, default)
    if type(value) is not int or not least <= value <= _LARGEST:
        raise FormatError(
            f"{source}: {key} is {value!r:.60}, expected a whole number from {least} to {_LARGEST}"
        )
    return value


def _flag(table: dict[str, Any], key: str, *, source: str, default: bool) -> bool:
    value = table.get(key, default)
    if not isinstance(value, bool):
        raise FormatError(f"{source}: {key} is {value!r:.60}, expected true or false")
    return value

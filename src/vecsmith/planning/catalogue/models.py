"""Models that a plan chooses from, with where each number is from.

The one rule: an entry's counts follow from its shape; counts written beside it are checked, and
an entry that lies is refused with both numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vecsmith._files import read_text
from vecsmith._typing import PathLike
from vecsmith.errors import FormatError
from vecsmith.formats.json_fields import parse_object
from vecsmith.planning.accounting.shapes import ModelShape
from vecsmith.planning.accounting.written import written_shape
from vecsmith.planning.catalogue.toml_files import (
    positive_number,
    read_toml,
    rows_of,
    shipped_toml,
)

_SHIPPED: Final = "models.toml"
# Counts that a row may give to be checked
_COUNTS: Final = ("n_total", "n_backbone", "n_embedding", "n_non_embedding", "n_bias")
_SHAPES: Final = ("config", "folder", "shape")
_KNOWN: Final = {"name", "peak_lr", "n_pretraining_tokens", "provenance", *_COUNTS, *_SHAPES}
_MAX_CONFIG_BYTES: Final = 16 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueEntry:
    """A base model.

    Attributes:
        name: Hub id, or the name its user gave it.
        shape: What it is made of.
        peak_lr: Peak learning rate of its pre-training; None where that is not known.
        n_pretraining_tokens: Tokens it was pre-trained on; None where that is not known.
        provenance: Where these numbers are from.
        folder: Where its files are; None for a model that is to be fetched.
    """

    name: str
    shape: ModelShape
    peak_lr: float | None = None
    n_pretraining_tokens: float | None = None
    provenance: str = ""
    folder: Path | None = None


def load_catalogue(path: PathLike | None = None) -> tuple[CatalogueEntry, ...]:
    """The models of a catalogue file, in its order; those that are shipped where `path` is None.

    A file has a table `[[model]]` for each: its `name`, and one of `config` (the fields of a
    Hugging Face config.json, or the path of one), `folder` (a model's, whose tensors are counted)
    and `shape` (linear layers written out). It may give `n_total`, `n_backbone`, `n_embedding`,
    `n_non_embedding` and `n_bias`, which are checked, `peak_lr`, `n_pretraining_tokens` and
    `provenance`. Paths are relative to the file. `shipped = true` at its top puts the shipped
    models before its own.

    Raises:
        FormatError: If the file is broken, or an entry lies about its counts.
        OSError: If it cannot be read.
    """
    if path is None:
        return _entries(shipped_toml(_SHIPPED), source=_SHIPPED, folder=Path())
    path = Path(path).expanduser()
    return _entries(read_toml(path), source=str(path), folder=path.parent)


def _entries(root: dict[str, Any], *, source: str, folder: Path) -> tuple[CatalogueEntry, ...]:
    rows = rows_of(root, "model", known={"shipped"}, source=source)
    with_shipped = root.get("shipped", False)
    if not isinstance(with_shipped, bool):
        raise FormatError(f"{source}: shipped is {with_shipped!r:.60}, expected true or false")
    own = [
        _entry(row, source=f"{source}: model {number}", folder=folder)
        for number, row in enumerate(rows, start=1)
    ]
    entries = [*(load_catalogue() if with_shipped else ()), *own]
    if not entries:
        raise FormatError(f"{source}: no model, expected at least one table [[model]]")
    _check_names(entries, source=source)
    return tuple(entries)


def _entry(row: dict[str, Any], *, source: str, folder: Path) -> CatalogueEntry:
    name = row.get("name")
    if not isinstance(name, str) or not name.strip():
        raise FormatError(f"{source}: name {name!r:.60}, expected the model's name")
    source = f"{source} ({name:.60})"
    for key in row:
        if key not in _KNOWN:
            raise FormatError(f"{source}: {key!r:.60}, expected one of {', '.join(sorted(_KNOWN))}")
    shape, place = _shape(row, source=source, folder=folder)
    _check_counts(row, shape, source=source)
    provenance = row.get("provenance", "")
    if not isinstance(provenance, str):
        raise FormatError(f"{source}: provenance {provenance!r:.60}, expected a text")
    known = {
        key: None if row.get(key) is None else positive_number(row[key], f"{source}: {key}")
        for key in ("peak_lr", "n_pretraining_tokens")
    }
    return CatalogueEntry(
        name=name,
        shape=shape,
        peak_lr=known["peak_lr"],
        n_pretraining_tokens=known["n_pretraining_tokens"],
        provenance=provenance,
        folder=place,
    )


def _shape(row: dict[str, Any], *, source: str, folder: Path) -> tuple[ModelShape, Path | None]:
    """The shape of a row, and the folder of its files where it names one."""
    given = [key for key in _SHAPES if key in row]
    if len(given) != 1:
        raise FormatError(
            f"{source}: {', '.join(given) or 'no shape'}, expected one of {', '.join(_SHAPES)}"
        )
    (key,) = given
    value = row[key]
    if key == "shape":
        return written_shape(value, source=f"{source}: shape"), None
    if key == "config" and isinstance(value, dict):
        return ModelShape.from_config(value, source=f"{source}: config"), None
    if not isinstance(value, str):
        raise FormatError(f"{source}: {key} is {value!r:.60}, expected a path")
    path = folder / Path(value).expanduser()
    if key == "folder":
        return ModelShape.from_folder(path), path
    if not path.is_file():
        raise FormatError(f"{source}: no file {path}, expected a config.json")
    text = read_text(path, max_bytes=_MAX_CONFIG_BYTES)
    return ModelShape.from_config(parse_object(text, source=str(path)), source=str(path)), None


def _check_counts(row: dict[str, Any], shape: ModelShape, *, source: str) -> None:
    for key in _COUNTS:
        counted = getattr(shape, key)
        if key in row and row[key] != counted:
            given = row[key]
            shown = f"{given:,}" if type(given) is int else f"{given!r:.60}"
            raise FormatError(
                f"{source}: {key} is {shown}, expected {counted:,} from its shape; correct the "
                "one that is wrong"
            )


def _check_names(entries: list[CatalogueEntry], *, source: str) -> None:
    seen: set[str] = set()
    for entry in entries:
        if entry.name in seen:
            raise FormatError(f"{source}: two models named {entry.name!r:.60}, expected one")
        seen.add(entry.name)

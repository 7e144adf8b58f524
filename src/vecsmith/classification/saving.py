"""A classifier as a folder: `classifier.json` for what it is, `classifier.safetensors` for arrays.

The one rule: no code is ever read from a file. Whatever a folder holds, opening it ends in a whole
classifier or in a FormatError.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vecsmith._files import read_text, write_json
from vecsmith._typing import PathLike
from vecsmith.classification.cascade import Cascade
from vecsmith.classification.cascaded import CascadedHeads
from vecsmith.classification.heads import HeadKind, LinearHeads
from vecsmith.classification.rotation import Rotation
from vecsmith.errors import FormatError
from vecsmith.formats.folder import atomic_folder
from vecsmith.formats.json_fields import (
    array_of,
    flag,
    kind_of,
    object_of,
    parse_object,
    text_of,
    whole_number,
)
from vecsmith.formats.safetensors import TensorFile, write_tensors

FORMAT: Final = "vecsmith-classifier"
VERSION: Final = 1
JSON_NAME: Final = "classifier.json"
TENSORS_NAME: Final = "classifier.safetensors"
_MAX_JSON_BYTES = 256 * 2**20
_MAX_DIM = 2**24
# Types of labels that are kept exactly, by the kind of their numpy type
_LABEL_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "U": (str,),
    "O": (str,),
    "b": (bool,),
    "i": (int,),
    "u": (int,),
    "f": (float, int),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SavedClassifier:
    """What a folder holds.

    Attributes:
        cascaded: The classifier.
        settings: Arguments of the estimator that it came from, as JSON.
        learnt: What the fit found out, as JSON.
        about: What else whoever saved it wanted to keep, as JSON.
    """

    cascaded: CascadedHeads
    settings: Mapping[str, Any] = field(default_factory=dict)
    learnt: Mapping[str, Any] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)


def save_classifier(folder: PathLike, saved: SavedClassifier) -> None:
    """Writes a classifier as `folder`, whole or not at all; one that is there is replaced.

    Raises:
        FileExistsError: If `folder` is a file, or holds something else than a classifier.
        ValueError: If a label is of a type that cannot be kept, or text that is not Unicode.
        OSError: If the disk is full or may not be written.
    """
    from vecsmith import __version__

    cascaded = saved.cascaded
    heads, rotation = cascaded.heads, cascaded.rotation
    block = {
        "format": FORMAT,
        "version": VERSION,
        "vecsmith": __version__,
        "n_features": cascaded.n_features,
        "dims": list(heads.dims),
        "thresholds": [None if t == inf else t for t in cascaded.cascade.thresholds],
        "tied": heads.tied,
        "kind": heads.kind,
        "scaling": heads.scaling,
        "temperatures": None if heads.temperatures is None else list(heads.temperatures),
        "unfinished": list(heads.unfinished),
        "rotated": rotation is not None,
        "scale": cascaded.scale,
        "classes": _classes_block(heads.classes),
        "settings": dict(saved.settings),
        "learnt": dict(saved.learnt),
        "about": dict(saved.about),
    }
    tensors = {"weights": heads.weights, "biases": heads.biases}
    if rotation is not None:
        tensors |= {"center": rotation.center, "matrix": rotation.matrix}
    with atomic_folder(folder, own=(JSON_NAME, TENSORS_NAME)) as new:
        write_json(new / JSON_NAME, block)
        with (new / TENSORS_NAME).open("wb") as file:
            write_tensors(file, tensors)


def open_classifier(folder: PathLike) -> SavedClassifier:
    """The classifier that `save_classifier` wrote as `folder`; its arrays are mapped.

    Raises:
        FormatError: If the folder holds none, or a broken one; says which field or file.
        OSError: If it cannot be read.
    """
    path = Path(folder)
    if not (path / JSON_NAME).is_file():
        raise FormatError(
            f"{path}: no {JSON_NAME} there, expected a folder that a classifier was saved as"
        )
    source = str(path / JSON_NAME)
    block = parse_object(read_text(path / JSON_NAME, max_bytes=_MAX_JSON_BYTES), source=source)
    if (found := text_of(block, "format", source=source)) != FORMAT:
        raise FormatError(f"{source}.format: {found!r:.60}, expected {FORMAT!r}")
    if (number := whole_number(block, "version", source=source, maximum=2**31)) > VERSION:
        raise FormatError(
            f"{source}.version: {number}, expected at most {VERSION}: a newer vecsmith wrote it, "
            "update this one"
        )
    if not (path / TENSORS_NAME).is_file():
        raise FormatError(f"{path}: no {TENSORS_NAME} there, expected one; copy the whole folder")
    tensors = TensorFile(path / TENSORS_NAME)
    try:
        cascaded = _cascaded(block, tensors, source)
    except ValueError as error:  # the parts say what does not fit
        raise FormatError(f"{path}: {error}; save it again") from error
    return SavedClassifier(
        cascaded=cascaded,
        settings=object_of(block, "settings", source=source),
        learnt=object_of(block, "learnt", source=source),
        about=object_of(block, "about", source=source),
    )


def _cascaded(block: Mapping[str, Any], tensors: TensorFile, source: str) -> CascadedHeads:
    dims = tuple(_whole_numbers(block, "dims", source))
    kind: HeadKind = _one_of(block, "kind", ("softmax", "multilabel"), source)
    thresholds = _numbers(block, "thresholds", source, absent=inf)
    temperatures = None
    if block.get("temperatures") is not None:
        temperatures = tuple(_numbers(block, "temperatures", source))
    rotation = None
    if flag(block, "rotated", source=source, default=False):
        rotation = Rotation(center=_tensor(tensors, "center"), matrix=_tensor(tensors, "matrix"))
    return CascadedHeads(
        heads=LinearHeads(
            dims=dims,
            tied=flag(block, "tied", source=source, default=False),
            weights=_tensor(tensors, "weights"),
            biases=_tensor(tensors, "biases"),
            classes=_classes_of(object_of(block, "classes", source=source), f"{source}.classes"),
            kind=kind,
            scaling=_one_of(block, "scaling", ("none", "normalize"), source),
            temperatures=temperatures,
            unfinished=tuple(_whole_numbers(block, "unfinished", source)),
        ),
        cascade=Cascade(dims, tuple(thresholds)),
        n_features=whole_number(block, "n_features", source=source, maximum=_MAX_DIM),
        rotation=rotation,
        scale=_number(block.get("scale"), f"{source}.scale"),
    )


def _tensor(tensors: TensorFile, name: str) -> NDArray[Any]:
    return tensors.tensor(name)


def _classes_block(classes: NDArray[Any]) -> dict[str, Any]:
    """Labels and the type that makes them the same again."""
    kind = classes.dtype.kind
    values = classes.tolist()
    known = _LABEL_TYPES.get(kind, ())
    foreign = [value for value in values if type(value) not in known]
    if not known or foreign:
        found = type(foreign[0]).__name__ if foreign else str(classes.dtype)
        raise ValueError(
            f"classes of type {found}, expected text, whole numbers, numbers or booleans: others "
            "cannot be saved"
        )
    for value in values:
        if isinstance(value, str):
            _check_unicode(value)
    return {"dtype": kind if kind in "UO" else classes.dtype.name, "values": values}


def _check_unicode(label: str) -> None:
    try:
        label.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"class {label!r:.60} holds half a surrogate pair, expected Unicode text"
        ) from error


def _classes_of(block: Mapping[str, Any], source: str) -> NDArray[Any]:
    name = text_of(block, "dtype", source=source)
    values = array_of(block, "values", source=source)
    names = {
        *("U", "O", "bool", "float16", "float32", "float64"),
        *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    }
    if name not in names:
        raise FormatError(f"{source}.dtype: {name!r:.60}, expected one of {sorted(names)}")
    dtype = np.dtype(name)
    for value in values:
        if type(value) not in _LABEL_TYPES[dtype.kind]:
            raise FormatError(f"{source}.values: {value!r:.60}, expected labels of type {name}")
    try:
        classes = np.array(values, dtype)
    except (OverflowError, ValueError) as error:
        raise FormatError(f"{source}.values: {error}, expected labels of type {name}") from error
    if len(set(values)) != len(values) or not values:
        raise FormatError(f"{source}.values: {len(values)} labels, {len(set(values))} different "
                          "ones, expected one at least and none twice")  # fmt: skip
    return classes


def _one_of(block: Mapping[str, Any], key: str, known: Sequence[str], source: str) -> Any:
    value = text_of(block, key, source=source)
    if value not in known:
        raise FormatError(f"{source}.{key}: {value!r:.60}, expected one of {list(known)}")
    return value


def _whole_numbers(block: Mapping[str, Any], key: str, source: str) -> list[int]:
    values = array_of(block, key, source=source)
    for value in values:
        if type(value) is not int or not 0 < value <= _MAX_DIM:
            raise FormatError(f"{source}.{key}: {value!r:.60}, expected whole numbers from 1 to "
                              f"{_MAX_DIM}")  # fmt: skip
    return values


def _numbers(
    block: Mapping[str, Any], key: str, source: str, *, absent: float | None = None
) -> list[float]:
    values = array_of(block, key, source=source)
    return [
        absent if value is None and absent is not None else _number(value, f"{source}.{key}")
        for value in values
    ]


def _number(value: Any, source: str) -> float:
    if type(value) not in (int, float) or not isfinite(value):
        raise FormatError(f"{source}: {kind_of(value)} {value!r:.60}, expected a number")
    return float(value)


def settings_block(params: Mapping[str, Any]) -> dict[str, Any]:
    """An estimator's arguments as JSON; class weights as pairs, since labels need not be text."""
    block = {name: _plain(value) for name, value in params.items()}
    if isinstance(block["class_weight"], Mapping):
        block["class_weight"] = [[_plain(k), float(v)] for k, v in block["class_weight"].items()]
    if block["dims"] is not None:
        block["dims"] = [int(dim) for dim in block["dims"]]
    return block


def settings_of(block: Mapping[str, Any], names: Collection[str], *, source: str) -> dict[str, Any]:
    """The arguments that `settings_block` wrote.

    Raises:
        FormatError: If one is not among `names`, or class weights are no pairs.
    """
    settings = dict(block)
    if unknown := sorted(set(settings) - set(names)):
        raise FormatError(f"{source}.settings: {unknown[:5]}, expected some of {sorted(names)}")
    given = settings.get("class_weight")
    if isinstance(given, list):
        try:
            settings["class_weight"] = {label: float(weight) for label, weight in given}
        except (TypeError, ValueError) as error:
            raise FormatError(
                f"{source}.settings.class_weight: {given!r:.60}, expected pairs of class and weight"
            ) from error
    return settings


def numbers_of(block: Mapping[str, Any], key: str, n: int, *, source: str) -> list[float]:
    """The `n` numbers under `key`.

    Raises:
        FormatError: If there are not so many numbers.
    """
    numbers = _numbers(block, key, f"{source}.learnt")
    if len(numbers) != n:
        raise FormatError(f"{source}.learnt.{key}: {len(numbers)} numbers, expected {n}")
    return numbers


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value

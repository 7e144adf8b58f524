"""A classifier as a folder: `classifier.json` for what it is, `classifier.safetensors` for arrays.

The one rule: no code is ever read from a file. Whatever a folder holds, opening it ends in a whole
classifier or in a FormatError.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
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
from vecsmith.formats.folder import atomic_folder, check_target
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
_MAX_LABEL_BYTES = 2**31
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


def check_classifier_folder(folder: PathLike) -> None:
    """Refuses what `save_classifier` would refuse, before anything is fitted.

    Raises:
        FileExistsError: If `folder` is a file, or holds something else than a classifier.
    """
    target = Path(folder).resolve()
    check_target(target, (JSON_NAME, TENSORS_NAME))
    above = next((path for path in target.parents if path.exists()), target)
    if not above.is_dir() and above != target:
        raise FileExistsError(f"{above}: is a file, expected a folder to write {target.name} in")


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
    settings, shortest = object_of(block, "settings", source=source), cascaded.heads.dims[0]
    longest = settings.get("max_dim")
    if longest is not None and (type(longest) is not int or longest < shortest):
        raise FormatError(f"{source}.settings.max_dim: {longest!r:.60}, expected a whole number of "
                          f"at least {shortest}, the shortest prefix, or null")  # fmt: skip
    return SavedClassifier(
        cascaded=cascaded,
        settings=settings,
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
        rotation = Rotation(center=tensors.tensor("center"), matrix=tensors.tensor("matrix"))
    return CascadedHeads(
        heads=LinearHeads(
            dims=dims,
            tied=flag(block, "tied", source=source, default=False),
            weights=tensors.tensor("weights"),
            biases=tensors.tensor("biases"),
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
    if kind == "U" and _n_bytes(values) > _MAX_LABEL_BYTES:
        raise ValueError(f"{_n_bytes(values)} bytes of classes, each as long as the longest, "
                         f"expected at most {_MAX_LABEL_BYTES}")  # fmt: skip
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
    if name == "U" and _n_bytes(values) > _MAX_LABEL_BYTES:
        raise FormatError(f"{source}.values: {_n_bytes(values)} bytes of labels, each as long as "
                          f"the longest, expected at most {_MAX_LABEL_BYTES}")  # fmt: skip
    try:
        with np.errstate(over="ignore"):  # what is not kept as it was is refused below
            classes = np.array(values, dtype)
    except (OverflowError, ValueError) as error:
        raise FormatError(f"{source}.values: {error}, expected labels of type {name}") from error
    kept = classes.tolist()
    changed = [value for value, found in zip(values, kept, strict=True) if value != found]
    if changed:
        raise FormatError(f"{source}.values: {changed[0]!r:.60}, expected labels that type {name} "
                          "keeps as they are")  # fmt: skip
    if len(set(values)) != len(values) or not values:
        raise FormatError(f"{source}.values: {len(values)} labels, {len(set(values))} different "
                          "ones, expected one at least and none twice")  # fmt: skip
    return classes


def _n_bytes(labels: Sequence[str]) -> int:
    """Of an array in which each label has the room of the longest."""
    return 4 * len(labels) * max(map(len, labels), default=0)


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
    if type(value) in (int, float):
        with suppress(OverflowError):  # a whole number beyond all floats
            if isfinite(value):
                return float(value)
    raise FormatError(f"{source}: {kind_of(value)} {value!r:.60}, expected a number")


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
        except (OverflowError, TypeError, ValueError) as error:
            raise FormatError(
                f"{source}.settings.class_weight: {given!r:.60}, expected pairs of class and weight"
            ) from error
    return settings


def numbers_of(
    block: Mapping[str, Any], key: str, n: int, *, source: str, absent: float | None = None
) -> list[float]:
    """The `n` numbers under `key`, `absent` where there is null and that is allowed.

    Raises:
        FormatError: If there are not so many numbers.
    """
    numbers = _numbers(block, key, f"{source}.learnt", absent=absent)
    if len(numbers) != n:
        raise FormatError(f"{source}.learnt.{key}: {len(numbers)} numbers, expected {n}")
    return numbers


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value

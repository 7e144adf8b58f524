"""What tells a loss, a score or a teacher from another one of the same name.

One rule: the same thing has the same identity in every process of one Python version; what a
function changes itself while it runs (a counter, a list it fills) is no part of it.
"""

from __future__ import annotations

import dataclasses
import dis
import functools
import hashlib
import inspect
import types
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from torch import Tensor

from vecsmith._typing import Encoder, FloatArray
from vecsmith.corpora import Limits
from vecsmith.training.pair_sources import NamedPairs
from vecsmith.training.provenance import describe_loss

_N_PROBES: Final = 8
_MAX_DEPTH: Final = 8
_PLAIN: Final = (bool, int, float, complex, str, bytes, type(None))


def identity_of(function: Any) -> str:
    """The name of a function or callable with a hash of its code and of the values it holds.

    Of a function: its bytecode and constants, defaults, the plain values and functions of its
    closure, and those globals of its module that it names. Of a callable instance: the same of
    its `__call__`, and its attributes. A `fingerprint` of its own counts instead, and functions of
    this package go by their names.
    """
    own = getattr(function, "fingerprint", None)
    if own:
        return str(own)
    parts = _parts(function, frozenset(), 0)
    hashed = hashlib.sha256(repr(parts).encode("utf-8", "backslashreplace")).hexdigest()[:16]
    return f"{describe_loss(function)} [{hashed}]"


def identity_of_teacher(teacher: Encoder, sources: Sequence[NamedPairs]) -> str:
    """The fingerprint of a teacher, or else a hash of what it makes of a few texts of `sources`.

    Hashed are the cosines of its vectors, rounded so far that another number of threads, which
    changes the last bits, does not make another teacher of it.
    """
    own = getattr(teacher, "fingerprint", None)
    if own:
        return str(own)
    name = type(teacher).__qualname__
    texts = _first_texts(sources)
    if not texts:
        return name
    sides = [getattr(teacher, f"encode_{side}", None) for side in ("query", "document")]
    methods = sides if all(sides) else [teacher.encode]
    vectors = np.concatenate([_unit_rows(method(texts)) for method in methods if method])
    cosines = np.rint(1000 * (vectors @ vectors.T)).astype(np.int64)
    hashed = hashlib.sha256(repr((vectors.shape[1], cosines.tolist())).encode()).hexdigest()
    return f"{name} [{hashed[:16]}]"


def _first_texts(sources: Sequence[NamedPairs]) -> list[str]:
    texts: dict[str, None] = {}
    for source in sources:
        for rows in source.corpus.read(limits=Limits(max_rows=_N_PROBES)):
            texts |= {text: None for column in rows.texts.values() for text in column if text}
            if len(texts) >= _N_PROBES:
                return list(texts)[:_N_PROBES]
    return list(texts)


def _unit_rows(vectors: Any) -> FloatArray:
    found = np.asarray(vectors, dtype=np.float64)
    if found.ndim != 2 or not np.isfinite(found).all():
        raise ValueError(
            f"the teacher gave an array of shape {list(found.shape)}, expected one finite vector "
            "a text"
        )
    return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12))


def _parts(thing: Any, above: frozenset[int], depth: int) -> Any:
    """Plain tuples that stand for `thing`, equal for equal things."""
    if isinstance(thing, _PLAIN):
        return thing
    if id(thing) in above or depth > _MAX_DEPTH:
        return type(thing).__qualname__
    above |= {id(thing)}

    def inner(value: Any) -> Any:
        return _parts(value, above, depth + 1)

    if isinstance(thing, tuple | frozenset):
        parts = [inner(each) for each in thing]
        return tuple(parts if isinstance(thing, tuple) else sorted(parts, key=repr))
    if isinstance(thing, Mapping):
        return tuple(sorted(((str(key), inner(each)) for key, each in thing.items()), key=repr))
    if isinstance(thing, Tensor):
        thing = thing.detach().cpu().numpy()
    if isinstance(thing, np.ndarray):
        return thing.shape, str(thing.dtype), hashlib.sha256(thing.tobytes()).hexdigest()
    if isinstance(thing, functools.partial):
        return inner(thing.func), inner(thing.args), inner(thing.keywords)
    if isinstance(thing, types.MethodType):
        return inner(thing.__func__), inner(thing.__self__)
    if isinstance(thing, types.FunctionType):
        return _parts_of_function(thing, inner)
    if isinstance(thing, types.CodeType):
        return thing.co_code, thing.co_names, inner(_constants(thing))
    own = getattr(thing, "fingerprint", None)
    if isinstance(own, str):
        return own
    return _parts_of_instance(thing, inner)


def _parts_of_function(function: types.FunctionType, inner: Any) -> Any:
    name = (function.__module__, function.__qualname__)
    if str(function.__module__).startswith("vecsmith."):
        return name
    code = function.__code__
    changed = {step.argval for step in dis.get_instructions(code) if "STORE_" in step.opname}
    held = inspect.getclosurevars(function)
    own = {key: value for key, value in held.nonlocals.items() if key not in changed}
    for key, value in held.globals.items():
        is_own = getattr(value, "__module__", None) == function.__module__
        if key not in changed and (isinstance(value, (*_PLAIN, tuple)) or is_own):
            own[key] = value
    defaults = (function.__defaults__, function.__kwdefaults__ or {})
    return name, inner(code), inner(defaults), inner(own)


def _parts_of_instance(thing: Any, inner: Any) -> Any:
    kind = type(thing)
    name = (kind.__module__, kind.__qualname__)
    call = None if isinstance(thing, type) else inspect.getattr_static(kind, "__call__", None)
    is_frozen = dataclasses.is_dataclass(kind) and kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    if not isinstance(call, types.FunctionType) and not is_frozen:
        return name if not hasattr(thing, "__qualname__") else (name, thing.__qualname__)
    changed: set[Any] = set()
    if isinstance(call, types.FunctionType):
        steps = dis.get_instructions(call.__code__)
        changed = {step.argval for step in steps if step.opname == "STORE_ATTR"}
    slots = [key for each in kind.__mro__ for key in getattr(each, "__slots__", ())]
    values = {key: getattr(thing, key) for key in slots if hasattr(thing, key)}
    values |= getattr(thing, "__dict__", {})
    kept = {key: value for key, value in values.items() if key not in changed}
    return name, inner(call), inner(kept)


def _constants(code: types.CodeType) -> tuple[Any, ...]:
    """Constants without the docstring, which changes nothing."""
    constants = code.co_consts
    has_docstring = bool(code.co_flags & 0x4000000)  # CO_HAS_DOCSTRING, from Python 3.14 on
    return constants[1:] if has_docstring else constants

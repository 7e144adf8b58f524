"""What a user names on the command line -> what encodes or ranks texts."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vecsmith.errors import FormatError, HubError

if TYPE_CHECKING:
    from vecsmith._typing import Encoder
    from vecsmith.evaluation.contender import LexicalBaseline
    from vecsmith.transformer.teacher import ComputeDtype

BASELINES = ("bm25", "tfidf", "random")


def open_encoder(
    name: str,
    *,
    compute_dtype: ComputeDtype = "float32",
    device: str = "cpu",
    baselines: bool = True,
) -> Encoder | LexicalBaseline:
    """A static model, else a transformer; or a baseline by its name.

    Args:
        name: "bm25", "tfidf" or "random"; a folder, a word2vec file, or a Hub id, of which local
            copies are taken first; `package:NAME`. A folder of a baseline's name is "./bm25".
        compute_dtype: Type a transformer runs in.
        device: Torch device of a transformer.
        baselines: Whether a baseline makes sense here; one that is named is opened anyway.

    Raises:
        FormatError: If there is no model of either kind, or a broken one; says what was tried.
        HubError: If it could not be fetched.
        MissingExtraError: If it needs an optional dependency that is not installed.
    """
    if name.lower() in BASELINES:
        return _open_baseline(name.lower())
    if name.startswith("package:") or _is_packaged(name):
        return _open_transformer(name, compute_dtype, device)
    from vecsmith.model import StaticModel

    try:
        return StaticModel.from_pretrained(name)
    except (FormatError, HubError) as error:
        as_static = error
    try:
        return _open_transformer(name, compute_dtype, device)
    except (FormatError, HubError, ValueError) as error:
        as_transformer = error
    kind = HubError if isinstance(as_transformer, HubError) else FormatError
    wanted = ["a folder", "a Hub id such as organisation/name", "package:NAME"]
    wanted += [f"one of {', '.join(BASELINES)}"] if baselines else []
    expected = f"expected {', '.join(wanted[:-1])} or {wanted[-1]}"
    is_here = Path(name).expanduser().exists()
    if not is_here and isinstance(as_static, HubError) and kind is HubError:
        # told once: both looked in the same places
        raise HubError(f"{as_static}; {expected}") from as_transformer
    if not is_here and not isinstance(as_static, HubError):  # no name that the Hub could have
        raise FormatError(
            f"{name}: no such file or folder, {expected}; check its name"
        ) from as_transformer
    raise kind(
        f"{name}: neither a static model ({as_static}) nor a transformer ({as_transformer}), "
        f"{expected}"
    ) from as_transformer


def short_name(model: str) -> str:
    """What a model is called in tables: the last part of its path or Hub id."""
    return Path(model.removeprefix("package:")).name or model


def names_of(model: str, name: str | None, baselines: Sequence[str]) -> list[str]:
    """A name for the model and for each baseline, no two the same.

    The short one, or all that was given where short ones collide; `name` stays as it is.

    Raises:
        typer.BadParameter: If the same thing is given twice, or a baseline is called `name`.
    """
    given = [model, *baselines]
    for each, n_times in Counter(map(_identity, given)).items():
        if n_times > 1:
            twice = next(other for other in given[::-1] if _identity(other) == each)
            raise typer.BadParameter(
                f"{twice} is given twice, expected the model and each --baseline once"
            )
    short = [name or short_name(model), *map(short_name, baselines)]
    often = Counter(short)
    names = [s if often[s] == 1 else whole for s, whole in zip(short, given, strict=True)]
    if name is not None:
        names[0] = name
    if name in names[1:]:
        raise typer.BadParameter(f"a baseline is called {name} too, expected another --name")
    return names


def _identity(given: str) -> str:
    """The same for two ways to name one model."""
    if given.lower() in BASELINES:
        return given.lower()
    path = Path(os.path.expanduser(given))
    # a baseline's name is never a folder's: "./bm25" gets its whole path
    return str(path.resolve()) if path.exists() else given


def _open_baseline(name: str) -> Encoder | LexicalBaseline:
    from vecsmith.evaluation.baselines import Bm25, RandomVectors, Tfidf

    if name == "random":
        return RandomVectors()
    return Bm25() if name == "bm25" else Tfidf()


def _is_packaged(name: str) -> bool:
    """Whether an installable package carries the transformer, under its whole name or its last."""
    from vecsmith.transformer.source import PACKAGED

    known = {*PACKAGED, *(packaged.split("/")[1] for packaged in PACKAGED)}
    return name in known and not Path(os.path.expanduser(name)).exists()


def _open_transformer(name: str, compute_dtype: ComputeDtype, device: str) -> Encoder:
    from vecsmith.transformer.text_encoder import TextEncoder

    return TextEncoder.from_pretrained(name, compute_dtype=compute_dtype, device=device)

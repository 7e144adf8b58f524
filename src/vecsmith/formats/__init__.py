"""Bytes on disk <-> one `Checkpoint`: every layout a static model comes in, and the one we write.

One rule: no model and no torch in here; a checkpoint holds plain values.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path, PurePosixPath

from vecsmith._typing import PathLike
from vecsmith.errors import FormatError
from vecsmith.formats.checkpoint import Checkpoint
from vecsmith.formats.hub import download, is_repo_id, push_checkpoint
from vecsmith.formats.layout import read_layout
from vecsmith.formats.model2vec import read_model2vec
from vecsmith.formats.saved_model import check_replaceable, write_checkpoint
from vecsmith.formats.sentence_transformers import read_sentence_transformers
from vecsmith.formats.tokenizer_json import TokenizerSettings, read_tokenizer
from vecsmith.formats.word2vec import read_word2vec

__all__ = [
    "Checkpoint",
    "TokenizerSettings",
    "check_replaceable",
    "open_checkpoint",
    "push_checkpoint",
    "read_tokenizer",
    "write_checkpoint",
]


def open_checkpoint(
    source: PathLike,
    *,
    subfolder: str | None = None,
    revision: str | None = None,
    token: str | None = None,
    cache_folder: PathLike | None = None,
    local_files_only: bool = False,
) -> Checkpoint:
    """The model at `source`, its table mapped from the file where the layout allows it.

    Args:
        source: Folder of a model (ours, model2vec's or sentence-transformers'), a word2vec or
            GloVe text table, or a Hub id such as "org/name".
        subfolder: Folder inside it that holds the model.
        revision: Branch, tag or commit on the Hub.
        token: Access token of the Hub.
        cache_folder: Cache of the Hub; None for the usual one.
        local_files_only: Whether to stay off the network.

    Raises:
        FormatError: If there is no model, or a broken one; the message names file and field.
        HubError: If it could not be found or downloaded.
    """
    path = Path(source).expanduser()
    inside = None if subfolder is None else _inside(subfolder)
    if path.is_file() and inside is None:
        return _read_file(path)
    if path.is_dir():
        folder = path if inside is None else path / inside
        if not folder.is_dir():
            raise FormatError(f"{folder}: no such folder, expected one that holds a model")
        return _read_folder(folder)
    repo_id = os.fspath(source)
    if not is_repo_id(repo_id):
        raise FormatError(
            f"{repo_id}: no such file or folder, expected a model or a Hub id such as "
            "'organisation/name'"
        )
    folder = download(
        repo_id,
        subfolder=None if inside is None else str(inside),
        revision=revision,
        token=token,
        cache_folder=cache_folder,
        local_files_only=local_files_only,
    )
    return replace(_read_folder(folder), source=repo_id)


def _read_folder(folder: Path) -> Checkpoint:
    try:
        if read_layout(folder) == "model2vec":
            return read_model2vec(folder)
        return read_sentence_transformers(folder)
    except OSError as error:
        raise FormatError(f"{folder}: {error}, expected readable files") from error


def _read_file(path: Path) -> Checkpoint:
    if path.suffix == ".safetensors":
        raise FormatError(f"{path}: a file of tensors, expected its folder: pass {path.parent}")
    try:
        return read_word2vec(path)
    except OSError as error:
        raise FormatError(f"{path}: {error}, expected a readable file") from error


def _inside(subfolder: str) -> PurePosixPath:
    path = PurePosixPath(subfolder)
    if path.is_absolute() or ".." in path.parts or "\\" in subfolder or "\0" in subfolder:
        raise ValueError(f"subfolder {subfolder!r}, expected a folder inside the model's")
    return path

"""Bytes on disk <-> one `Checkpoint`: every layout a static model comes in, and the one we write.

One rule: no model and no torch in here; a checkpoint holds plain values.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from vecsmith._typing import PathLike
from vecsmith.errors import FormatError
from vecsmith.formats.checkpoint import Checkpoint
from vecsmith.formats.model2vec import is_model2vec, read_model2vec
from vecsmith.formats.saved_model import write_checkpoint
from vecsmith.formats.sentence_transformers import read_sentence_transformers
from vecsmith.formats.tokenizer_json import TokenizerSettings, read_tokenizer

__all__ = [
    "Checkpoint",
    "TokenizerSettings",
    "open_checkpoint",
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
    folder = Path(source)
    if not folder.is_dir():
        raise FormatError(f"{folder}: no such folder")
    if subfolder is not None:
        folder = folder / _inside(subfolder)
    if is_model2vec(folder):
        return read_model2vec(folder)
    return read_sentence_transformers(folder)


def _inside(subfolder: str) -> PurePosixPath:
    path = PurePosixPath(subfolder)
    if path.is_absolute() or ".." in path.parts or "\\" in subfolder or "\0" in subfolder:
        raise ValueError(f"subfolder {subfolder!r}, expected a folder inside the model's")
    return path

"""Settings of a tokenizer as they are kept in the user's cache, so that a large file is read once.

    magic | SHA-256 of the rest | length of the header | header, JSON | arrays and texts

One rule: what is kept is never trusted. It is found by the SHA-256 of the `tokenizer.json` and by
what read it, checked by its own, and it holds plain values that the engine checks as it does those
of any file; whatever does not fit is read anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from vecsmith._files import atomic_file, cache_folder
from vecsmith.formats.tokenizer_json.settings import (
    AddedToken,
    BpeModel,
    Model,
    NativeSettings,
    Step,
    TokenizerSettings,
    UnigramModel,
    WordLevelModel,
    WordPieceModel,
)

# Smaller files are read as fast as their settings would be.
MIN_CHARACTERS: Final = 2**18
_MAGIC: Final = b"vecsmith tokenizer 1\n"
_DIGEST_BYTES: Final = 32
_MAX_BYTES: Final = 2**30
_MOST_KEPT: Final = 32
_MODELS: Final[dict[str, type[Model]]] = {
    "wordpiece": WordPieceModel,
    "bpe": BpeModel,
    "unigram": UnigramModel,
    "wordlevel": WordLevelModel,
}
_DTYPES: Final = frozenset({"<u4", "<f8"})


def load_compiled(tokenizer_json: str) -> TokenizerSettings | None:
    """The settings kept for the text of a `tokenizer.json`, or None where there are none."""
    # Whatever a broken or foreign file makes of this, the text itself is there to be read.
    with suppress(OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError):
        return _settings_of(_read_own(_path_of(tokenizer_json)))
    return None


def keep_compiled(tokenizer_json: str, settings: TokenizerSettings) -> None:
    """Keeps `settings` for the next time, where the cache can be written."""
    if settings.native is None:
        return
    with suppress(OSError, RuntimeError):  # the latter where there is no home
        path = _path_of(tokenizer_json)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with atomic_file(path, durable=False) as file:
            file.write(_bytes_of(settings, settings.native))
        _drop_oldest(path.parent)


def _path_of(tokenizer_json: str) -> Path:
    folder = cache_folder()
    if folder is None:
        raise FileNotFoundError("VECSMITH_CACHE is empty")
    text = hashlib.sha256(tokenizer_json.encode("utf-8", "surrogatepass")).hexdigest()
    return folder / "tokenizers" / f"{text}-{_reader()}.bin"


@cache
def _reader() -> str:
    """A name of the code that reads settings: another one might read others."""
    from vecsmith import __version__

    sources = sorted(Path(__file__).parent.glob("*.py"))
    seen = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sources]
    return hashlib.sha256(repr((__version__, seen)).encode()).hexdigest()[:16]


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _read_own(path: Path) -> bytes:
    """Bytes behind the magic of a file that this user alone can have written.

    Raises:
        OSError: If there is no such file, or somebody else could change it.
        ValueError: If it is not whole.
    """
    # A pipe of that name must not be waited for.
    with open(path, "rb", opener=_open_at_once) as file:
        status = os.fstat(file.fileno())
        is_ours = not hasattr(os, "geteuid") or status.st_uid == os.geteuid()
        others = stat.S_IWGRP | stat.S_IWOTH
        is_plain = stat.S_ISREG(status.st_mode) and status.st_size <= _MAX_BYTES
        if not is_ours or status.st_mode & others or not is_plain:
            raise PermissionError(path)
        content = file.read()
    n_head = len(_MAGIC) + _DIGEST_BYTES
    body = content[n_head:]
    if content[:n_head] != _MAGIC + hashlib.sha256(body).digest():
        raise ValueError("broken")
    return body


def _bytes_of(settings: TokenizerSettings, native: NativeSettings) -> bytes:
    parts = _Parts()
    header = {
        "settings": asdict(replace(settings, native=None)),
        "normalizer": [[step.kind, parts.packed(step.options)] for step in native.normalizer],
        "splitter": [[step.kind, parts.packed(step.options)] for step in native.splitter],
        "model": parts.packed(
            {field.name: getattr(native.model, field.name) for field in fields(native.model)}
        ),
        "added_tokens": [asdict(token) for token in native.added_tokens],
    }
    encoded = json.dumps(header).encode()
    body = len(encoded).to_bytes(8, "little") + encoded + b"".join(parts.parts)
    return _MAGIC + hashlib.sha256(body).digest() + body


def _settings_of(body: bytes) -> TokenizerSettings:
    n_header = int.from_bytes(body[:8], "little")
    header = json.loads(body[8 : 8 + n_header])
    parts = _Parts(body[8 + n_header :])
    model = _MODELS[header["settings"]["family"]](**parts.unpacked(header["model"]))
    native = NativeSettings(
        normalizer=tuple(Step(kind, parts.unpacked(o)) for kind, o in header["normalizer"]),
        splitter=tuple(Step(kind, parts.unpacked(o)) for kind, o in header["splitter"]),
        model=model,
        added_tokens=tuple(AddedToken(**token) for token in header["added_tokens"]),
    )
    return replace(TokenizerSettings(**header["settings"]), native=native)


class _Parts:
    """What is too large for the header, one part after another; the header says where each is."""

    def __init__(self, content: bytes = b"") -> None:
        self.parts: list[bytes] = []
        self._content = content
        self._n_bytes = 0

    def packed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values as JSON, large ones as the places of their parts."""
        return {name: self._pack(value) for name, value in values.items()}

    def unpacked(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values that `packed` was given."""
        return {name: self._unpack(value) for name, value in values.items()}

    def _pack(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            array = value.astype(value.dtype.newbyteorder("<"), copy=False)
            return self._place(array.tobytes(), dtype=array.dtype.str, shape=list(array.shape))
        if isinstance(value, bytes):
            return self._place(value)
        if isinstance(value, list):
            separator = _separator_of(value)
            text = separator.join(value).encode("utf-8", "surrogatepass")
            return self._place(text, separator=separator, n_texts=len(value))
        return value

    def _place(self, part: bytes, **rest: Any) -> dict[str, Any]:
        self.parts.append(part)
        begin, self._n_bytes = self._n_bytes, self._n_bytes + len(part)
        return {"begin": begin, "end": self._n_bytes, **rest}

    def _unpack(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        begin, end = value["begin"], value["end"]
        if not 0 <= begin <= end <= len(self._content):
            raise ValueError("broken")
        part = self._content[begin:end]
        if "dtype" in value:
            if value["dtype"] not in _DTYPES:
                raise ValueError("broken")
            return np.frombuffer(part, dtype=value["dtype"]).reshape(value["shape"])
        if "separator" not in value:
            return part
        texts = part.decode("utf-8", "surrogatepass").split(value["separator"])
        if value["n_texts"] == 0:
            return []
        if len(texts) != value["n_texts"]:
            raise ValueError("broken")
        return texts


def _separator_of(texts: list[str]) -> str:
    """A character that is in none of the texts."""
    used = set().union(*texts)
    return next(chr(c) for c in range(0x110000) if chr(c) not in used)


def _drop_oldest(folder: Path) -> None:
    """Forgets what was kept longest ago, where there is much."""
    kept = sorted(folder.glob("*.bin"), key=lambda path: path.stat().st_mtime)
    for path in kept[:-_MOST_KEPT]:
        path.unlink(missing_ok=True)

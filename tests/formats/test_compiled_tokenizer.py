"""Settings that are kept in the cache are those of the file, or are not used."""

from __future__ import annotations

import base64
import json
import os
import random
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecsmith import StaticModel
from vecsmith.errors import FormatError
from vecsmith.formats import Checkpoint
from vecsmith.formats.tokenizer_json import TokenizerSettings, compiled, read_tokenizer, reading
from vecsmith.tokenizer import Tokenizer

WORDS = [
    "[UNK]",
    "the",
    "##s",
    "c\u00e9",
    "\u732b",
    "\U0001f600",
    "a",
    "t",
    "th",
    "he",
    "\x00",
    "\n",
]
FLAGS = {"single_word": False, "lstrip": False, "rstrip": True, "normalized": False}
VOCABULARY = {word: i for i, word in enumerate(WORDS)}


def tokenizer_json(model: dict[str, Any], **parts: Any) -> str:
    added = [{"id": 0, "content": "[UNK]", "special": True, **FLAGS}]
    return json.dumps(
        {"version": "1.0", "added_tokens": added, "model": model, **parts}, ensure_ascii=False
    )


def bert(words: list[str]) -> str:
    vocabulary = {word: i for i, word in enumerate(words)}
    return tokenizer_json(
        {"type": "WordPiece", "unk_token": "[UNK]", "vocab": vocabulary},
        normalizer={"type": "BertNormalizer", "lowercase": True},
        pre_tokenizer={"type": "BertPreTokenizer"},
        truncation={
            "direction": "Left",
            "max_length": 9,
            "strategy": "LongestFirst",
            "stride": 0,
        },
    )


FILES = {
    "wordpiece": bert(WORDS),
    "unigram": tokenizer_json(
        {"type": "Unigram", "unk_id": 0, "vocab": [[w, -i / 3] for i, w in enumerate(WORDS)]},
        normalizer={
            "type": "Sequence",
            "normalizers": [
                {
                    "type": "Precompiled",
                    "precompiled_charsmap": base64.b64encode(bytes(8)).decode(),
                },
                {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
            ],
        },
        pre_tokenizer={"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always"},
    ),
    "bpe": tokenizer_json(
        {"type": "BPE", "unk_token": "[UNK]", "vocab": VOCABULARY, "merges": [["t", "he"]]},
        pre_tokenizer={
            "type": "Split",
            "pattern": {"String": " "},
            "behavior": "Removed",
            "invert": False,
        },
    ),
    "wordlevel": tokenizer_json(
        {"type": "WordLevel", "unk_token": "[UNK]", "vocab": VOCABULARY},
        pre_tokenizer={"type": "Whitespace"},
    ),
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of what is kept, of files of any size."""
    monkeypatch.setenv("VECSMITH_CACHE", str(tmp_path))
    monkeypatch.setattr(reading, "MIN_CHARACTERS", 0)
    reading._read.cache_clear()
    return tmp_path / "tokenizers"


def read_anew(text: str) -> TokenizerSettings:
    reading._read.cache_clear()
    return read_tokenizer(text)


@pytest.fixture
def no_parsing(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes the reader of JSON fail."""

    def refuse(*_: Any) -> Any:
        raise FormatError("the text was read")

    return lambda: monkeypatch.setattr(reading, "_parsed", refuse)


def plain(settings: TokenizerSettings) -> Any:
    """Values that compare, with the types of arrays."""

    def value(x: Any) -> Any:
        if isinstance(x, np.ndarray):
            return (x.dtype.str, x.shape, x.tolist())
        if isinstance(x, dict):
            return {k: value(v) for k, v in x.items()}
        if isinstance(x, (list, tuple)):
            return [value(v) for v in x]
        return (type(x), x)

    assert settings.native is not None
    return value(asdict(settings)), type(settings.native.model)


@pytest.mark.parametrize("family", FILES)
def test_what_is_kept_is_what_the_file_says(family: str, no_parsing: Callable[[], None]) -> None:
    first = read_anew(FILES[family])
    assert first.family == family
    no_parsing()
    assert plain(read_anew(FILES[family])) == plain(first)
    with pytest.raises(FormatError, match="the text was read"):
        read_anew(FILES[family] + " ")


def test_a_kept_vocabulary_gives_the_same_ids(
    minilm_tokenizer_json: str, no_parsing: Callable[[], None]
) -> None:
    texts = ["It's dangerous to go alone!", "na\u00efve \u732b caf\u00e9s", "unbelievable [MASK] x"]
    ids, offsets = Tokenizer(minilm_tokenizer_json).encode_batch(texts)
    no_parsing()
    reading._read.cache_clear()
    kept_ids, kept_offsets = Tokenizer(minilm_tokenizer_json).encode_batch(texts)
    np.testing.assert_array_equal(kept_ids, ids)
    np.testing.assert_array_equal(kept_offsets, offsets)


def test_a_file_with_any_byte_changed_or_cut_off_is_not_used(cache: Path) -> None:
    expected = plain(read_anew(FILES["wordpiece"]))
    (path,) = cache.iterdir()
    whole = path.read_bytes()
    draw = random.Random(5)
    for _ in range(300):
        place, flipped = draw.randrange(len(whole)), draw.randrange(1, 256)
        broken = whole[:place] + bytes([whole[place] ^ flipped]) + whole[place + 1 :]
        path.write_bytes(broken if draw.random() < 0.7 else whole[:place])
        assert compiled.load_compiled(FILES["wordpiece"]) is None
    assert plain(read_anew(FILES["wordpiece"])) == expected
    assert path.read_bytes() == whole  # written again


def test_a_forged_file_makes_no_harm_whatever_its_values(cache: Path) -> None:
    import hashlib

    text = FILES["wordpiece"]
    read_anew(text)
    (path,) = cache.iterdir()
    body = path.read_bytes()[len(compiled._MAGIC) + 32 :]
    n_header = int.from_bytes(body[:8], "little")
    header = json.loads(body[8 : 8 + n_header])
    parts = body[8 + n_header :]
    draw = random.Random(6)
    wrong: list[Any] = [
        None,
        -1,
        2**40,
        "x",
        [],
        {},
        True,
        {"begin": 0, "end": 10**9},
        {"begin": -1, "end": 1},
    ]

    def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        keys = (
            value
            if isinstance(value, dict)
            else range(len(value))
            if isinstance(value, list)
            else ()
        )
        return [at, *(p for key in keys for p in places(value[key], (*at, key)))]

    n_used = 0
    for place in places(header)[1:]:
        forged = json.loads(json.dumps(header))
        inner = forged
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = draw.choice(wrong)
        encoded = json.dumps(forged).encode()
        content = len(encoded).to_bytes(8, "little") + encoded + parts
        path.write_bytes(compiled._MAGIC + hashlib.sha256(content).digest() + content)
        reading._read.cache_clear()
        try:
            Tokenizer(text).encode_batch(["the cats", "\u732b"])
            n_used += 1
        except (TypeError, ValueError, AttributeError, FormatError):
            pass
    assert n_used


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs the owners of files")
def test_a_file_that_others_can_write_is_not_used(cache: Path) -> None:
    read_anew(FILES["wordpiece"])
    (path,) = cache.iterdir()
    assert compiled.load_compiled(FILES["wordpiece"]) is not None
    path.chmod(0o666)
    assert compiled.load_compiled(FILES["wordpiece"]) is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(cache: Path) -> None:
    read_anew(FILES["wordpiece"])
    (path,) = cache.iterdir()
    path.unlink()
    os.mkfifo(path, 0o600)
    assert compiled.load_compiled(FILES["wordpiece"]) is None


def test_a_folder_in_the_place_of_a_file_is_passed_over(cache: Path) -> None:
    read_anew(FILES["wordpiece"])
    (path,) = cache.iterdir()
    path.unlink()
    path.mkdir()
    assert compiled.load_compiled(FILES["wordpiece"]) is None
    handle = os.open(path, os.O_RDONLY)
    os.close(handle)
    assert compiled.load_compiled(FILES["wordpiece"]) is None
    again = os.open(path, os.O_RDONLY)
    os.close(again)
    assert again == handle  # none was left open


def test_other_code_that_reads_has_files_of_its_own(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_anew(FILES["wordpiece"])
    monkeypatch.setattr(compiled, "_reader", lambda: "another")
    assert compiled.load_compiled(FILES["wordpiece"]) is None
    read_anew(FILES["wordpiece"])
    assert len(list(cache.iterdir())) == 2


def test_a_cache_that_cannot_be_written_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_checkpoint: Checkpoint
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("VECSMITH_CACHE", str(tmp_path / "file"))
    reading._read.cache_clear()
    assert StaticModel(tiny_checkpoint).encode("the cat").any()


@pytest.mark.parametrize("value", ["", "off", "./cache"])
def test_a_cache_that_is_empty_or_relative_leaves_nothing_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    here, shared = tmp_path / "here", tmp_path / "shared"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("XDG_CACHE_HOME", str(shared))
    monkeypatch.setenv("VECSMITH_CACHE", value)
    read_anew(FILES["wordlevel"])
    assert list(here.iterdir()) == []
    assert shared.exists() == (value != "")


def test_what_was_kept_longest_ago_is_forgotten(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "_MOST_KEPT", 3)
    for i in range(5):
        read_anew(bert([*WORDS, f"word{i}"]))
        for path in cache.iterdir():
            os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 10))
    assert len(list(cache.iterdir())) == 3
    kept = [compiled.load_compiled(bert([*WORDS, f"word{i}"])) is not None for i in range(5)]
    assert kept == [False, False, True, True, True]


def test_small_files_and_tokenizers_that_are_not_native_are_not_kept(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled.keep_compiled("text", replace(read_anew(FILES["bpe"]), native=None))
    assert len(list(cache.iterdir())) == 1
    assert compiled.load_compiled("text") is None
    monkeypatch.setattr(reading, "MIN_CHARACTERS", len(FILES["wordpiece"]) + 1)
    read_anew(FILES["wordpiece"])
    assert len(list(cache.iterdir())) == 1

"""The tokens of a tokenizer.json: taken out, appended and renumbered, each family in its way.

A tokenizer.json is treated as the plain settings it is.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from vecsmith._extras import require
from vecsmith.errors import FormatError


def open_tokenizer(text: str, source: str) -> Any:
    """The `tokenizers.Tokenizer` of a tokenizer.json, which neither pads nor cuts.

    Raises:
        FormatError: If `text` is none; `source` names it.
    """
    tokenizers = require("tokenizers", extra="distill", purpose="read the teacher's tokenizer")
    try:
        tokenizer = tokenizers.Tokenizer.from_str(text)
    except Exception as error:  # the package raises bare Exception
        raise FormatError(
            f"{source}: {error}, expected a tokenizer.json; fetch it again"
        ) from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


class TokenList:
    """The tokens of a tokenizer.json in id order, with what belongs to each."""

    def __init__(self, settings: dict[str, Any], source: str) -> None:
        self.settings = settings
        model = settings.get("model")
        if not isinstance(model, dict) or not isinstance(model.get("vocab"), dict | list):
            raise FormatError(f"{source}: model.vocab is missing, expected a tokenizer.json")
        self.model = model
        # old files leave the type out; only WordPiece and Unigram can be told by their keys
        self.family = str(model.get("type") or ("BPE" if "merges" in model else "WordPiece"))
        if isinstance(model["vocab"], list):
            self.family = "Unigram"
            self.ids = {str(token): i for i, (token, _) in enumerate(model["vocab"])}
            self.scores = {str(token): float(score) for token, score in model["vocab"]}
        else:
            self.ids = {str(token): int(i) for token, i in model["vocab"].items()}
            self.scores = {}
        if self.family not in ("WordPiece", "BPE", "Unigram", "WordLevel"):
            raise FormatError(
                f"{source}: model.type {self.family!r}, "
                "expected WordPiece, BPE, Unigram or WordLevel"
            )
        self.added = {str(added["content"]): added for added in settings.get("added_tokens") or []}
        for content, added in self.added.items():
            self.ids.setdefault(content, int(added["id"]))
        self.unk = self._unknown()

    def _unknown(self) -> str | None:
        if self.family == "Unigram":
            unk_id = self.model.get("unk_id")
            return self.model["vocab"][unk_id][0] if isinstance(unk_id, int) else None
        unk = self.model.get("unk_token")
        return unk if isinstance(unk, str) and unk in self.ids else None

    @property
    def lowest_score(self) -> float:
        """Score of the least likely Unigram token."""
        return min(self.scores.values(), default=-100.0)

    def drop(self, tokens: set[str]) -> None:
        """Takes `tokens` out, and every merge that makes or needs one."""
        for token in tokens:
            self.ids.pop(token, None)
            self.added.pop(token, None)
            self.scores.pop(token, None)
        if self.family == "BPE" and tokens:
            self.model["merges"] = [
                pair
                for pair in map(_pair, self.model["merges"])
                if not (pair[0] in tokens or pair[1] in tokens or pair[0] + pair[1] in tokens)
            ]

    def compact(self) -> None:
        """Renumbers ids from 0 in their present order."""
        self.ids = {token: i for i, token in enumerate(sorted(self.ids, key=self.ids.__getitem__))}

    def append(self, token: str, score: float | None = None) -> int:
        """Id of a new token at the end."""
        self.ids[token] = len(self.ids)
        if self.family == "Unigram":
            self.scores[token] = self.lowest_score if score is None else score
        return self.ids[token]

    def to_json(self) -> str:
        """Text of the tokenizer.json with these tokens."""
        if self.family == "Unigram":
            floor = self.lowest_score
            self.model["vocab"] = [[t, self.scores.get(t, floor)] for t in self.ids]
            self.model["unk_id"] = None if self.unk is None else self.ids[self.unk]
        else:
            self.model["vocab"] = self.ids
        ordered = sorted(self.added.values(), key=lambda added: self.ids[added["content"]])
        self.settings["added_tokens"] = [
            {**added, "id": self.ids[added["content"]]} for added in ordered
        ]
        self.settings["post_processor"] = None
        self.settings["padding"] = None
        self.settings["truncation"] = None
        return json.dumps(self.settings, ensure_ascii=False)


def _pair(merge: str | Sequence[str]) -> tuple[str, str]:
    """A merge as a pair; older files write "left right"."""
    left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
    return left, right


class Merges:
    """Byte-pair merges to which whole words can be added."""

    def __init__(self, merges: Iterable[str | Sequence[str]]) -> None:
        self.ranks = {_pair(merge): rank for rank, merge in enumerate(merges)}

    def add_word(self, word: str) -> list[str]:
        """Adds merges until `word` is one piece; what they take and make, `word` left out.

        New merges rank last, so nothing that was merged before is merged differently, and a
        word added earlier stays whole.
        """
        parts: set[str] = set()
        pieces = self._split(word)
        while len(pieces) > 1:
            for i in range(0, len(pieces) - 1, 2):
                pair = (pieces[i], pieces[i + 1])
                self.ranks.setdefault(pair, len(self.ranks))
                parts.update((*pair, "".join(pair)))
            pieces = self._split(word)
        return sorted(parts - {word})

    def _split(self, word: str) -> list[str]:
        pieces = list(word)
        while len(pieces) > 1:
            best = min(pairwise(pieces), key=lambda pair: self.ranks.get(pair, math.inf))
            if best not in self.ranks:
                break
            joined: list[str] = []
            i = 0
            while i < len(pieces):
                if i + 1 < len(pieces) and (pieces[i], pieces[i + 1]) == best:
                    joined.append(pieces[i] + pieces[i + 1])
                    i += 2
                else:
                    joined.append(pieces[i])
                    i += 1
            pieces = joined
        return pieces


def added_token(
    content: str,
    *,
    special: bool = False,
    single_word: bool = False,
    lstrip: bool = False,
    rstrip: bool = False,
    normalized: bool = False,
) -> dict[str, Any]:
    """An entry of `added_tokens`."""
    return {
        "id": 0,  # given with the others when the file is written
        "content": content,
        "single_word": single_word,
        "lstrip": lstrip,
        "rstrip": rstrip,
        "normalized": normalized,
        "special": special,
    }


def bert_normalizer(tokenizer: Any) -> dict[str, Any]:
    """BERT's normalizer with the casing and accents of another tokenizer."""

    def normalize(text: str) -> str:
        if tokenizer.normalizer is None:
            return text
        normalized: str = tokenizer.normalizer.normalize_str(text)
        return normalized

    return {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": True,
        "strip_accents": "e" in normalize("é"),
        "lowercase": "a" in normalize("A"),
    }


def _pre_tokenizers(pre_tokenizer: object) -> list[dict[str, Any]]:
    """A pre-tokenizer's steps, whether it is one or a sequence."""
    if not isinstance(pre_tokenizer, dict):
        return []
    if pre_tokenizer.get("type") == "Sequence":
        return [step for step in pre_tokenizer.get("pretokenizers") or [] if isinstance(step, dict)]
    return [pre_tokenizer]


def is_byte_level(settings: Mapping[str, Any]) -> bool:
    """Whether a tokenizer.json splits texts into bytes spelt as letters, as GPT-2 does."""
    steps = _pre_tokenizers(settings.get("pre_tokenizer"))
    return any(step.get("type") == "ByteLevel" for step in steps)


def add_prefix_space(pre_tokenizer: object, *, everywhere: bool) -> None:
    """Makes a byte-level splitter read the first word of a text as it reads the others.

    A splitter that runs after a Split would put the space before every piece, punctuation too,
    and is left alone unless `everywhere`.
    """
    steps = _pre_tokenizers(pre_tokenizer)
    for i, step in enumerate(steps):
        if step.get("type") == "ByteLevel" and (everywhere or i == 0):
            step["add_prefix_space"] = True


def spell(token: str, tokenizer: Any) -> str:
    """The text that a token's spelling stands for."""
    if tokenizer.decoder is None:
        return token
    text: str = tokenizer.decoder.decode([token])
    return text or token

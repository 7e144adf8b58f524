"""From a teacher's tokenizer and a user's words to the student's tokenizer.

The teacher's tokens are taken out or kept and the user's words appended. Every word that is added
is checked to come out as its own single id.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from vecsmith._files import parse_json
from vecsmith.distillation.token_list import (
    Merges,
    TokenList,
    add_prefix_space,
    added_token,
    bert_normalizer,
    is_byte_level,
    open_tokenizer,
    spell,
)
from vecsmith.errors import FormatError

VocabularyMode = Literal["subword", "word", "both"]

_N_EXAMPLES = 20
_WORDPIECE_MAX_CHARS = 100
# A Unigram word must beat the best path through its parts; any margin above rounding does.
_UNIGRAM_MARGIN = 0.01

EMPTY = "empty after normalization"
TWICE = "given twice"
KNOWN = "already in the teacher's vocabulary"
REMOVED = "matches token_remove_pattern"
TOO_LONG = "too long"
UNREACHABLE = "never comes out of the tokenizer"


@dataclass(frozen=True, slots=True, kw_only=True)
class VocabularyReport:
    """What became of the user's words.

    Attributes:
        n_given: Items given.
        n_words: Added as words.
        n_multiword: Added as units of several words.
        n_parts: Parts of added words that the tokenizer's merges need (byte-pair encodings only).
        n_removed: Tokens of the teacher left out.
        skipped: Number of items by reason.
        examples: Up to 20 skipped items by reason.
    """

    n_given: int
    n_words: int
    n_multiword: int
    n_parts: int
    n_removed: int
    skipped: Mapping[str, int] = field(default_factory=dict)
    examples: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __str__(self) -> str:
        """One line for people, with a line for each reason something was skipped."""
        lines = [
            f"{self.n_given} items given: {self.n_words} words and {self.n_multiword} multiword "
            f"items added; {self.n_removed} teacher tokens left out"
        ]
        for reason, n_items in self.skipped.items():
            shown = ", ".join(repr(word) for word in self.examples.get(reason, ())[:5])
            lines.append(f"skipped {n_items}, {reason}: {shown}{', ...' if n_items > 5 else ''}")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentVocabulary:
    """The student's tokenizer and what the teacher must read for each of its tokens.

    Attributes:
        tokenizer_json: The student's tokenizer.json.
        tokens: Tokens by id.
        sequences: Teacher ids of each token, without the specials around a text.
        n_teacher: How many of the first tokens are the teacher's own.
        word_counts: Count of a user's word by id, None if it has none.
        known_counts: Counts given for words that are tokens of the teacher, by student id.
        unk_id: Id of the unknown token, or None.
        report: What became of the user's words.
    """

    tokenizer_json: str
    tokens: Sequence[str]
    sequences: Sequence[Sequence[int]]
    n_teacher: int
    word_counts: Mapping[int, float | None]
    known_counts: Mapping[int, float]
    unk_id: int | None
    report: VocabularyReport


@dataclass(frozen=True, slots=True)
class _Item:
    """A user's word after the tokenizer's normalizer and splitter.

    Attributes:
        given: As the user wrote it.
        token: The token it becomes.
        text: What the teacher reads.
        multiword: Whether it is a unit of several words.
    """

    given: str
    token: str
    text: str
    multiword: bool


class _Skipped:
    """Items left out, by reason."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.examples: dict[str, list[str]] = {}

    def add(self, reason: str, word: str) -> None:
        self.counts[reason] = self.counts.get(reason, 0) + 1
        examples = self.examples.setdefault(reason, [])
        if len(examples) < _N_EXAMPLES:
            examples.append(word[:100])


def build_vocabulary(
    tokenizer_json: str,
    words: Sequence[tuple[str, float | None]],
    *,
    mode: VocabularyMode = "subword",
    token_remove_pattern: str | None = None,
    special: Mapping[str, str] | None = None,
    n_rows: int | None = None,
    max_tokens: int = 512,
    as_model2vec: bool = False,
    source: str = "tokenizer.json",
) -> StudentVocabulary:
    """The student's tokenizer, made of a teacher's and a user's words.

    Args:
        tokenizer_json: The teacher's.
        words: The user's words with counts or None; unused in mode "subword".
        mode: "subword" keeps the teacher's tokens, "word" takes the user's words alone, and
            "both" appends them to the teacher's.
        token_remove_pattern: Teacher tokens whose beginning matches this are left out.
        special: Role and text of the teacher's special tokens; unk_token and pad_token stay.
        n_rows: Rows of the teacher's input table; tokens beyond it are left out.
        max_tokens: Longest teacher sequence of a word, without specials.
        as_model2vec: Whether to do as model2vec 0.10.0 does where it differs: multiword items
            match inside words, new words have the lowest Unigram score, and the teacher reads
            the token's own spelling instead of the word.
        source: Names the tokenizer in errors.

    Raises:
        ValueError: If nothing is left, or the pattern is no regular expression.
        FormatError: If the tokenizer.json is broken.
    """
    pattern = _compile(token_remove_pattern)
    teacher = open_tokenizer(tokenizer_json, source)
    excluded: set[str] = set()
    skipped = _Skipped()
    while True:
        # at most a few rounds: a word that proves unreachable is left out and the rest rebuilt
        draft = _Draft(tokenizer_json, source, special or {}, as_model2vec)
        if mode == "word":
            draft.keep_words_only()
        else:
            draft.leave_out(pattern, n_rows)
        counts = draft.add_words(
            [] if mode == "subword" else words, teacher, pattern, excluded, skipped, max_tokens
        )
        text = draft.tokens.to_json()
        failed = [] if as_model2vec else draft.unreachable(open_tokenizer(text, source))
        if not failed:
            break
        excluded.update(failed)
        skipped = _Skipped()
        for word in sorted(excluded):
            skipped.add(UNREACHABLE, word)
    if not draft.tokens.ids or (mode == "word" and not draft.items):
        raise ValueError(
            "the vocabulary is empty, expected at least one word or token: "
            f"pattern {token_remove_pattern!r}, {len(words)} words given, {skipped.counts}"
        )
    return draft.finish(text, counts, len(words) if mode != "subword" else 0, skipped)


def _compile(pattern: str | None) -> re.Pattern[str] | None:
    if pattern is None:
        return None
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"token_remove_pattern {pattern!r}: {error}, expected a regular expression"
        ) from error


class _Draft:
    """A student's tokenizer while it is being made."""

    def __init__(
        self, tokenizer_json: str, source: str, special: Mapping[str, str], as_model2vec: bool
    ) -> None:
        settings = parse_json(tokenizer_json, source=source)
        if not isinstance(settings, dict):
            raise FormatError(f"{source}: {type(settings).__name__}, expected an object")
        try:
            self.tokens = TokenList(settings, source)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise FormatError(
                f"{source}: {type(error).__name__} {error} in model or added_tokens, "
                "expected a tokenizer.json"
            ) from error
        self.special = special
        self.as_model2vec = as_model2vec
        self.source = source
        self.teacher_ids = dict(self.tokens.ids)
        self.sequences: dict[str, list[int]] = {}
        self.items: dict[str, _Item] = {}
        self.n_parts = 0
        self.n_removed = 0
        self.known_counts: dict[str, float] = {}

    def leave_out(self, pattern: re.Pattern[str] | None, n_rows: int | None) -> None:
        """Takes out special tokens that no text holds, what matches, and what has no row."""
        tokens = self.tokens
        padding = tokens.settings.get("padding")
        kept = {tokens.unk, self.special.get("unk_token"), self.special.get("pad_token")}
        if isinstance(padding, dict):
            kept.add(padding.get("pad_token"))
        dropped = {
            token
            for token, i in tokens.ids.items()
            if token != tokens.unk
            and (
                (token in tokens.added and token not in kept)
                or (pattern is not None and pattern.match(token))
                or (n_rows is not None and i >= n_rows)
            )
        }
        tokens.drop(dropped)
        self.n_removed = len(dropped)
        tokens.compact()
        self.sequences = {token: [self.teacher_ids[token]] for token in tokens.ids}
        add_prefix_space(tokens.settings.get("pre_tokenizer"), everywhere=self.as_model2vec)

    def keep_words_only(self) -> None:
        """Turns the tokenizer into one of whole words, with nothing but the unknown token."""
        unk = self.tokens.unk or "[UNK]"
        tokenizer = open_tokenizer(self.tokens.to_json(), self.source)
        settings = self.tokens.settings
        if not (
            (settings.get("normalizer") or {}).get("type") == "BertNormalizer"
            and (settings.get("pre_tokenizer") or {}).get("type") == "BertPreTokenizer"
        ):
            settings["normalizer"] = bert_normalizer(tokenizer)
            settings["pre_tokenizer"] = {"type": "BertPreTokenizer"}
        settings["model"] = {
            "type": "WordPiece",
            "unk_token": unk,
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": _WORDPIECE_MAX_CHARS,
            "vocab": {unk: 0},
        }
        settings["decoder"] = {"type": "WordPiece", "prefix": "##", "cleanup": True}
        settings["added_tokens"] = [added_token(unk, special=True)]
        self.n_removed = len(self.tokens.ids) - (unk in self.tokens.ids)
        self.tokens = TokenList(settings, self.source)
        self.sequences = {unk: [self.teacher_ids[unk]] if unk in self.teacher_ids else []}

    def add_words(
        self,
        words: Sequence[tuple[str, float | None]],
        teacher: Any,
        pattern: re.Pattern[str] | None,
        excluded: set[str],
        skipped: _Skipped,
        max_tokens: int,
    ) -> dict[str, float | None]:
        """Appends the user's words, then the multiword items; their counts by token."""
        splitter = open_tokenizer(self.tokens.to_json(), self.source)
        n_before = len(self.tokens.ids)
        counts: dict[str, float | None] = {}
        for given, count in words:
            item = self._prepare(given, splitter)
            if item is None:
                skipped.add(EMPTY, given)
                continue
            if given in excluded:
                continue
            reason = self._refuse(item, pattern, teacher, max_tokens)
            if item.token in self.items:
                reason = TWICE
                if count is not None:
                    counts[item.token] = (counts[item.token] or 0.0) + count
            if reason == KNOWN and count is not None:
                self.known_counts[item.token] = self.known_counts.get(item.token, 0.0) + count
            if reason is not None:
                skipped.add(reason, given)
                continue
            self.items[item.token] = item
            counts[item.token] = count
        self._append(splitter)
        self.n_parts = len(self.tokens.ids) - n_before - len(self.items)
        for token in list(self.tokens.ids)[n_before:]:
            if token not in self.sequences:
                text = token if self.as_model2vec else spell(token, splitter)
                self.sequences[token] = self._read(text, teacher)
        return counts

    def _prepare(self, given: str, splitter: Any) -> _Item | None:
        """The token that a word becomes, or None if nothing of it is left."""
        normalized = given.strip() if splitter.normalizer is None else ""
        if splitter.normalizer is not None:
            normalized = splitter.normalizer.normalize_str(given.strip())
        if not normalized.strip():
            return None
        spaced = normalized
        if is_byte_level(self.tokens.settings) and not normalized.startswith(" "):
            spaced = f" {normalized}"
        pieces = [spaced]
        if splitter.pre_tokenizer is not None:
            text = normalized if self.as_model2vec else spaced
            pieces = [piece for piece, _ in splitter.pre_tokenizer.pre_tokenize_str(text)]
        if not pieces:
            return None
        if len(pieces) == 1:
            token = pieces[0]
            text = token if self.as_model2vec else spaced.replace("▁", " ")
            return _Item(given, token, text, multiword=False)
        unit = normalized.strip()
        return _Item(given, unit, unit if self.as_model2vec else spaced, multiword=True)

    def _refuse(
        self, item: _Item, pattern: re.Pattern[str] | None, teacher: Any, max_tokens: int
    ) -> str | None:
        """Why a word is not added, or None."""
        if item.token in self.sequences or (item.multiword and item.token in self.teacher_ids):
            return KNOWN
        if pattern is not None and not item.multiword and pattern.match(item.token):
            return REMOVED
        limit = self.tokens.model.get("max_input_chars_per_word", math.inf)
        if not item.multiword and len(item.token) > limit:
            return TOO_LONG
        sequence = self._read(item.text, teacher)
        if len(sequence) > max_tokens:
            return TOO_LONG
        if not sequence:
            return EMPTY
        self.sequences[item.token] = sequence
        return None

    def _read(self, text: str, teacher: Any) -> list[int]:
        """The teacher's ids of `text`, without specials."""
        ids: list[int] = teacher.encode(text, add_special_tokens=False).ids
        return ids

    def _append(self, splitter: Any) -> None:
        tokens = self.tokens
        merges = Merges(tokens.model["merges"]) if tokens.family == "BPE" else None
        for item in self.items.values():
            if item.multiword:
                continue
            tokens.append(item.token, self._score(item, splitter))
            for part in merges.add_word(item.token) if merges else ():
                if part not in tokens.ids:
                    tokens.append(part)
        if merges is not None:
            tokens.model["merges"] = [list(pair) for pair in merges.ranks]
        for item in self.items.values():
            if item.multiword:
                tokens.append(item.token)
                tokens.added[item.token] = added_token(
                    item.token,
                    # inside other words a unit would be found by accident ("art is" in "start is")
                    single_word=not self.as_model2vec,
                    lstrip=True,
                    # the space after the unit is what marks the next word as a word
                    rstrip=self.as_model2vec,
                    normalized=True,
                )

    def _score(self, item: _Item, splitter: Any) -> float | None:
        """A Unigram score just above that of the word's best parts."""
        if self.tokens.family != "Unigram" or self.as_model2vec:
            return None
        parts = [piece.value for piece in splitter.model.tokenize(item.token)]
        floor = self.tokens.lowest_score
        if not all(part in self.tokens.scores for part in parts):
            return floor
        return max(floor, sum(self.tokens.scores[part] for part in parts) + _UNIGRAM_MARGIN)

    def unreachable(self, tokenizer: Any) -> list[str]:
        """Given words that do not come out as their own single id."""
        items = list(self.items.values())
        encodings = tokenizer.encode_batch(
            [item.text.strip() if item.multiword else item.text for item in items],
            add_special_tokens=False,
        )
        return [
            item.given
            for item, encoding in zip(items, encodings, strict=True)
            if encoding.ids != [self.tokens.ids[item.token]]
        ]

    def finish(
        self, text: str, counts: Mapping[str, float | None], n_given: int, skipped: _Skipped
    ) -> StudentVocabulary:
        """The vocabulary, ready."""
        ids = self.tokens.ids
        n_words = sum(not item.multiword for item in self.items.values())
        return StudentVocabulary(
            tokenizer_json=text,
            tokens=list(ids),
            sequences=[self.sequences[token] for token in ids],
            n_teacher=len(ids) - len(self.items) - self.n_parts,
            word_counts={ids[token]: counts.get(token) for token in self.items},
            known_counts={ids[t]: n for t, n in self.known_counts.items() if t in ids},
            unk_id=ids[self.tokens.unk] if self.tokens.unk is not None else None,
            report=VocabularyReport(
                n_given=n_given,
                n_words=n_words,
                n_multiword=len(self.items) - n_words,
                n_parts=self.n_parts,
                n_removed=self.n_removed,
                skipped=skipped.counts,
                examples=skipped.examples,
            ),
        )

"""A student's tokenizer against the tokenizers package: each word comes out as its one id."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from tests.transformer.teachers import (
    TEXTS,
    byte_level_tokenizer,
    unigram_tokenizer,
    word_piece_tokenizer,
)
from vecsmith.distillation.vocabulary import (
    EMPTY,
    KNOWN,
    REMOVED,
    TOO_LONG,
    TWICE,
    StudentVocabulary,
    VocabularyMode,
    build_vocabulary,
)
from vecsmith.distillation.words import read_words
from vecsmith.errors import FormatError

WORDS = ["zyzzyva", "quixotic", "liquorice", "naïveté", "electroencephalograph", "x1", "foxesque"]
UNITS = ["new york", "it's dangerous", "c++"]
TOKENIZERS: list[Callable[[], Tokenizer]] = [
    word_piece_tokenizer,
    byte_level_tokenizer,
    unigram_tokenizer,
]


def build(
    tokenizer: Tokenizer, words: list[Any], mode: VocabularyMode = "both", **options: Any
) -> StudentVocabulary:
    given = [word if isinstance(word, tuple) else (word, None) for word in words]
    return build_vocabulary(tokenizer.to_str(), given, mode=mode, **options)


@pytest.mark.parametrize("make", TOKENIZERS)
@pytest.mark.parametrize("mode", ["both", "word"])
def test_each_word_comes_out_as_its_own_single_id(
    make: Callable[[], Tokenizer], mode: VocabularyMode
) -> None:
    student = build(make(), WORDS, mode)
    tokenizer = Tokenizer.from_str(student.tokenizer_json)
    assert len(student.word_counts) == len(WORDS)
    for word, i in zip(WORDS, student.word_counts, strict=True):
        assert tokenizer.encode(word, add_special_tokens=False).ids == [i]
        text = tokenizer.encode(f"{word} {word}", add_special_tokens=False).ids
        assert text == [i, i]


@pytest.mark.parametrize("make", TOKENIZERS)
@pytest.mark.parametrize("mode", ["both", "word"])
def test_a_multiword_item_is_found_inside_a_text(
    make: Callable[[], Tokenizer], mode: VocabularyMode
) -> None:
    student = build(make(), ["zyzzyva", *UNITS], mode)
    tokenizer = Tokenizer.from_str(student.tokenizer_json)
    units = {student.tokens[i]: i for i in student.word_counts if student.tokens[i] in UNITS}
    # a splitter that looks for spaces alone takes "c++" for a word
    assert len(units) == student.report.n_multiword >= 2
    for unit, i in units.items():
        assert i in tokenizer.encode(f"zyzzyva {unit} zyzzyva", add_special_tokens=False).ids


def test_a_multiword_item_is_not_found_inside_other_words() -> None:
    student = build(word_piece_tokenizer(), ["art is"])
    tokenizer = Tokenizer.from_str(student.tokenizer_json)
    unit = next(iter(student.word_counts))
    assert unit in tokenizer.encode("my art is big", add_special_tokens=False).ids
    assert unit not in tokenizer.encode("start issues", add_special_tokens=False).ids


@pytest.mark.parametrize("make", TOKENIZERS)
def test_texts_without_new_words_keep_their_tokens(make: Callable[[], Tokenizer]) -> None:
    teacher = make()
    student = build(teacher, ["qwxzqwxz"])
    tokenizer = Tokenizer.from_str(student.tokenizer_json)
    for text in TEXTS:
        # a leading space is what the student's byte-level splitter puts before the first word
        spaced = f" {text}" if make is byte_level_tokenizer else text
        expected = teacher.encode(spaced, add_special_tokens=False).tokens
        assert tokenizer.encode(text, add_special_tokens=False).tokens == expected


@pytest.mark.parametrize("make", TOKENIZERS)
def test_the_teacher_reads_a_known_token_as_its_id_and_a_new_word_as_its_parts(
    make: Callable[[], Tokenizer],
) -> None:
    teacher = make()
    student = build(teacher, ["quixotic"])
    vocabulary = teacher.get_vocab()
    for token, sequence in list(zip(student.tokens, student.sequences, strict=True))[:50]:
        assert sequence == [vocabulary[token]]
    (word,) = student.word_counts
    text = " quixotic" if make is byte_level_tokenizer else "quixotic"
    assert student.sequences[word] == teacher.encode(text, add_special_tokens=False).ids


def test_ids_have_no_gaps_and_specials_no_text_holds_are_gone() -> None:
    student = build(word_piece_tokenizer(), [], "subword", token_remove_pattern=r"\[unused\d+\]",
                    special={"pad_token": "[PAD]"})  # fmt: skip
    vocabulary = json.loads(student.tokenizer_json)["model"]["vocab"]
    assert sorted(vocabulary.values()) == list(range(len(vocabulary)))
    assert not {"[unused0]", "[CLS]", "[SEP]", "[MASK]"} & vocabulary.keys()
    assert {"[PAD]", "[UNK]"} <= vocabulary.keys()
    assert student.tokens[student.unk_id or 0] == "[UNK]"
    assert json.loads(student.tokenizer_json)["post_processor"] is None


def test_removing_byte_pair_tokens_removes_their_merges() -> None:
    student = build(byte_level_tokenizer(), [], "subword", token_remove_pattern="Ġt")
    model = json.loads(student.tokenizer_json)["model"]
    assert not [token for token in model["vocab"] if token.startswith("Ġt")]
    Tokenizer.from_str(student.tokenizer_json)  # refuses merges of tokens that are not there
    assert all("".join(pair) in model["vocab"] for pair in model["merges"])


def test_a_word_model_knows_its_words_and_nothing_else() -> None:
    student = build(word_piece_tokenizer(), ["Fox", "dog"], "word")
    tokenizer = Tokenizer.from_str(student.tokenizer_json)
    assert student.tokens == ["[UNK]", "fox", "dog"]
    assert tokenizer.encode("A fox, foxes and Dogs", add_special_tokens=False).ids == [
        0, 1, 0, 0, 0, 0,
    ]  # fmt: skip


def test_a_word_model_of_a_cased_teacher_keeps_case() -> None:
    student = build(byte_level_tokenizer(), ["Fox", "fox", "café"], "word")
    tokenizer = Tokenizer.from_str(student.tokenizer_json)
    assert tokenizer.encode("Fox fox café cafe", add_special_tokens=False).ids == [1, 2, 3, 0]


def test_the_report_says_what_was_skipped_and_why() -> None:
    words = ["zyzzyva1", "Zyzzyva1", "the", " \u200b\t", "w" * 101, "[mask] x", "unusedx"]
    student = build(word_piece_tokenizer(), words, token_remove_pattern="unused")
    assert dict(student.report.skipped) == {TWICE: 1, KNOWN: 1, EMPTY: 1, TOO_LONG: 1, REMOVED: 1}
    assert student.report.examples[KNOWN] == ["the"]
    assert (student.report.n_given, student.report.n_words, student.report.n_multiword) == (7, 1, 1)
    assert "skipped 1, already in the teacher's vocabulary: 'the'" in str(student.report)


def test_counts_of_repeated_words_add_up_and_known_words_keep_theirs() -> None:
    student = build(word_piece_tokenizer(), [("zyx", 3.0), ("ZYX", 4.0), ("the", 50.0)])
    assert list(student.word_counts.values()) == [7.0]
    assert {student.tokens[i]: n for i, n in student.known_counts.items()} == {"the": 50.0}


def test_tokens_without_a_row_in_the_teacher_are_left_out() -> None:
    student = build(word_piece_tokenizer(), [], "subword", n_rows=50)
    assert max(sequence[0] for sequence in student.sequences) < 50


def test_words_are_read_from_lists_mappings_and_files(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("\ufefffox\t3\nnew york, ny\n\nquick dog\t0.5\r\n", encoding="utf-8")
    assert read_words(path) == [("fox", 3.0), ("new york, ny", None), ("quick dog", 0.5)]
    assert read_words(str(path)) == read_words(path)
    assert read_words(["a", "b"]) == [("a", None), ("b", None)]
    assert read_words({"a": 2}) == [("a", 2.0)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"fox\tmany\n", "line 1: count 'many'"),
        (b"ok\nfox\t-1\n", "line 2: count '-1'"),
        (b"ok\n\xff\xfe\n", "line 2: not UTF-8"),
        (b"x" * 70_000, "line 1: over 65536 bytes"),
    ],
)
def test_a_broken_word_file_is_named_with_the_line(
    content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / "words.txt").write_bytes(content)
    with pytest.raises(FormatError, match=message):
        read_words(tmp_path / "words.txt")


def test_lone_surrogates_in_words_do_no_harm() -> None:
    student = build(word_piece_tokenizer(), [*read_words(["zyx\ud800", "zyx"])])
    assert student.report.n_given == 2


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"model": {}}', '{"model": {"type": "Magic", "vocab": {}}}'],
)
def test_a_broken_tokenizer_is_a_format_error(text: str) -> None:
    with pytest.raises(FormatError, match=r"tokenizer\.json"):
        build_vocabulary(text, [])


def test_a_pattern_that_takes_everything_is_refused() -> None:
    tokenizer = byte_level_tokenizer()
    with pytest.raises(ValueError, match="vocabulary is empty"):
        build(tokenizer, [], "subword", token_remove_pattern=".")
    with pytest.raises(ValueError, match="expected a regular expression"):
        build(tokenizer, [], "subword", token_remove_pattern="(")

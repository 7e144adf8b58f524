from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("tokenizers", reason="tokenizers is not installed (extra hf)")
pytest.importorskip("torch", reason="torch is not installed (extra train)")

import tokenizers

from vecsmith.tokenizer import Tokenizer
from vecsmith.training.tokenizer_training import (
    FAMILIES,
    TokenizerFamily,
    TrainedTokenizer,
    train_tokenizer,
)

ENGLISH = "It is a truth universally acknowledged that a cat sat on the mats, café naïve".split()
KOREAN = "나는 학교에 간다 그리고 집에서 밥을 먹었다 서울의 날씨는 맑았다".split()
HINDI = "मैं किताब पढ़ता हूँ और पानी पीता हूँ".split()
THAI = ["ภาษาไทยไม่มีช่องว่างระหว่างคำ", "ฉันชอบอ่านหนังสือทุกวัน"]
CHINESE = ["今天天气很好", "我喜欢读书"]


def texts_of(words: list[str], n_texts: int = 300, seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(words, k=draw.randrange(1, 9))) for _ in range(n_texts)]


def trained(texts: list[str], **options: Any) -> TrainedTokenizer:
    return train_tokenizer(texts, **{"vocabulary": 200, **options})


@pytest.mark.parametrize("words", [ENGLISH, KOREAN, HINDI, THAI, CHINESE])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_language_is_tokenised_as_by_the_tokenizers_package(
    words: list[str], family: TokenizerFamily
) -> None:
    texts = texts_of(words)
    found = trained(texts, family=family)
    theirs = tokenizers.Tokenizer.from_str(found.tokenizer_json)
    ours = Tokenizer(found.tokenizer_json)
    assert found.report.is_native
    assert ours.is_native
    assert found.report.n_tokens == ours.vocab_size <= 261  # byte-pair has 256 bytes at least
    for text in texts[:50]:
        assert ours.encode(text).ids == theirs.encode(text, add_special_tokens=False).ids
    assert found.report.unknown_share == 0.0


@pytest.mark.parametrize("family", ["wordpiece", "bpe"])
def test_the_same_texts_give_the_same_tokenizer_every_time(family: TokenizerFamily) -> None:
    # the package's own WordPiece differs from one training to the next, in one process too
    texts = texts_of(KOREAN + ENGLISH)
    made = {trained(texts, family=family, vocabulary=300).tokenizer_json for _ in range(5)}
    assert len(made) == 1


def test_marks_that_are_letters_stay_unless_they_are_to_go() -> None:
    found = Tokenizer(trained(texts_of(HINDI + KOREAN)).tokenizer_json)
    assert "हूँ" in found.encode("हूँ").tokens
    assert found.normalize("학교에 CAFÉ") == "학교에 café"
    bare = Tokenizer(trained(texts_of(ENGLISH), strip_accents=True).tokenizer_json)
    assert bare.encode("café").ids == bare.encode("CAFE").ids


def test_case_counts_only_where_it_is_asked_to() -> None:
    plain = Tokenizer(trained(texts_of(ENGLISH)).tokenizer_json)
    assert plain.encode("CAT").ids == plain.encode("cat").ids
    cased = Tokenizer(trained(texts_of(ENGLISH), lowercase=False).tokenizer_json)
    assert cased.encode("It").ids != cased.encode("it").ids


def test_a_long_sentence_without_spaces_is_not_one_unknown_word() -> None:
    found = Tokenizer(trained(texts_of(THAI)).tokenizer_json)
    ids = found.encode(THAI[0] * 10).ids
    assert len(ids) > 10
    assert found.unk_id not in ids


def test_characters_too_rare_for_the_vocabulary_are_counted() -> None:
    common = texts_of(ENGLISH)
    rare = [f"cat {chr(0x4E00 + i)}" for i in range(200)]
    report = trained([*common, *rare], vocabulary=120).report
    letters = {letter for text in common for letter in text.lower() if not letter.isspace()}
    assert report.n_characters == len(letters) + 200
    assert report.n_left_out == report.n_characters - 30
    assert report.unknown_share > 0
    bytes_of = trained([*common, *rare], vocabulary=300, family="bpe").report
    assert (bytes_of.n_left_out, bytes_of.unknown_share) == (0, 0.0)


def test_texts_are_cut_as_coarsely_as_by_the_package_alone() -> None:
    texts = texts_of(ENGLISH)
    ours = trained(texts, vocabulary=120)
    theirs = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
    theirs.normalizer = tokenizers.normalizers.BertNormalizer(strip_accents=False)
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    trainer = tokenizers.trainers.WordPieceTrainer(
        vocab_size=120, min_frequency=2, special_tokens=["[PAD]", "[UNK]"], show_progress=False
    )
    theirs.train_from_iterator(texts, trainer)
    n_theirs = sum(len(each.ids) for each in theirs.encode_batch(texts)) / len(texts)
    assert ours.report.tokens_per_text == pytest.approx(n_theirs, rel=0.03)


def test_a_function_that_opens_the_texts_is_read_again_and_nulls_are_skipped() -> None:
    n_opened = 0

    def opened() -> Iterator[Any]:
        nonlocal n_opened
        n_opened += 1
        yield from [None, *texts_of(ENGLISH), ""]

    found = train_tokenizer(opened, vocabulary=100)
    assert n_opened == 3
    assert found.report.n_texts == 300
    assert found.tokenizer_json == trained(texts_of(ENGLISH), vocabulary=100).tokenizer_json


def test_half_a_character_does_not_stop_the_training() -> None:
    assert trained(["a cat \ud800 sat", "a cat sat"], vocabulary=40).report.n_texts == 2


@pytest.mark.parametrize(
    ("texts", "options", "kind", "message"),
    [
        ([], {}, ValueError, "0 texts without a single character"),
        (["", " "], {}, ValueError, "1 texts without a single character"),
        ("a cat", {}, TypeError, "one str"),
        (iter(["a cat"]), {}, TypeError, "can be read once"),
        (["a cat"], {"family": "bytes"}, ValueError, "family 'bytes', expected one of"),
        (["a cat"], {"vocabulary": 2}, ValueError, "vocabulary 2"),
        (["a cat"], {"min_count": 0}, ValueError, "min_count 0"),
    ],
)
def test_a_mistake_is_told(texts: Any, options: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        train_tokenizer(texts, **options)

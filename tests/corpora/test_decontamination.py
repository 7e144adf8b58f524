from __future__ import annotations

import random
import tracemalloc
import unicodedata
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from vecsmith.corpora import (
    Decontaminator,
    decontaminated,
    near_duplicates,
    open_pairs,
    texts_of,
)
from vecsmith.corpora.grams import reduced
from vecsmith.corpora.near_duplicates import RunSets

ALONE = ("CJK", "HIRAGANA", "KATAKANA", "THAI")


@cache
def tokens(text: str) -> list[str]:
    """The definition, one character after another."""
    found: list[str] = []
    follows = False
    for letter in unicodedata.normalize("NFKC", text).lower():
        if unicodedata.category(letter)[0] not in "LMN":
            follows = False
        elif unicodedata.name(letter, "").startswith(ALONE):
            found.append(letter)
            follows = False
        elif follows:
            found[-1] += letter
        else:
            found.append(letter)
            follows = True
    return found


@cache
def letters(text: str) -> str:
    return "".join(tokens(text))


@cache
def letter_runs(text: str) -> set[str]:
    return {letters(text)[i : i + 5] for i in range(len(letters(text)) - 4)}


@cache
def token_runs(text: str) -> set[str]:
    return {"".join(tokens(text)[i : i + 5]) for i in range(len(tokens(text)) - 4)}


def defined_match(text: str, evaluation: Sequence[str]) -> int:
    if not letters(text):
        return 0
    if letters(text) in {letters(e) for e in evaluation}:
        return 1
    longest = max((len(letters(e)) for e in evaluation if len(tokens(e)) < 20), default=0)
    for e in evaluation:
        if len(tokens(e)) < 20:
            a, b, least = letter_runs(text), letter_runs(e), 0.7
            near = len(letters(text)) <= 4 * longest
        else:
            a, b, least = token_runs(text), token_runs(e), 0.5
            near = True
            if len(a & b) >= 0.8 * len(b) > 0:
                return 2
        if near and a | b and b and len(a & b) / len(a | b) >= least:
            return 2
    return 0


WORDS = (
    "the a of model learning vector we propose results show 한국어 문장 임베딩을 학습 하는 방법 "
    "机器学习 模型 東京タワー こんにちは สวัสดี Größe naïve œuvre x2 2026 ＦＵＬＬ don't "
    "e-mail हिन्दी भाषा"
).split()


def sentences(draw: random.Random, n: int) -> list[str]:
    ends = (".", "", "!?", " …", "。")
    lengths = [draw.choice([0, 1, 2, 4, 7, 12, 18, 19, 20, 21, 30, 60]) for _ in range(n)]
    return [" ".join(draw.choices(WORDS, k=k)) + draw.choice(ends) for k in lengths]


def changed(draw: random.Random, text: str) -> str:
    words = text.split()
    for _ in range(draw.choice([0, 1, 1, 2, 4])):
        if words:
            words[draw.randrange(len(words))] = draw.choice(WORDS)
    how = draw.randrange(6)
    if how == 0:
        return " ".join(words).upper()
    if how == 1:
        return ", ".join(words)
    if how == 2:
        return " ".join(words + draw.choices(WORDS, k=draw.choice([1, 5, 40])))
    if how == 3:
        return " ".join(words[: len(words) * 3 // 4])
    return " ".join(words) * draw.choice([1, 1, 2, 9])


@pytest.mark.parametrize(("crowd", "max_pairs"), [(4096, 2**20), (0, 2**20), (30, 100)])
def test_matches_are_those_of_the_definition(
    monkeypatch: pytest.MonkeyPatch, crowd: int, max_pairs: int
) -> None:
    monkeypatch.setattr(near_duplicates, "_CROWD", crowd)
    monkeypatch.setattr(near_duplicates, "_MAX_PAIRS", max_pairs)
    draw = random.Random(5)
    evaluation = [*sentences(draw, 60), "very " * 25, "na " * 12, "", "?!"]
    texts = [changed(draw, draw.choice(evaluation)) for _ in range(900)] + sentences(draw, 100)
    expected = [defined_match(text, evaluation) for text in texts]
    found = Decontaminator(evaluation).matches(texts)
    assert found.dtype == np.uint8
    assert found.tolist() == expected
    assert min(expected.count(kind) for kind in (0, 1, 2)) > 60


def test_case_points_and_spaces_do_not_make_a_text_another() -> None:
    found = Decontaminator(["It's a Test-Case, no. 7!", "café", "한국어 문장", "模型 学习"])
    texts = ["its a testcase no 7", "IT S A TEST CASE NO 7", "cafe\u0301", "ＣＡＦÉ", "한국어문장"]
    assert found.matches([*texts, "模型学习。"]).tolist() == [1] * 6
    assert found.matches(["its a case no 8", "cafe", "", "!", "한국말"]).tolist() == [0] * 5


def test_one_word_more_or_less_is_near_and_another_topic_is_not() -> None:
    sentence = "A man in a red shirt is playing an old guitar on the street"
    paper = (
        "We study how static word vectors can keep the quality of a large sentence encoder when "
        "they are fitted by least squares to its vectors on unlabelled text of many domains"
    )
    found = Decontaminator([sentence, paper])
    assert found.matches(
        [sentence.replace("old", "older"), paper.replace("how", "whether")]
    ).tolist() == [2, 2]
    assert found.matches([f"Abstract. {paper} " + "and other things entirely " * 40]).tolist() == [
        2
    ]
    other = sentence.replace("shirt", "dress").replace("guitar", "violin").replace("man", "girl")
    assert found.matches([other, paper[:60]]).tolist() == [0, 0]


def test_thousands_of_texts_of_one_template_are_looked_at_in_bounded_memory() -> None:
    draw = random.Random(4)

    def asked(n: int) -> list[str]:
        about = (draw.randrange(10**6) for _ in range(n))
        return [
            f"What are the treatments for condition {i} in adults and children ?" for i in about
        ]

    found = Decontaminator(asked(5000))
    texts = [*asked(300), *(text[:40] + " something else" for text in asked(30))]
    tracemalloc.start()
    kinds = found.matches(texts)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (kinds[:300] > 0).all()
    assert not kinds[300:].any()
    assert peak < 150_000_000  # they share 20 rare runs with each of 5,000: 33 million pairs


def test_what_was_found_is_told_with_examples() -> None:
    found = Decontaminator(
        ["one text here", "one text here", "another text that somebody has written over there", ""]
    )
    assert len(found) == 2
    found.matches(
        ["One text here!", "clean", "another text that somebody had written over there", ""]
    )
    report = found.report
    assert (report.n_checked, report.n_equal, report.n_near) == (4, 1, 1)
    assert [(e.text, e.evaluation_text, e.is_equal) for e in report.examples] == [
        ("One text here!", "one text here", True),
        (
            "another text that somebody had written over there",
            "another text that somebody has written over there",
            False,
        ),
    ]
    assert report.line() == (
        "2 of 4 texts are in the evaluation sets (1 equal, 1 nearly; 2 distinct texts looked for)"
    )


def test_nothing_to_look_for_finds_nothing() -> None:
    for nothing in ([], ["", "..."], ["a"]):
        found = Decontaminator(nothing)
        assert found.matches([]).tolist() == []
        assert found.matches(["", "b c d e f", "word " * 300]).tolist() == [0, 0, 0]


def test_texts_of_any_kind_are_looked_at() -> None:
    hostile = ["\0", "a\0b", "\ud800", "\ufdfa" * 50, "\u0301", "İ", "\U0010ffff"]
    found = Decontaminator(hostile)
    expected = [0 if not letters(text) else 1 for text in hostile]
    assert found.matches(hostile).tolist() == expected
    assert found.matches(["clean", *hostile, "text"]).tolist() == [0, *expected, 0]


def test_of_a_text_that_never_ends_the_beginning_counts() -> None:
    book = "word " * 400_000
    assert Decontaminator([book]).matches([book + "more", book[:100]]).tolist() == [1, 2]


def test_a_runs_hash_does_not_depend_on_where_it_stands() -> None:
    draw = random.Random(1)
    texts = sentences(draw, 50)
    whole = np.ones(50, dtype=np.bool_)
    together = reduced(texts)
    of, hashes = together.letter_runs(5, whole)
    for i, text in enumerate(texts):
        alone = reduced([text])
        one = np.ones(1, dtype=np.bool_)
        assert alone.whole()[0] == together.whole()[i]
        assert alone.letter_runs(5, one)[1].tolist() == hashes[of == i].tolist()
        assert len(set(hashes[of == i].tolist())) == len(letter_runs(text))
        assert len(set(alone.token_runs(5, one)[1].tolist())) == len(token_runs(text))


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8, 1.0])
def test_the_nearest_set_is_found(threshold: float) -> None:
    draw = random.Random(3)
    theirs = [frozenset(draw.sample(range(30), draw.randrange(1, 25))) for _ in range(80)]
    mine = [frozenset(draw.sample(range(30), draw.randrange(1, 25))) for _ in range(300)]

    def flat(sets: list[frozenset[int]]) -> tuple[np.ndarray, np.ndarray]:
        of = np.repeat(np.arange(len(sets)), [len(s) for s in sets])
        return of, np.array([x for s in sets for x in s], dtype=np.uint32)

    sets = RunSets(*flat(theirs), len(theirs), threshold=threshold)
    found = sets.find(*flat(mine), len(mine))
    for a, place in zip(mine, found.tolist(), strict=True):
        likeness = [len(a & b) / len(a | b) for b in theirs]
        assert (place >= 0) == (max(likeness) >= threshold)
        assert place < 0 or likeness[place] == max(likeness)


def test_a_pair_goes_if_one_of_its_texts_does() -> None:
    found = Decontaminator(["seen in a test"])
    rows = [("a", "b"), ("seen in a test", "c"), ("d", "Seen in a test."), (None, "e")]
    pairs = decontaminated(open_pairs(rows), found)
    assert [r.texts for r in pairs.read()] == [{"anchor": ["a", None], "positive": ["b", "e"]}]
    assert pairs.fingerprint != open_pairs(rows).fingerprint
    texts = decontaminated(texts_of(["x", "seen in a test", "y", "x"]), found)
    assert list(texts) == ["x", "y"]
    assert texts.report.line() == "2 of 4 texts; left out: 1 repeated, 1 in an evaluation set"


def test_training_papers_are_told_from_those_of_the_search_set(shared_data: Path) -> None:
    pairs = open_pairs(shared_data / "papers" / "pairs.parquet")
    held_out = texts_of(shared_data / "papers_retrieval" / "corpus.parquet")
    found = Decontaminator(held_out)
    rows = next(pairs.read())
    texts = [text or "" for text in rows.texts["positive"][:3000]]
    evaluation = [text for _, text in zip(range(500), held_out, strict=False)]
    kinds = found.matches([*evaluation, *texts])
    assert (kinds[:500] == 1).all()
    assert (kinds[500:] > 0).mean() < 0.001


def test_the_fingerprint_tells_evaluation_texts_that_match_differently(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = [f"word{i}" for i in range(24)]
    apart = " ".join(words)
    joined = "".join(words[:2]) + " " + " ".join(words[2:])  # the same letters, other tokens
    plain = Decontaminator([apart, "a short one"])
    assert plain.fingerprint == Decontaminator([apart, "a short one", apart]).fingerprint
    others = [Decontaminator([joined, "a short one"]), Decontaminator([apart])]
    assert len({plain.fingerprint, *(other.fingerprint for other in others)}) == 3
    before = plain.fingerprint
    monkeypatch.setattr("vecsmith.corpora.decontamination._TOKEN_THRESHOLD", 0.6)
    assert plain.fingerprint != before

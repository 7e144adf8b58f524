"""Probabilities and weights against hand values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from vecsmith.distillation.weighting import (
    count_probabilities,
    place_words,
    rank_probabilities,
    sif_weights,
    token_counts,
)
from vecsmith.errors import FormatError


def test_rank_weights_of_29525_tokens_are_the_published_values() -> None:
    weights = sif_weights(rank_probabilities(29_525), 1e-4)
    assert weights[0] == pytest.approx(0.0020, abs=5e-5)
    assert weights[98] == pytest.approx(0.090, abs=5e-4)
    assert weights[998] == pytest.approx(0.497, abs=5e-4)
    assert weights[-1] == pytest.approx(0.967, abs=5e-4)


def test_count_probabilities_add_one_to_each() -> None:
    found = count_probabilities(np.array([3.0, 0.0, 1.0]))
    np.testing.assert_allclose(found, [4 / 7, 1 / 7, 2 / 7])


def test_words_without_counts_are_as_rare_as_the_last_token() -> None:
    found = place_words(102, 100, {100: None, 101: None}, {})
    np.testing.assert_allclose(found[:100], rank_probabilities(100))
    np.testing.assert_allclose(found[100:], rank_probabilities(100)[-1])


def test_a_frequent_word_weighs_less_than_a_rare_one_wherever_it_stands() -> None:
    weights = sif_weights(place_words(103, 100, {100: 1.0, 101: 500.0, 102: 20.0}, {}), 1e-3)
    assert weights[100] > weights[102] > weights[101]


def test_words_counted_together_with_tokens_get_the_tokens_scale() -> None:
    by_rank = rank_probabilities(100)
    counts = {i: 1e6 * by_rank[i] for i in range(10, 40)}
    found = place_words(101, 100, {100: 1e6 * by_rank[25]}, counts)
    assert found[100] == pytest.approx(by_rank[25], rel=1e-6)


def test_a_word_model_takes_counts_or_else_the_order() -> None:
    counted = place_words(3, 1, {1: 8.0, 2: 2.0}, {})
    np.testing.assert_allclose(counted, [1 / 13, 9 / 13, 3 / 13])
    np.testing.assert_allclose(place_words(3, 1, {1: None, 2: None}, {}), rank_probabilities(3))


def test_token_counts_of_texts_words_and_files_agree(
    tiny_tokenizer_json: str, tmp_path: Path
) -> None:
    tokenizer = Tokenizer.from_str(tiny_tokenizer_json)
    n_tokens = tokenizer.get_vocab_size()
    texts = ["the cat sat", "the dog", "playing"]
    (tmp_path / "texts.txt").write_text("\n".join(texts), encoding="utf-8")
    (tmp_path / "words.tsv").write_text(
        "the\t2\ncat\t1\nsat\t1\ndog\t1\nplaying\t1\n", encoding="utf-8"
    )
    found = token_counts(texts, tokenizer, n_tokens)
    assert found[tokenizer.token_to_id("the")] == 2
    assert found[tokenizer.token_to_id("##ing")] == 1
    for source in (
        iter(texts),
        tmp_path / "texts.txt",
        str(tmp_path / "words.tsv"),
        {"the": 2, "cat": 1, "sat": 1, "dog": 1, "playing": 1},
    ):
        np.testing.assert_array_equal(token_counts(source, tokenizer, n_tokens), found)


def test_wordfreq_ranks_the_before_zebra(minilm_tokenizer_json: str) -> None:
    pytest.importorskip("wordfreq")
    tokenizer = Tokenizer.from_str(minilm_tokenizer_json)
    counts = token_counts("wordfreq", tokenizer, tokenizer.get_vocab_size())
    the, zebra, comma = (counts[tokenizer.token_to_id(t)] for t in ("the", "zebra", ","))
    assert the > 1000 * zebra > 0
    assert comma > zebra  # punctuation is not in the list and is placed by its rank


def test_counts_without_one_known_token_are_refused(tiny_tokenizer_json: str) -> None:
    tokenizer = Tokenizer.from_str(tiny_tokenizer_json)
    with pytest.raises(ValueError, match="not one token"):
        token_counts([], tokenizer, tokenizer.get_vocab_size())


def test_a_missing_file_of_counts_is_named(tiny_tokenizer_json: str, tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_str(tiny_tokenizer_json)
    with pytest.raises(FormatError, match=r"nothing\.txt: no such file"):
        token_counts(tmp_path / "nothing.txt", tokenizer, 10)

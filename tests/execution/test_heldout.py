from __future__ import annotations

import json
import math
import os
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch", reason="torch is not installed (extra train)")

import torch

from tests.training.toy_runs import word_pairs
from vecsmith._typing import FloatArray
from vecsmith.corpora import open_pairs
from vecsmith.errors import FormatError
from vecsmith.execution.heldout import (
    HeldOut,
    HeldOutTexts,
    batched_info_nce,
    choose_held_out,
    measure,
    ranks_of_own,
    unit_rows,
)

PAIRS = word_pairs(400)


def units(seed: int, n: int, dim: int = 8) -> NDArray[np.float64]:
    return unit_rows(np.random.default_rng(seed).standard_normal((n, dim)))


def test_the_loss_is_the_cross_entropy_of_torch_in_both_directions() -> None:
    queries, documents = units(0, 12), units(1, 12)
    expected = []
    for rows in (slice(0, 4), slice(4, 8), slice(8, 12)):
        logits = torch.from_numpy(queries[rows] @ documents[rows].T) / 0.05
        own = torch.arange(4)
        entropy = torch.nn.functional.cross_entropy
        expected.append(float(entropy(logits, own) + entropy(logits.T, own)) / 2)
    found = batched_info_nce(queries, documents, batch_size=4, temperature=0.05)
    assert found == pytest.approx(np.mean(expected), rel=1e-12)


@pytest.mark.parametrize("n", [2, 16, 100])
def test_the_loss_of_identical_vectors_is_ln_n(n: int) -> None:
    same = unit_rows(np.ones((n, 3)))
    assert batched_info_nce(same, same, batch_size=n, temperature=0.025) == pytest.approx(
        math.log(n), rel=1e-12
    )


def test_the_loss_does_not_change_when_queries_and_documents_change_places() -> None:
    queries, documents = units(0, 12), units(1, 12)
    there = batched_info_nce(queries, documents, batch_size=6, temperature=0.1)
    back = batched_info_nce(documents, queries, batch_size=6, temperature=0.1)
    assert there == pytest.approx(back, rel=1e-12)


def test_rows_that_fill_no_batch_do_not_count() -> None:
    queries, documents = units(0, 11), units(1, 11)
    whole = batched_info_nce(queries[:8], documents[:8], batch_size=4, temperature=0.1)
    assert batched_info_nce(queries, documents, batch_size=4, temperature=0.1) == whole


def test_ranks_are_places_in_the_sorted_cosines_over_several_blocks() -> None:
    queries, documents = units(0, 1500, dim=4), units(1, 1500, dim=4)
    order = np.argsort(-(queries @ documents.T), axis=1)
    expected = np.argmax(order == np.arange(1500)[:, None], axis=1) + 1
    np.testing.assert_array_equal(ranks_of_own(queries, documents), expected)


def test_a_model_that_tells_nothing_apart_finds_every_document_last() -> None:
    same = unit_rows(np.ones((5, 2)))
    np.testing.assert_array_equal(ranks_of_own(same, same), [5] * 5)


class Halves:
    """Queries and documents of pair i are the same unit vector i, but for the first query."""

    def encode_query(self, texts: Sequence[str]) -> FloatArray:
        vectors = np.eye(len(texts), dtype=np.float32)
        vectors[0] = vectors[1]
        return vectors

    def encode_document(self, texts: Sequence[str]) -> FloatArray:
        return 7 * np.eye(len(texts), dtype=np.float32)


def test_recall_and_mrr_are_those_of_a_hand_count() -> None:
    held_out = HeldOut(queries=tuple("abcd"), documents=tuple("efgh"))
    found = measure(Halves(), held_out, batch_size=4, temperature=1.0)
    assert found.recall_at_1 == 0.75
    # the first query has cosine 0 with its own document, as with two others: the last of four
    assert found.mrr == pytest.approx((1 / 4 + 3) / 4)


def test_vectors_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        unit_rows(np.array([[1.0, np.nan]]))


def test_what_is_held_out_does_not_depend_on_the_order_or_the_repetition_of_rows() -> None:
    shuffled = [*PAIRS, *PAIRS[:50]]
    random.Random(3).shuffle(shuffled)
    first = choose_held_out(open_pairs(PAIRS), 40)
    assert choose_held_out(open_pairs(shuffled), 40) == first
    assert len(first) == 40
    assert choose_held_out(open_pairs(PAIRS), 20) == first.first(20)


def test_the_hash_of_all_pairs_is_that_of_their_texts_and_of_nothing_else(tmp_path: Path) -> None:
    def content(name: str, pairs: Sequence[tuple[str, str]]) -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        rows = (json.dumps({"anchor": anchor, "positive": positive}) for anchor, positive in pairs)
        path.write_text("\n".join(rows), encoding="utf-8")
        os.utime(path, (len(name), len(name)))
        return choose_held_out(open_pairs(path), 20).content

    found = content("pairs.jsonl", PAIRS)
    assert content("elsewhere/copy.jsonl", PAIRS) == found
    assert choose_held_out(open_pairs(PAIRS), 10).content == found
    (anchor, positive), *others = PAIRS
    changes = [
        [*others, (anchor, positive)],
        [(positive, anchor), *others],
        [(anchor, positive + "."), *others],
        [(anchor + positive[0], positive[1:]), *others],
        others,
    ]
    different = {content(f"{i}.jsonl", pairs) for i, pairs in enumerate(changes)}
    assert len(different - {found}) == len(changes)


def test_no_text_is_held_out_twice() -> None:
    hubs = [(f"hub {i % 8}", f"leaf {i} of all") for i in range(200)]
    held_out = choose_held_out(open_pairs([*hubs, *PAIRS]), 40)
    texts = [*held_out.queries, *held_out.documents]
    assert len(set(texts)) == len(texts)


def test_a_held_out_text_is_known_but_for_case_and_spaces() -> None:
    held_out = HeldOut(queries=("How do I  sort?",), documents=("Use sorted.",))
    texts = ["how do I sort?", "USE SORTED. ", "Use sorted", ""]
    assert HeldOutTexts(held_out).matches(texts).tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize(("pairs", "n_pairs", "words"), [
    (PAIRS[:30], 16, "at most half"),
    ([("same", f"text {i}") for i in range(100)], 4, "share no text"),
    ([("a", "a")] * 100, 2, "share no text"),
])  # fmt: skip
def test_pairs_too_few_or_too_alike_are_refused(
    pairs: list[tuple[str, str]], n_pairs: int, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        choose_held_out(open_pairs(pairs), n_pairs)


def test_texts_without_a_second_column_are_refused() -> None:
    with pytest.raises((ValueError, FormatError), match="expected"):
        choose_held_out(open_pairs([{"text": "one"}] * 20), 4)


def test_held_out_pairs_read_back_from_a_file_are_the_same(tmp_path: Path) -> None:
    held_out = choose_held_out(open_pairs([*PAIRS, ("naïve ☃", "caf\u00e9 \U0001f600")]), 30)
    held_out.save(tmp_path / "pairs.json")
    found = HeldOut.open(tmp_path / "pairs.json")
    assert found == held_out
    assert found.content == held_out.content != ""


def test_a_broken_file_of_held_out_pairs_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pairs.json"
    HeldOut(queries=("a", "b"), documents=("c", "d")).save(path)
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "queries": ["a"]}))
    with pytest.raises(FormatError, match="1 queries and 2 documents"):
        HeldOut.open(path)
    path.write_text(json.dumps({**values, "queries": 3}))
    with pytest.raises(FormatError, match="queries"):
        HeldOut.open(path)

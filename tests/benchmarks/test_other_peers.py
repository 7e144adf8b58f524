"""Peers with models of their own: what they are checked against, and who is passed over."""

from __future__ import annotations

import importlib
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tokenizers")

from benchmarks._encode_models import DIM, write_folder
from benchmarks._encode_texts import Kind
from benchmarks._other_models import (
    Side,
    ids_of,
    mean_of_directions,
    means_of_rows,
    one_line,
    vecsmith_side,
)
from benchmarks.other_peers import TOLERANCE, agreement, installed_sides
from tests.parity.families import family_json

WORDS = "the cat sat on a mat with the dog and played hello world".split()


@pytest.fixture(scope="module")
def texts() -> list[str]:
    draw = random.Random(0)
    return [" ".join(draw.choices(WORDS, k=draw.randint(1, 30))) for _ in range(60)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> Path:
    made = tmp_path_factory.mktemp("llama")
    settings: dict[str, Any] = json.loads(family_json("Llama 2", texts, vocab_size=300))
    added = [token["id"] for token in settings["added_tokens"]]
    n_rows = 1 + max(*added, *settings["model"]["vocab"].values())
    table = np.random.default_rng(0).standard_normal((n_rows, DIM), dtype=np.float32)
    write_folder(made, settings, table)
    return made


def test_the_mean_of_rows_leaves_the_unknown_token_out() -> None:
    table = np.array([[9.0, 9.0], [1.0, 2.0], [3.0, 6.0]])
    means = means_of_rows(table, [[1, 2], [0, 2], [0], []], unknown=0)
    assert means.tolist() == [[2.0, 4.0], [3.0, 6.0], [0.0, 0.0], [0.0, 0.0]]


def test_a_text_of_several_lines_becomes_one_line() -> None:
    assert one_line(" a\nb\t\u00a0c\r\n") == "a b c"


def test_vecsmith_agrees_with_the_means_that_numpy_makes_of_ids_of_tokenizers(
    folder: Path, texts: list[str]
) -> None:
    side = vecsmith_side(folder, "a model")
    expected = side.definition(texts)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(side.encode()(texts), expected, atol=1e-6)


def test_vectors_of_another_table_are_found_to_be_wrong(folder: Path, texts: list[str]) -> None:
    right = vecsmith_side(folder, "a model", same_table="a peer")
    wrong = Side(
        library="a peer",
        model="a model",
        encode=lambda: lambda given: -np.asarray(right.encode()(given)),
        definition=right.definition,
        is_peer=True,
        same_table="vecsmith",
    )
    kind = Kind(name="words", source="drawn", warm=[], timed=texts)
    found = agreement(kind, [right, wrong])
    assert found[right.name]["definition"] < TOLERANCE
    assert found[right.name]["a peer"] == pytest.approx(2)
    assert found[wrong.name]["definition"] == pytest.approx(2)


def test_a_peer_that_is_not_installed_is_passed_over_and_named(folder: Path) -> None:
    def absent() -> list[Side]:
        importlib.import_module("a_peer_that_nobody_has_installed")
        return []

    ours = vecsmith_side(folder, "a model")
    sides, missing = installed_sides({"absent": absent, "present": lambda: [ours]})
    assert sides == [ours]
    assert list(missing) == ["absent"]
    assert "a_peer_that_nobody_has_installed" in missing["absent"]


def test_wordllama_and_vecsmith_have_the_same_ids_and_vectors_of_the_same_table(
    tmp_path: Path, texts: list[str]
) -> None:
    pytest.importorskip("wordllama")
    from benchmarks._other_models import wordllama_sides

    theirs, ours = wordllama_sides(tmp_path)
    found = agreement(Kind(name="words", source="drawn", warm=[], timed=texts), [theirs, ours])
    assert max(each["worst"] for each in found.values()) < TOLERANCE
    assert {"vecsmith", "definition"} <= set(found[theirs.name])
    from vecsmith import StaticModel

    model = StaticModel.from_pretrained(tmp_path / "wordllama-256")
    expected = ids_of(tmp_path / "wordllama-256" / "tokenizer.json", texts)
    assert model.tokenize(texts) == expected


def test_a_sentence_of_fasttext_is_the_mean_of_its_words_of_unit_length(texts: list[str]) -> None:
    pytest.importorskip("fasttext")
    from benchmarks._other_models import fasttext_side

    side = fasttext_side(texts * 20)
    found = np.asarray(side.encode()([*texts, "never met"]))
    assert np.abs(found).max() > 0
    np.testing.assert_allclose(found, side.definition([*texts, "never met"]), atol=1e-6)


def test_words_without_a_vector_do_not_count_in_a_sentence() -> None:
    assert mean_of_directions(np.array([[3.0, 4.0], [0.0, 0.0], [0.0, 2.0]])).tolist() == [0.3, 0.9]
    assert mean_of_directions(np.zeros((2, 3))).tolist() == [0.0, 0.0, 0.0]

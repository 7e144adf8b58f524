from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from tests.formats.builders import vectors_by_hand
from vecsmith import StaticModel
from vecsmith.errors import FormatError
from vecsmith.formats import open_checkpoint, read_tokenizer, write_checkpoint
from vecsmith.formats.tokenizer_json import WordPieceModel
from vecsmith.formats.word2vec import read_word2vec

ROWS: dict[str, list[float]] = {
    "the": [1, 0, 2],
    "cat": [0, 1, -1.5],
    "sat": [2, 2, 0.25],
    "naive": [1e-3, -4, 3],
}


def lines_of(rows: dict[str, list[float]], header: bool = False) -> str:
    head = f"{len(rows)} 3\n" if header else ""
    return head + "".join(
        f"{word} {' '.join(map(str, numbers))}\n" for word, numbers in rows.items()
    )


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("name", ["glove.txt", "model.vec", "glove.txt.gz"])
def test_vectors_are_means_of_the_words_of_the_file(
    tmp_path: Path, header: bool, name: str
) -> None:
    path = tmp_path / name
    data = lines_of(ROWS, header).encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    checkpoint = open_checkpoint(path)
    assert (checkpoint.layout, checkpoint.unknown) == ("word2vec", "drop")
    assert checkpoint.max_length is None
    texts = ["The cat sat!", "naïve unicorn", "unicorn", "", "cats", "the " * 600 + "cat"]
    means = [
        np.mean([ROWS["the"], ROWS["cat"], ROWS["sat"]], axis=0),
        np.array(ROWS["naive"]),
        np.zeros(3),
        np.zeros(3),
        np.zeros(3),  # a piece of a word is not a word
        (600 * np.array(ROWS["the"]) + ROWS["cat"]) / 601,
    ]
    expected = np.array([mean / (np.linalg.norm(mean) or 1) for mean in means])
    model = StaticModel(checkpoint)
    assert model.tokenizer.is_native
    np.testing.assert_allclose(model.encode(texts), expected, atol=1e-6)
    np.testing.assert_allclose(vectors_by_hand(checkpoint, texts), expected, atol=1e-6)


def test_a_word_table_can_be_saved_as_a_model(tmp_path: Path) -> None:
    (tmp_path / "glove.txt").write_text(lines_of(ROWS))
    model = StaticModel.from_pretrained(tmp_path / "glove.txt")
    write_checkpoint(tmp_path / "m", model.checkpoint)
    again = StaticModel.from_pretrained(tmp_path / "m")
    texts = ["The cat sat!", "naïve unicorn", ""]
    np.testing.assert_array_equal(again.encode(texts), model.encode(texts))


def test_a_word_that_comes_again_is_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "glove.txt"
    path.write_text(lines_of(ROWS) + "cat 9 9 9\nthe 8 8 8\n\n")
    checkpoint = open_checkpoint(path)
    assert checkpoint.table[:4].tolist() == np.array([*ROWS.values()], dtype=np.float32).tolist()
    facts = checkpoint.config["vecsmith"]["word_table"]
    assert (facts["n_words"], facts["n_duplicates"]) == (4, 2)


def test_words_may_hold_anything_but_the_end_of_a_line(tmp_path: Path) -> None:
    words = [
        ". . .",
        "\u00a0",
        "\u2028",
        "\x85x",
        "##s",
        "###",
        "猫",
        "naïve",
        "a" * 300,
        "\ufeffx",
    ]
    path = tmp_path / "odd.vec"
    path.write_text("".join(f"{word} 1 2\n" for word in ["first", *words]), encoding="utf-8")
    native = read_tokenizer(open_checkpoint(path).tokenizer_json).native
    assert native is not None
    settings = native.model
    assert isinstance(settings, WordPieceModel)
    assert settings.tokens == ["first", *words, "[UNK]"]
    assert not any(w.startswith(settings.continuing_subword_prefix) for w in settings.tokens)
    assert settings.max_input_chars_per_word == 300


@pytest.mark.parametrize(
    ("words", "lowercase", "strip_accents", "chinese"),
    [
        ("cat dog", True, True, True),
        ("Cat dog", False, True, True),
        ("cat café", True, False, True),
        ("猫 狗", True, True, True),
        ("猫 小狗", True, True, False),
    ],
)
def test_case_accents_and_chinese_words_are_as_the_vocabulary_has_them(
    tmp_path: Path, words: str, lowercase: bool, strip_accents: bool, chinese: bool
) -> None:
    path = tmp_path / "table.txt"
    path.write_text("".join(f"{word} 1 2\n" for word in words.split()), encoding="utf-8")
    checkpoint = open_checkpoint(path)
    native = read_tokenizer(checkpoint.tokenizer_json).native
    assert native is not None
    options = native.normalizer[0].options
    assert options["lowercase"] == lowercase
    assert options["strip_accents"] == strip_accents
    assert options["handle_chinese_chars"] == chinese
    model = StaticModel(checkpoint)
    for i, word in enumerate(words.split()):
        assert model.tokenize(word) == [i]


def test_reading_can_stop_early(tmp_path: Path) -> None:
    path = tmp_path / "table.txt"
    path.write_text("".join(f"w{i} {i} 1\n" for i in range(5000)))
    checkpoint = read_word2vec(path, max_words=1500)
    assert checkpoint.table.shape == (1501, 2)
    assert checkpoint.table[1499, 0] == 1499


def test_memory_holds_the_table_once(tmp_path: Path) -> None:
    path = tmp_path / "table.txt"
    row = " ".join(["0.5"] * 300)
    path.write_text("".join(f"w{i} {row}\n" for i in range(8_000)))
    tracemalloc.start()
    try:
        checkpoint = read_word2vec(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # it grows by half at a time: two and a half tables where it has to be moved
    assert peak < 2.5 * checkpoint.table.nbytes + 6 * 2**20


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty, expected a word and its numbers"),
        (b"\n \n", "empty"),
        (b"3 2\na 1 2\n", "1 words, expected 3 as line 1 says; the file may be cut short"),
        (b"1 2\na 1 2\nb 1 2\n", "2 words, expected 1"),
        (b"word\n", "line 1: 0 numbers"),
        (b"5 0\n", "line 1: 0 numbers"),
        (b"5 99999999\n", "line 1: 99999999 numbers, expected 1 to 65536"),
        (b"a 1 2\nb 1\n", "line 2: 2 fields, expected a word and 2 numbers"),
        (b"a 1 2\n1 2\n", "line 2: 2 fields"),
        (b"a 1 x\n", "line 1: b'1 x', expected 2 finite numbers"),
        (b"a 1 2\nb 1 nan\n", "line 2: b'1 nan'"),
        (b"a 1 1e999\n", "line 1: b'1 1e999'"),
        (b"a 1 2\n\xff 1 2\n", "line 2: byte 0 of the word is not UTF-8"),
        (b"2 300\nabc" + bytes(range(256)) * 9, "line 2"),
        (b"a 1 2\n" + b"x" * 5_000_000, "line 2 is longer than"),
        (gzip.compress(b"a 1 2\n" * 999, mtime=0)[:-9], "gzip"),
        (b"\x1f\x8b" + b"x" * 50, "gzip"),
    ],
)
def test_a_broken_table_is_refused_with_its_line(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "table.txt"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=message) as caught:
        open_checkpoint(path)
    assert str(path) in str(caught.value)

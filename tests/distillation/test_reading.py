"""States of a teacher's tokens for a student's, against transformers run by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer

from tests.transformer.teachers import TEXTS, save_teacher
from tests.transformer.test_teacher import as_sentence_transformer
from vecsmith.distillation.reading import TextReader
from vecsmith.distillation.vocabulary import StudentVocabulary, VocabularyMode, build_vocabulary
from vecsmith.errors import FormatError
from vecsmith.transformer.source import find_teacher, read_settings
from vecsmith.transformer.text_encoder import TextEncoder

SAMPLE = [*TEXTS[:7], "", "café 猫 猫", "zebras? zebras!"]


def student_of(
    folder: Path, words: list[str] | None = None, mode: VocabularyMode = "subword"
) -> StudentVocabulary:
    said = read_settings(find_teacher(folder))
    return build_vocabulary(
        said.tokenizer_json,
        [(word, None) for word in words or []],
        mode=mode,
        token_remove_pattern=r"\[unused\d+\]",
        special=said.special,
    )


def sums_by_id(reader: TextReader, texts: list[str]) -> tuple[dict[int, Any], Any]:
    """Sum of states by student id, and the vectors of the texts."""
    sums: dict[int, Any] = {}
    vectors = np.zeros((len(texts), reader.dim))
    for part in reader.read(texts):
        vectors[part.places] = part.vectors.numpy()
        for i, state in zip(part.ids, part.states.numpy(), strict=True):
            sums[int(i)] = sums.get(int(i), 0) + state
        assert part.lengths.sum() == len(part.ids)
    return sums, vectors


def by_hand(folder: Path, texts: list[str], prompt: str = "") -> tuple[dict[str, Any], Any]:
    """Sum of states by token over the length of the text's vector, and the unit vectors."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = transformers.AutoModel.from_pretrained(folder).eval()
    sums: dict[str, Any] = {}
    vectors = []
    for text in texts:
        encoding = tokenizer.encode(prompt + text)
        ids = encoding.ids or [0]
        with torch.no_grad():
            states = model(torch.tensor([ids])).last_hidden_state[0].numpy()
        vector = states.mean(axis=0)
        size = np.linalg.norm(vector)
        vectors.append(vector / size)
        for token, state, special, (_, end) in zip(
            encoding.tokens,
            states,
            encoding.special_tokens_mask,
            encoding.offsets,
            strict=encoding.ids == ids,
        ):
            if not special and end > len(prompt):
                sums[token] = sums.get(token, 0) + state / size
    return sums, np.array(vectors)


def assert_same_sums(
    found: dict[int, Any], student: StudentVocabulary, expected: dict[str, Any]
) -> None:
    named = {student.tokens[i]: state for i, state in found.items()}
    known = {token: state for token, state in expected.items() if token in set(student.tokens)}
    known.pop("[UNK]", None)
    assert named.keys() == known.keys()
    for token, state in known.items():
        np.testing.assert_allclose(named[token], state, atol=2e-5)


@pytest.mark.parametrize("family", ["bert", "mpnet", "xlm-roberta", "modernbert", "qwen", "llama"])
def test_states_and_vectors_are_those_of_the_transformer(tmp_path: Path, family: str) -> None:
    folder = save_teacher(tmp_path / family, family)
    student = student_of(folder)
    reader = TextReader(TextEncoder(find_teacher(folder)), student)
    # byte-level students put a space before a text, so that the first word is cut as others are
    texts = [f" {text}" if family in ("modernbert", "qwen", "llama") else text for text in SAMPLE]
    expected, vectors = by_hand(folder, texts)
    found, found_vectors = sums_by_id(reader, texts)
    np.testing.assert_allclose(found_vectors, vectors, atol=2e-5)
    assert_same_sums(found, student, expected)


def test_a_word_piece_student_needs_no_second_cutting(tmp_path: Path) -> None:
    folder = save_teacher(tmp_path / "bert", "bert")
    encoder = TextEncoder(find_teacher(folder))
    assert not TextReader(encoder, student_of(folder)).is_aligned
    assert TextReader(encoder, student_of(folder, ["zebras"], "both")).is_aligned
    assert TextReader(encoder, student_of(folder, ["zebras"], "word")).is_aligned


@pytest.mark.parametrize("family", ["bert", "xlm-roberta", "llama"])
def test_a_prompt_is_read_and_not_counted(tmp_path: Path, family: str) -> None:
    folder = save_teacher(tmp_path / family, family)
    student = student_of(folder)
    prompt = "take: "
    reader = TextReader(TextEncoder(find_teacher(folder)), student, prompt=prompt)
    texts = ["the quick fox", "a dog", "it is it"]
    expected, vectors = by_hand(folder, texts, prompt)
    found, found_vectors = sums_by_id(reader, texts)
    np.testing.assert_allclose(found_vectors, vectors, atol=2e-5)
    if family == "bert":  # others cut a text after a prompt otherwise than one at the beginning
        assert_same_sums(found, student, expected)
    n_tokens = sum(len(part.ids) for part in reader.read(texts))
    cutter = Tokenizer.from_str(student.tokenizer_json)
    own = [i for text in texts for i in cutter.encode(text, add_special_tokens=False).ids]
    assert n_tokens == len([i for i in own if i != student.unk_id])


def test_a_word_has_the_mean_of_the_states_of_its_pieces(tmp_path: Path) -> None:
    folder = save_teacher(tmp_path / "bert", "bert")
    encoder = TextEncoder(find_teacher(folder))
    student = student_of(folder, ["zebras", "New York"], "both")
    text = "zebras go to New York"
    found, _ = sums_by_id(TextReader(encoder, student), [text])
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    encoding = tokenizer.encode(text)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        states = model(torch.tensor([encoding.ids])).last_hidden_state[0].numpy()
    states /= np.linalg.norm(states.mean(axis=0))
    under = [
        [i for i, (a, b) in enumerate(encoding.offsets) if a < end and b > start]
        for start, end in ((0, 6), (7, 9), (10, 12), (13, 21))
    ]
    ids = Tokenizer.from_str(student.tokenizer_json).encode(text, add_special_tokens=False).ids
    assert len(ids) == 4
    for i, places in zip(ids, under, strict=True):
        np.testing.assert_allclose(found[i], states[places].mean(axis=0), atol=2e-5)


def test_words_alone_leave_the_rest_of_a_text_out(tmp_path: Path) -> None:
    folder = save_teacher(tmp_path / "bert", "bert")
    student = student_of(folder, ["fox", "dog"], "word")
    reader = TextReader(TextEncoder(find_teacher(folder)), student)
    (part,) = reader.read(["the fox and the dog", "nothing here"])
    named = [student.tokens[i] for i in part.ids]
    assert sorted(named) == ["dog", "fox"]
    assert sorted(part.lengths) == [0, 2]


@pytest.mark.parametrize("words", [None, ["quick", "brown"]])
def test_only_what_the_teacher_read_is_counted(tmp_path: Path, words: list[str] | None) -> None:
    folder = save_teacher(tmp_path / "bert", "bert")
    student = student_of(folder, words, "both" if words else "subword")
    reader = TextReader(TextEncoder(find_teacher(folder), max_length=6), student)
    (part,) = reader.read(["the dog is quick to go brown fox" + " the" * 3000])
    tokens = [student.tokens[i] for i in part.ids]
    assert tokens == ["the", "dog", "is", "quick"]


def test_several_pooling_modes_and_a_dense_layer_shape_states_as_they_shape_vectors(
    tmp_path: Path,
) -> None:
    folder = save_teacher(tmp_path / "bert", "bert")
    activation: dict[str, object] = {"activation_function": "torch.nn.modules.linear.Identity"}
    as_sentence_transformer(
        folder, ("Pooling", {"pooling_mode": ["cls", "mean"]}), ("Dense", activation)
    )
    torch.manual_seed(1)
    weight, bias = torch.randn(5, 32), torch.randn(5)
    save_file(
        {"linear.weight": weight, "linear.bias": bias}, folder / "2_Dense" / "model.safetensors"
    )
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        states = model(torch.tensor([tokenizer.encode("the dog").ids])).last_hidden_state[0]
        vector = weight @ torch.cat([states[0], states.mean(dim=0)]) + bias
        shaped = torch.cat([states, states], dim=1) @ weight.T + bias
    (part,) = TextReader(TextEncoder(find_teacher(folder)), student_of(folder)).read(["the dog"])
    np.testing.assert_allclose(part.vectors[0], vector / vector.norm(), atol=1e-5)
    np.testing.assert_allclose(part.states, (shaped / vector.norm())[1:3], atol=1e-5)


def test_a_text_whose_vector_is_not_finite_has_no_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_teacher(tmp_path / "bert", "bert")
    encoder = TextEncoder(find_teacher(folder))
    teacher = encoder._teacher
    plain = teacher.read_padded

    def broken(*arguments: Any, **options: Any) -> Any:
        for reading in plain(*arguments, **options):
            vectors = reading.vectors.clone()
            vectors[list(reading.places).index(0)] = torch.nan
            yield replace(reading, vectors=vectors)

    monkeypatch.setattr(teacher, "read_padded", broken)
    (part,) = TextReader(encoder, student_of(folder)).read(["the dog", "the fox", "a dog"])
    order = list(part.places)
    assert part.lengths[order.index(0)] == 0
    assert not part.vectors[order.index(0)].any()
    assert part.lengths.sum() == 4
    assert torch.isfinite(part.vectors).all()


def test_what_a_pass_depends_on_is_in_the_fingerprint(tmp_path: Path) -> None:
    folder = save_teacher(tmp_path / "bert", "bert")
    encoder = TextEncoder(find_teacher(folder))
    plain, words = student_of(folder), student_of(folder, ["zebras"], "both")
    found = {
        TextReader(encoder, plain).fingerprint,
        TextReader(encoder, plain, prompt="query: ").fingerprint,
        TextReader(encoder, words).fingerprint,
        TextReader(TextEncoder(find_teacher(folder), max_length=9), plain).fingerprint,
        TextReader(TextEncoder(find_teacher(folder), pooling="cls"), plain).fingerprint,
    }
    assert len(found) == 5
    assert TextReader(encoder, plain).fingerprint in found


def test_a_tokenizer_with_more_ids_than_the_model_has_rows_is_named(tmp_path: Path) -> None:
    folder = save_teacher(tmp_path / "bert", "bert")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_tokens(["zyzzyva"])
    tokenizer.save(str(folder / "tokenizer.json"))
    encoder = TextEncoder(find_teacher(folder))
    assert encoder.encode("the dog").shape == (16,)
    with pytest.raises(FormatError, match="tokenizer and weights are of different models"):
        list(TextReader(encoder, student_of(folder)).read(["the dog", "a zyzzyva"]))

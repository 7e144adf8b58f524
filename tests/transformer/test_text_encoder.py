"""A transformer's vectors of texts, against sentence-transformers and in every company."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.transformer.teachers import save_teacher
from tests.transformer.test_teacher import as_sentence_transformer
from vecsmith.errors import FormatError
from vecsmith.transformer import text_encoder
from vecsmith.transformer.text_encoder import TextEncoder

WORDS = "the quick brown fox jumps over a lazy dog it is dangerous to go alone take this".split()
TEXTS = [" ".join(WORDS[: n % 17]) for n in range(40)]  # among them the empty text, three times


@pytest.fixture(scope="module")
def minilm(teacher_folder: Path) -> TextEncoder:
    return TextEncoder.from_pretrained(teacher_folder)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_teacher(tmp_path_factory.mktemp("teacher") / "bert", "bert")


@pytest.fixture
def folder(bert: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bert, tmp_path / "bert"))


def peer_of(folder: Path) -> Any:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    return sentence_transformers.SentenceTransformer(str(folder), device="cpu")


def real_texts() -> list[str]:
    english = [f"Sentence {n} says: " + "wings in a slipstream, lift and drag; " * n for n in
               (0, 1, 2, 5, 13, 40)]  # fmt: skip
    return [
        *english,
        "",
        " ",
        "오늘은 날씨가 참 좋네요. 산책하러 갑시다!",
        "東京の天気は晴れです。",
        "naïve café, fiancée: déjà vu? ½ ﬁ",
        "🤖" * 50,
        "x" * 3000,
        "word " * 5000,
        "\u0000 control \u200b and zero width",
    ]


def test_vectors_are_those_of_sentence_transformers(
    minilm: TextEncoder, teacher_folder: Path, shared_data: Path
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    texts = []
    for name, column in (("scifact/corpus", "text"), ("stsb/data", "sentence1"),
                         ("korsts/data", "sentence1")):  # fmt: skip
        table = parquet.read_table(shared_data / f"{name}.parquet", columns=[column])
        texts += table[column].to_pylist()[:8]
    found = minilm.encode(texts)
    np.testing.assert_allclose(found, peer_of(teacher_folder).encode(texts), atol=1e-5)
    assert found.dtype == np.float32
    assert (minilm.dim, minilm.max_length, minilm.name) == (384, 256, "model")


def test_unusual_texts_have_the_vectors_of_sentence_transformers(
    minilm: TextEncoder, teacher_folder: Path
) -> None:
    texts = real_texts()
    expected = peer_of(teacher_folder).encode(texts)
    np.testing.assert_allclose(minilm.encode(texts), expected, atol=1e-5)


# transformers gives the tiny tokenizers of other families other tokens than their own file does
@pytest.mark.parametrize("family", ["bert", "xlm-roberta", "modernbert", "qwen", "llama"])
def test_every_family_has_the_vectors_of_sentence_transformers(family: str, tmp_path: Path) -> None:
    folder = save_teacher(tmp_path, family)
    as_sentence_transformer(folder, ("Pooling", {"word_embedding_dimension": 16,
                                                 "pooling_mode_mean_tokens": True}))  # fmt: skip
    texts = [text for text in TEXTS if text]  # a tokenizer without specials has nothing for ""
    encoder = TextEncoder.from_pretrained(folder)
    np.testing.assert_allclose(encoder.encode(texts), peer_of(folder).encode(texts), atol=1e-5)


@pytest.mark.parametrize(
    "mode",
    ["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken", ["cls", "mean"]],
)
@pytest.mark.parametrize("include_prompt", [True, False])
def test_pooling_and_prompts_are_those_of_sentence_transformers(
    mode: str | list[str], include_prompt: bool, folder: Path
) -> None:
    config: dict[str, object] = {
        "embedding_dimension": 16,
        "pooling_mode": mode,
        "include_prompt": include_prompt,
    }
    as_sentence_transformer(folder, ("Pooling", config))
    settings = {
        "prompts": {"query": "it is: ", "document": "the dog "},
        "default_prompt_name": None,
    }
    (folder / "config_sentence_transformers.json").write_text(json.dumps(settings))
    encoder, peer = TextEncoder.from_pretrained(folder), peer_of(folder)
    for method in ("encode", "encode_query", "encode_document"):
        found, expected = (getattr(each, method)(TEXTS) for each in (encoder, peer))
        np.testing.assert_allclose(found, expected, atol=1e-5)
    named = encoder.encode(TEXTS, prompt_name="query")
    np.testing.assert_array_equal(named, encoder.encode_query(TEXTS))
    assert np.abs(named - encoder.encode(TEXTS)).max() > 1e-3


def test_modules_lower_case_and_a_default_prompt_are_applied(folder: Path) -> None:
    dense = {"in_features": 16, "out_features": 5, "bias": True,
             "activation_function": "torch.nn.modules.activation.Tanh"}  # fmt: skip
    pooling = {"embedding_dimension": 16, "pooling_mode": "mean"}
    as_sentence_transformer(folder, ("Pooling", pooling), ("Dense", dense), ("Normalize", {}))
    torch.manual_seed(1)
    weights = {"linear.weight": torch.randn(5, 16), "linear.bias": torch.randn(5)}
    save_file(weights, folder / "2_Dense" / "model.safetensors")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["normalizer"]["lowercase"] = False
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    limits = {"max_seq_length": 9, "do_lower_case": True}
    (folder / "sentence_bert_config.json").write_text(json.dumps(limits))
    settings = {"prompts": {"any": "the fox "}, "default_prompt_name": "any"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(settings))
    encoder, peer = TextEncoder.from_pretrained(folder), peer_of(folder)
    texts = [text.upper() for text in TEXTS]
    for method in ("encode", "encode_query", "encode_document"):
        found = getattr(encoder, method)(texts)
        np.testing.assert_allclose(found, getattr(peer, method)(texts), atol=1e-5)
    assert (encoder.dim, encoder.max_length) == (5, 9)
    np.testing.assert_allclose(np.linalg.norm(encoder.encode(texts), axis=1), 1, atol=1e-6)


def test_a_vector_does_not_depend_on_the_texts_beside_it(minilm: TextEncoder) -> None:
    texts = [text for text in real_texts() if len(text) < 1000]
    together = minilm.encode(texts)
    alone = np.stack([minilm.encode(text) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    order = np.random.default_rng(0).permutation(len(texts))
    mixed = minilm.encode([texts[i] for i in order])
    np.testing.assert_allclose(mixed, together[order], atol=1e-6)


def test_equal_texts_are_encoded_once(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = TextEncoder.from_pretrained(bert)
    seen: list[int] = []
    embed = encoder._teacher.embed_padded

    def counted(sequences: list[list[int]], **options: Any) -> Any:
        seen.append(len(sequences))
        return embed(sequences, **options)

    monkeypatch.setattr(encoder._teacher, "embed_padded", counted)
    done: list[int] = []
    vectors = encoder.encode(TEXTS * 3, advance=done.append)
    assert sum(seen) == len(set(TEXTS))
    assert sum(done) == len(TEXTS) * 3
    np.testing.assert_array_equal(vectors[: len(TEXTS)], vectors[len(TEXTS) * 2 :])


def test_a_lone_surrogate_counts_as_the_replacement_character(minilm: TextEncoder) -> None:
    pair = minilm.encode(["half \ud83d of an emoji", "half \ufffd of an emoji"])
    np.testing.assert_array_equal(pair[0], pair[1])


def test_a_very_long_text_is_cut_as_sentence_transformers_cuts_it(
    minilm: TextEncoder, teacher_folder: Path
) -> None:
    texts = [
        "far " + " " * 40_000 + "apart",  # the second word lies beyond a first cut
        "a tale of two cities " * 20_000,
        "\u200d" * 30_000 + "the end",
    ]
    tracemalloc.start()
    found = minilm.encode(texts)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_allclose(found, peer_of(teacher_folder).encode(texts), atol=1e-5)
    assert peak < 30e6


def test_no_texts_one_text_and_an_iterator_are_taken(bert: Path) -> None:
    encoder = TextEncoder.from_pretrained(bert)
    assert encoder.encode([]).shape == (0, 16)
    assert encoder.encode("the fox").shape == (16,)
    many = encoder.encode(text for text in TEXTS)
    np.testing.assert_array_equal(many, encoder.encode(np.array(TEXTS)))


def test_bfloat16_is_close_and_is_said(teacher_folder: Path, minilm: TextEncoder) -> None:
    rough = TextEncoder.from_pretrained(teacher_folder, compute_dtype="bfloat16")
    texts = [text for text in real_texts() if len(text) < 1000]
    cosines = (rough.encode(texts) * minilm.encode(texts)).sum(axis=1)
    assert cosines.min() > 0.999
    assert (rough.compute_dtype, minilm.compute_dtype) == ("bfloat16", "float32")
    assert rough.fingerprint != minilm.fingerprint


def test_the_fingerprint_follows_everything_a_vector_depends_on(folder: Path) -> None:
    pooling = {"embedding_dimension": 16, "pooling_mode": "mean"}
    as_sentence_transformer(folder, ("Pooling", pooling))
    plain = TextEncoder.from_pretrained(folder).fingerprint
    assert TextEncoder.from_pretrained(folder).fingerprint == plain
    moved = Path(shutil.copytree(folder, folder.parent / "elsewhere"))
    assert TextEncoder.from_pretrained(moved).fingerprint == plain
    found = {plain, TextEncoder.from_pretrained(folder, max_length=7).fingerprint}
    changes = {
        "1_Pooling/config.json": pooling | {"pooling_mode": "cls"},
        "config_sentence_transformers.json": {"prompts": {"query": "q: "}},
        "sentence_bert_config.json": {"max_seq_length": 11, "do_lower_case": True},
    }
    for path, content in changes.items():
        (folder / path).write_text(json.dumps(content))
        found.add(TextEncoder.from_pretrained(folder).fingerprint)
    tokenizer = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text(tokenizer.replace('"fox"', '"ox"'))
    found.add(TextEncoder.from_pretrained(folder).fingerprint)
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-4] + b"\0\0\0\0")
    found.add(TextEncoder.from_pretrained(folder).fingerprint)
    assert len(found) == 2 + len(changes) + 2


def test_the_fingerprint_follows_code_and_libraries(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = TextEncoder.from_pretrained(folder).fingerprint
    with monkeypatch.context() as patch:
        patch.setattr(text_encoder, "ENCODING_VERSION", 0)
        found = {TextEncoder.from_pretrained(folder).fingerprint}
    for library in ("torch", "transformers", "tokenizers"):
        older = {"torch": "2.0", "transformers": "5.0", "tokenizers": "0.22", library: "0.1"}
        with monkeypatch.context() as patch:
            patch.setattr(text_encoder, "versions", lambda names, said=older: {**said})
            found.add(TextEncoder.from_pretrained(folder).fingerprint)
    assert len(found | {plain}) == 5
    assert TextEncoder.from_pretrained(folder, device="cpu:0").fingerprint == plain
    (folder / "modeling_own.py").write_text("SCALE = 1\n")
    assert TextEncoder.from_pretrained(folder).fingerprint == plain  # it does not run
    trusted = TextEncoder.from_pretrained(folder, trust_remote_code=True).fingerprint
    (folder / "modeling_own.py").write_text("SCALE = 2\n")
    fixed = TextEncoder.from_pretrained(folder, trust_remote_code=True).fingerprint
    assert len({plain, trusted, fixed}) == 3


def test_code_of_another_repository_has_no_fingerprint(folder: Path) -> None:
    path = folder / "config.json"
    code = {"AutoTokenizer": ["them/code--tokenization.Own", None]}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"auto_map": code}))
    assert TextEncoder.from_pretrained(folder).fingerprint  # it does not run
    assert TextEncoder.from_pretrained(folder, trust_remote_code=True).fingerprint == ""


def test_files_replaced_after_loading_lend_their_hash_to_nothing(folder: Path) -> None:
    encoder = TextEncoder.from_pretrained(folder)
    before = encoder.encode(TEXTS)
    tensors = load_file(folder / "model.safetensors")
    replaced = {name: tensor.flip(0).clone() for name, tensor in tensors.items()}
    save_file(replaced, folder / "new.safetensors", metadata={"format": "pt"})
    (folder / "new.safetensors").replace(folder / "model.safetensors")
    other = TextEncoder.from_pretrained(folder)
    assert not np.allclose(other.encode(TEXTS), before)
    assert np.array_equal(encoder.encode(TEXTS), before)
    assert encoder.fingerprint != other.fingerprint
    shutil.rmtree(folder)
    assert len(encoder.fingerprint) == 64


def test_the_version_of_encoding_is_raised_when_vectors_change(minilm: TextEncoder) -> None:
    # where this fails, vectors have changed: raise ENCODING_VERSION, then write down the new ones
    vectors = minilm.encode(["The fox sleeps.", "오늘 날씨가 좋다"])
    assert text_encoder.ENCODING_VERSION == 1
    expected = [
        [0.040367, -0.002222, -0.013304, 0.140168],
        [-0.04049, 0.063334, 0.055457, 0.000112],
    ]
    np.testing.assert_allclose(vectors[:, :4], expected, atol=1e-5)


def test_positions_that_begin_after_the_padding_bound_the_length(tmp_path: Path) -> None:
    folder = save_teacher(tmp_path, "xlm-roberta")  # 512 rows, the first two for the padding
    encoder = TextEncoder.from_pretrained(folder)
    assert encoder.max_length == 510
    assert np.isfinite(encoder.encode(["the fox " * 600])).all()
    with pytest.raises(ValueError, match="max_length is 511, expected 3 to 510"):
        TextEncoder.from_pretrained(folder, max_length=511)


def test_mistakes_are_named(bert: Path, tmp_path: Path) -> None:
    encoder = TextEncoder.from_pretrained(bert)
    with pytest.raises(TypeError, match="text 1 is of type int"):
        encoder.encode(["a", 1])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="prompt_name is 'query', expected one of"):
        encoder.encode(["a"], prompt_name="query")
    with pytest.raises(ValueError, match="device 'toaster'"):
        TextEncoder.from_pretrained(bert, device="toaster")
    with pytest.raises(FormatError, match=r"config\.json is missing"):
        TextEncoder.from_pretrained(tmp_path)


@pytest.mark.gpu
def test_a_gpu_gives_the_same_vectors(teacher_folder: Path, minilm: TextEncoder) -> None:
    there = TextEncoder.from_pretrained(teacher_folder, device="cuda")
    texts = real_texts()
    np.testing.assert_allclose(there.encode(texts), minilm.encode(texts), atol=1e-4)

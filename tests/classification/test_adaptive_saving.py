"""A saved classifier is the same classifier; a broken folder is refused and nothing worse."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from math import inf, isnan, nan
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


def test_a_file_of_labels_that_would_fill_the_memory_is_refused(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vecsmith.classification.saving._MAX_LABEL_BYTES", 100)
    changed(copy, classes={"dtype": "U", "values": ["a", "b", "c" * 9]})
    with pytest.raises(FormatError, match="108 bytes of labels, each as long as the longest"):
        AdaptiveClassifier.open(copy)


def test_what_is_not_known_comes_back_as_not_known(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="no accuracy is known"):
        saved = AdaptiveClassifier(dims=[2, 12]).fit(X[:4], ["a", "b", "c", "d"])
    saved.save(tmp_path / "new")
    json.loads((tmp_path / "new" / JSON_NAME).read_text("utf-8"), parse_constant=pytest.fail)
    opened = AdaptiveClassifier.open(tmp_path / "new")
    assert isnan(opened.validation_accuracy_)
    assert all(map(isnan, opened.validation_loss_))
    assert (opened.predict(X) == saved.predict(X)).all()


def test_rows_drawn_by_a_random_state_are_drawn_again_by_the_seed_that_is_kept(
    tmp_path: Path,
) -> None:
    drawing: Any = np.random.RandomState(7)
    saved = AdaptiveClassifier(dims=[2, 12], C=1.0, random_state=drawing).fit(X, Y)
    saved.save(tmp_path / "new")
    opened = AdaptiveClassifier.open(tmp_path / "new")
    assert opened.random_state == opened.seed_ == saved.seed_
    assert opened.fit(X, Y).thresholds_ == saved.thresholds_


def test_arguments_set_to_nonsense_are_not_saved(tmp_path: Path) -> None:
    classifier = AdaptiveClassifier(dims=[2, 12], C=1.0).fit(X, Y)
    with pytest.raises(ValueError, match="max_dim is 1, expected at least 2"):
        classifier.set_params(max_dim=1).save(tmp_path / "new")
    with pytest.raises(ValueError, match="max_dim is 'all', expected a prefix length"):
        classifier.set_params(max_dim="all").save(tmp_path / "new")
    assert not (tmp_path / "new").exists()


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
        ({"settings": {"class_weight": [[0, 10**400]]}}, "class_weight: .*expected pairs"),
        (
            {"settings": {"class_weight": [["가나", -1.0]]}},
            "expected a positive one of class '가나'",
        ),
        ({"settings": {"class_weight": "even"}}, "class_weight is 'even'"),
        ({"settings": {"max_dim": "x"}}, "max_dim: 'x', expected a whole number of at least 2"),
        ({"settings": {"max_dim": [3]}}, "max_dim: \\[3\\], expected a whole number"),
        ({"settings": {"max_dim": 1}}, "max_dim: 1, expected a whole number of at least 2"),
        ({"settings": {"dims": [2.9]}}, "dims are \\[2.9\\]"),
        ({"settings": {"dims": 3}}, "dims are 3"),
        ({"settings": {"heads": ["tied"]}}, "heads is \\['tied'\\], expected one of"),
        ({"settings": {"surely": "no"}}, "surely is 'no', expected True or False"),
        ({"settings": {"C": 10**400}}, "C is 1000.*, expected a positive number"),
        ({"settings": {"tol": nan}}, "tol is nan, expected a positive number"),
        ({"settings": {"max_accuracy_loss": "none"}}, "max_accuracy_loss is 'none', expected"),
        ({"settings": {"validation_fraction": None}}, "validation_fraction is None, expected"),
        ({"settings": {"random_state": -1}}, "random_state is -1, expected a whole number"),
        ({"thresholds": [10**400, 0.5]}, "thresholds: a number 1000.*, expected a number"),
        ({"scale": 10**400}, "scale: a number 1000.*, expected a number"),
        ({"scale": 1e300}, "scale is 1e\\+300, expected a positive number of float32"),
        ({"temperatures": [1.0, 1e-300, 1.0]}, "temperatures are"),
        ({"classes": {"dtype": "U", "values": ["a", "a\0", "b"]}}, "'a.x00', expected labels that"),
        ({"classes": {"dtype": "float16", "values": [1, 1.00001, 2]}}, "1.00001, expected labels"),
        ({"classes": {"dtype": "float32", "values": [0, 1, 1e300]}}, "1e\\+300, expected labels"),
        ({"classes": {"dtype": "float64", "values": [0, 1, 10**400]}}, "expected labels of type"),
        ({"learnt": {"strengths": [1.0, 1.0, 10**400]}}, "strengths: a number 1000"),
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

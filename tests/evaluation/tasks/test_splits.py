"""What is tuned never sees a test row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vecsmith.evaluation.tasks import find_tasks
from vecsmith.evaluation.tasks.task import (
    ClassificationData,
    PairData,
    RetrievalData,
    SimilarityData,
    Task,
)

Write = Callable[[str, Any], Path]
Load = Callable[..., list[Task]]


def sts(*splits: str) -> list[dict[str, Any]]:
    """A pair of each split, its first sentence the split."""
    return [{"sentence1": s, "sentence2": "b", "score": 1, "split": s} for s in splits]


@pytest.mark.parametrize(
    ("splits", "asked", "scored", "note"),
    [
        (("train", "dev", "test"), "test", "test", None),
        (("train", "dev"), "test", "dev", "there are no test rows, so dev rows are scored"),
        (("train",), "test", "train", "there are no test or dev rows, so train rows are scored"),
        (("train", "dev", "test"), "dev", "dev", None),
        (("train", "validation", "test"), "dev", "dev", None),
        (("train", "Valid"), "dev", "dev", None),
        (("val",), "test", "dev", "there are no test rows, so dev rows are scored"),
        (("train", "test"), "dev", "train", "there are no dev rows, so train rows are scored"),
        (("test", "extra"), "test", "test", "1 rows of split 'extra' are not used"),
    ],
)
def test_the_rows_of_a_split_are_scored(
    write: Write, load: Load, splits: tuple[str, ...], asked: str, scored: str, note: str | None
) -> None:
    write("sts/data.jsonl", sts(*splits))
    (task,) = load(asked)
    assert task.split == scored
    assert isinstance(task.data, SimilarityData)
    assert len(task.data.first) == 1
    assert list(task.notes) == ([] if note is None else [note])


@pytest.mark.parametrize("rows", [sts("test"), [{"sentence1": "a", "sentence2": "b", "score": 1}]])
def test_a_set_with_nothing_but_test_rows_is_not_loaded_to_tune_on(
    write: Write, load: Load, tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    write("sts/data.jsonl", rows)
    assert load("dev") == []
    (source,) = find_tasks(tmp_path)
    assert source.why_skipped("test") is None
    reason = source.why_skipped("dev")
    assert reason == "there are no rows for split 'dev': test rows are for the last look only"


def test_a_language_that_is_not_there_is_the_reason_for_no_task(
    write: Write, tmp_path: Path
) -> None:
    write("a/data.jsonl", [{**row, "lang": "ko"} for row in sts("test")])
    write("b/data.jsonl", sts("test"))
    write("c/data.jsonl", sts("test"))
    write("c/task.toml", 'language = "ja"')
    reasons = [source.why_skipped("test", ["de"]) for source in find_tasks(tmp_path)]
    assert reasons == [
        "its languages are ko, not de",
        'its language is not known, expected de; write language = "..." in task.toml',
        "its languages are ja, not de",
    ]


def test_judgements_tell_the_splits_of_a_collection(write: Write, load: Load) -> None:
    write("s/corpus.jsonl", [{"id": "d", "text": "d"}])
    write("s/queries.jsonl", [{"id": s, "text": s} for s in ("train", "test")])
    qrels = [{"query_id": s, "doc_id": "d", "relevance": 1, "split": s} for s in ("train", "test")]
    write("s/qrels.jsonl", qrels)
    (test,), (train,) = load("test"), load("dev")
    assert isinstance(test.data, RetrievalData)
    assert isinstance(train.data, RetrievalData)
    assert (test.data.queries, train.data.queries) == (["test"], ["train"])


def test_a_threshold_is_tuned_on_dev_else_train_never_on_what_is_scored(
    write: Write, load: Load
) -> None:
    def pairs(*splits: str) -> list[dict[str, Any]]:
        return [
            {"sentence1": s, "sentence2": "b", "label": label, "split": s}
            for s in splits
            for label in (0, 1)
        ]

    for splits, asked, tuning in (
        (("train", "dev", "test"), "test", "dev"),
        (("train", "test"), "test", "train"),
        (("train", "dev", "test"), "dev", "train"),
        (("train", "dev"), "test", "train"),
        (("dev", "test"), "dev", None),
        (("test",), "test", None),
    ):
        write("p/data.jsonl", pairs(*splits))
        (task,) = load(asked)
        assert isinstance(task.data, PairData)
        found = None if task.data.tuning is None else task.data.tuning.first[0]
        assert found == tuning


def test_test_pairs_of_stsb_are_not_read_to_choose_by(write: Write, load: Load) -> None:
    there = [
        row | {"stsb_split": elsewhere, "sentence2": elsewhere}
        for row in sts("train", "test")
        for elsewhere in ("test", "Test", "dev", "train", "")
    ]
    write("sts/data.jsonl", there)
    (test,), (dev,) = load("test"), load("dev")
    assert isinstance(test.data, SimilarityData)
    assert isinstance(dev.data, SimilarityData)
    assert test.data.second == ["test", "Test", "dev", "train", ""]
    assert (set(dev.data.first), dev.data.second) == ({"train"}, ["dev", "train", ""])
    assert "2 rows that are test rows of stsb are left out" in dev.notes
    assert not any("stsb" in note for note in test.notes)


def test_a_set_with_nothing_but_test_pairs_of_stsb_is_not_chosen_by(
    write: Write, load: Load, tmp_path: Path
) -> None:
    write("sts/data.jsonl", [row | {"stsb_split": "test"} for row in sts("train", "dev")])
    assert load("dev") == []
    assert "no rows for split 'dev'" in str(find_tasks(tmp_path)[0].why_skipped("dev"))
    assert [task.split for task in load()] == ["dev"]


def test_no_threshold_is_chosen_on_pairs_that_are_all_alike(write: Write, load: Load) -> None:
    rows = [{"sentence1": f"a{i}", "sentence2": "b", "label": i % 2} for i in range(4)]
    write("p/test.jsonl", rows)
    write("p/train.jsonl", [row | {"label": 1} for row in rows])
    (task,) = load()
    assert isinstance(task.data, PairData)
    assert task.data.tuning is None
    assert "train rows are all alike, so no threshold is chosen" in task.notes


def labelled(n_texts: int, **columns: str) -> list[dict[str, Any]]:
    """Distinct texts, a tenth of them "rare", the others "common"."""
    return [
        {"text": f"text {i}", "label": "rare" if i % 10 == 0 else "common"} | columns
        for i in range(n_texts)
    ]


@pytest.mark.parametrize(
    ("rows", "asked", "n_train", "n_test"),
    [
        (labelled(1000), "test", 800, 200),
        (labelled(1000), "dev", 640, 160),
        (labelled(1000, split="train") + labelled(100, split="test"), "dev", 800, 200),
        (labelled(1000, split="train"), "test", 800, 200),
    ],
)
def test_labelled_texts_without_the_split_are_divided_each_label_alike(
    write: Write, load: Load, rows: list[dict[str, Any]], asked: str, n_train: int, n_test: int
) -> None:
    write("mood/data.jsonl", rows)
    (task,) = load(asked)
    assert isinstance(task.data, ClassificationData)
    assert len(task.data.train_texts) == n_train
    assert Counter(task.data.test_labels) == {"rare": n_test // 10, "common": n_test * 9 // 10}
    assert set(task.data.train_texts).isdisjoint(task.data.test_texts)
    assert "a fifth" in task.notes[0]


def test_what_divides_for_dev_is_apart_from_what_is_scored_in_the_end(
    write: Write, load: Load
) -> None:
    write("mood/data.jsonl", labelled(1000))
    (test,), (dev,) = load("test"), load("dev")
    assert isinstance(test.data, ClassificationData)
    assert isinstance(dev.data, ClassificationData)
    seen = {*dev.data.train_texts, *dev.data.test_texts}
    assert seen == set(test.data.train_texts)


def test_equal_texts_stay_on_one_side(write: Write, load: Load) -> None:
    write("mood/data.jsonl", labelled(300) + labelled(300)[::-1])
    (task,) = load()
    assert isinstance(task.data, ClassificationData)
    assert set(task.data.train_texts).isdisjoint(task.data.test_texts)
    assert len(task.data.test_texts) == 120


def test_of_many_labelled_texts_5000_are_scored_each_label_with_its_share(
    write: Write, load: Load
) -> None:
    rows = labelled(20_000, split="test") + labelled(100, split="train")
    write("mood/data.csv", rows)
    (task,) = load()
    assert isinstance(task.data, ClassificationData)
    assert Counter(task.data.test_labels) == {"rare": 500, "common": 4500}
    assert len(set(task.data.test_texts)) == 5000
    assert "5000 of 20000 texts are scored, each label with its share" in task.notes

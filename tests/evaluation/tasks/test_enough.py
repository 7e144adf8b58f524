"""A set of which every model would get the same figure is refused, by file and what it lacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecsmith import evaluate
from vecsmith._typing import FloatArray
from vecsmith.errors import FormatError
from vecsmith.evaluation.tasks import find_tasks

Write = Callable[[str, Any], Path]
Rows = list[dict[str, Any]]


class Lengths:
    """Texts as numbers of their characters."""

    def encode(self, texts: Sequence[str], /) -> FloatArray:
        rows = [[len(text) + 1, sum(map(ord, text)) % 7, 1] for text in texts]
        return np.array(rows, dtype=np.float32).reshape(-1, 3)


# A row of each kind, by its number.
ROWS: dict[str, Callable[[int], dict[str, Any]]] = {
    "sts": lambda i: {"sentence1": f"a{i}", "sentence2": f"b{i * i}", "score": i},
    "pairs": lambda i: {"sentence1": f"a{i}", "sentence2": f"b{i * i}", "label": i % 2},
    "triplets": lambda i: {"anchor": f"a{i}", "positive": f"b{i}", "negative": f"c{i * i}"},
    "en_ko": lambda i: {"anchor": f"a{i}", "positive": f"b{i * i}"},
    "asked": lambda i: {"anchor": f"a{i}", "positive": f"b{i * i}", "split": "test"},
    "topics": lambda i: {"text": f"a{i}", "group": f"g{i % 2}"},
    "mood": lambda i: {"text": f"a{i}", "label": f"g{i % 2}", "split": "test"},
}
# What the rows to fit on are, where there must be some.
FIT: Rows = [{"text": f"b{i}", "label": f"g{i % 2}", "split": "train"} for i in range(4)]


@pytest.mark.parametrize("n_rows", [0, 1, 2, 3, 7])
@pytest.mark.parametrize("name", ROWS)
def test_three_rows_of_any_kind_are_scored_and_fewer_refused(
    write: Write, tmp_path: Path, name: str, n_rows: int
) -> None:
    rows = [ROWS[name](i) for i in range(n_rows)]
    path = write(f"{name}/{name}.csv", [*rows, *(FIT if name == "mood" else ())])
    if n_rows >= 3:
        (task,) = evaluate(Lengths(), tmp_path, measure_speed=False).tasks.values()
        assert 0 <= task.score() <= 1 or name == "sts"
        return
    if not path.read_text().strip():  # a table without rows still has its header
        path.write_text(",".join(ROWS[name](0)) + "\n")
    with pytest.raises(FormatError) as caught:
        evaluate(Lengths(), tmp_path, measure_speed=False)
    assert str(path) in str(caught.value)
    assert "expected" in str(caught.value)


def labelled(labels: str, split: str, text: str = "a{}") -> Rows:
    return [
        {"text": text.format(i), "label": each, "split": split} for i, each in enumerate(labels)
    ]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [{"sentence1": "a", "sentence2": f"b{i}", "score": 2} for i in range(5)],
            r"data\.jsonl: one distinct score, 2\.0, expected two or more; add rows, or leave the",
        ),
        (
            [{"sentence1": "a", "sentence2": "a", "score": i} for i in range(5)],
            r"data\.jsonl: one distinct text, 'a', expected two or more",
        ),
        (
            [{"sentence1": "a", "sentence2": "a", "label": i % 2} for i in range(5)],
            r"data\.jsonl: one distinct text, 'a'",
        ),
        (
            [{"sentence1": "a", "sentence2": f"b{i}", "label": 0} for i in range(5)],
            r"data\.jsonl: 0 positive pairs of 5, expected some of both, by labels that task\.toml",
        ),
        (
            [{"anchor": f"a{i}", "positive": "p", "negative": "p"} for i in range(5)],
            r"data\.jsonl: one distinct text, 'p'",
        ),
        (
            [{"anchor": f"a{i}", "positive": "p", "lang": "ko"} for i in range(5)],
            r"data\.jsonl in ko: one distinct translation, 'p'",
        ),
        (
            [{"anchor": f"a{i}", "positive": "p", "split": "test"} for i in range(5)],
            r"data\.jsonl: split test: one distinct document, 'p'",
        ),
        (
            [{"text": f"a{i}", "group": "g"} for i in range(5)],
            r"data\.jsonl: one distinct cluster, 'g', expected two or more",
        ),
        (
            [{"text": f"a{i}", "group": i} for i in range(5)],
            r"data\.jsonl: 5 clusters of one text each, expected clusters of several texts",
        ),
        (
            [{"text": "a", "group": i % 2} for i in range(5)],
            r"data\.jsonl: one distinct text, 'a'",
        ),
        (
            labelled("xyxy", "train") + labelled("xxx", "test"),
            r"data\.jsonl: split test: one distinct label of the texts to score, 'x'",
        ),
        (
            labelled("xxxx", "train") + labelled("xyx", "test"),
            r"data\.jsonl: split test: one distinct label of the texts to fit on, 'x'",
        ),
        (
            labelled("xyxy", "train", "same") + labelled("xyx", "test"),
            r"data\.jsonl: split test: one distinct text to fit on, 'same'",
        ),
        (labelled("xyxyxyxyxyxyxyxy", "train", "same"), r"split train: 0 texts to score"),
    ],
)
def test_a_set_that_is_all_alike_is_refused(
    write: Write, tmp_path: Path, rows: Rows, message: str
) -> None:
    write("set/data.jsonl", rows)
    (source,) = find_tasks(tmp_path)
    with pytest.raises(FormatError, match=message):
        list(source.load())


def test_a_collection_without_relevant_documents_is_refused(write: Write, tmp_path: Path) -> None:
    write("search/corpus.jsonl", [{"id": i, "text": f"t{i}"} for i in range(4)])
    write("search/queries.jsonl", [{"id": i, "text": f"t{i}"} for i in range(4)])
    judgements = [{"query_id": i, "doc_id": i, "relevance": int(i < 2)} for i in range(4)]
    write("search/qrels/test.jsonl", judgements)
    (source,) = find_tasks(tmp_path)
    with pytest.raises(
        FormatError,
        match=r"qrels/test\.jsonl: split test: 2 queries with a relevant document, expected 3 or",
    ):
        list(source.load())

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecsmith.corpora import Limits, PairCorpus, open_pairs
from vecsmith.errors import FormatError


def rows_of(columns: str, *, label: Any = 1) -> list[dict[str, Any]]:
    values = {"score": 0.5, "label": label, "similarity": 3.0, "labels": 0, "id": 7}
    return [{name: values.get(name, f"{name} text") for name in columns.split()}]


def all_texts(pairs: PairCorpus) -> list[tuple[str | None, ...]]:
    found = []
    for rows in pairs.read():
        found += list(zip(*rows.texts.values(), strict=True))
    return found


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ("anchor positive", "anchor=anchor positive=positive"),
        ("positive venue anchor", "anchor=anchor positive=positive"),
        ("question id answer", "anchor=question positive=answer"),
        ("Query Positive negative", "anchor=Query positive=Positive negative_1=negative"),
        (
            "anchor positive negative_2 negative_10 negative_1",
            "anchor=anchor positive=positive negative_1=negative_1 negative_2=negative_2 "
            "negative_3=negative_10",
        ),
        ("query pos neg", "anchor=query positive=pos negative_1=neg"),
        ("sentence1 sentence2 score", "anchor=sentence1 positive=sentence2 score=score"),
        (
            "sentence_A sentence_B similarity",
            "anchor=sentence_A positive=sentence_B score=similarity",
        ),
        ("text1 text2 label", "anchor=text1 positive=text2 score=label"),
        ("premise hypothesis", "anchor=premise positive=hypothesis"),
        ("title abstract", "anchor=title positive=abstract"),
        ("headline story", "anchor=headline positive=story"),
        ("id headline story score", "anchor=headline positive=story score=score"),
    ],
)
def test_roles_are_told_by_names(columns: str, expected: str) -> None:
    pairs = open_pairs(rows_of(columns))
    assert " ".join(f"{role}={column}" for role, column in pairs.columns.items()) == expected
    assert pairs.roles == tuple(pairs.columns)


def test_without_names_the_order_counts() -> None:
    for row, roles in [
        (("a", "b"), ("anchor", "positive")),
        (("a", "b", "c"), ("anchor", "positive", "negative_1")),
        (("a", "b", "c", "d"), ("anchor", "positive", "negative_1", "negative_2")),
        (("a", "b", 0.5), ("anchor", "positive", "score")),
        (("a", "b", 1), ("anchor", "positive", "score")),
    ]:
        assert open_pairs([row, row]).roles == roles
    pairs = open_pairs(rows_of("w x y z"), roles=["z", "x", "y"])
    assert all_texts(pairs) == [("z text", "x text", "y text")]
    stated = {"positive": "w", "anchor": "x", "negative": "y"}
    pairs = open_pairs(rows_of("w x y z"), roles=stated)
    assert all_texts(pairs) == [("x text", "w text", "y text")]


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        (
            "headline story author",
            {},
            r"columns 'headline', 'story', 'author', expected two.*roles=",
        ),
        ("text", {}, r"columns 'text', expected two"),
        ("a b", {"roles": ["a", "c"]}, r"roles name column 'c', expected one of 'a', 'b'"),
        ("a b", {"roles": ["a"]}, r"roles 'a', expected columns of anchor and positive"),
        ("a b", {"roles": {"anchor": "a"}}, r"roles 'anchor', expected anchor and positive"),
        ("a b", {"roles": {"anchor": "a", "good": "b"}}, r"role 'good', expected anchor, positive"),
        ("a b", {"where": {"c": 1}}, r"where names column 'c', expected one of 'a', 'b'"),
        ("premise hypothesis label", {}, r"column 'label' holds 1, expected a grade.*where="),
    ],
)
def test_what_cannot_be_told_is_asked_for(
    columns: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        open_pairs(rows_of(columns), **options)


def test_classes_are_no_scores() -> None:
    rows = [
        {"premise": f"p{i}", "hypothesis": f"h{i}", "label": label}
        for i, label in enumerate(["entailment", "neutral", "contradiction", "entailment"])
    ]
    with pytest.raises(ValueError, match=r"column 'label' holds 'entailment', expected a grade"):
        open_pairs(rows)
    pairs = open_pairs(rows, where={"label": "entailment"})
    assert pairs.roles == ("anchor", "positive")
    assert all_texts(pairs) == [("p0", "h0"), ("p3", "h3")]
    both = open_pairs(rows, where={"label": ["neutral", "contradiction"]})
    assert all_texts(both) == [("p1", "h1"), ("p2", "h2")]
    assert len(all_texts(open_pairs(rows, roles=["premise", "hypothesis"]))) == 4
    with pytest.raises(FormatError, match=r"holds 'entailment' \(2 rows\), .*expected 'same'"):
        list(open_pairs(rows, roles=["premise", "hypothesis"], where={"label": "same"}).read())


def test_scores_are_numbers_and_nan_where_there_is_none(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("sentence1,sentence2,score\na,b,1\nc,d,\ne,f, 2.5\ng,h,nan\ni,j,-1e3\n")
    (rows,) = open_pairs(path).read()
    assert rows.scores is not None
    assert rows.scores.dtype == np.float64
    np.testing.assert_array_equal(rows.scores, [1, math.nan, 2.5, math.nan, -1000])
    assert len(rows) == 5
    path.write_text("sentence1,sentence2,score\na,b,1\n" + "c,d,0\n" * 40_000 + "e,f,high\n")
    with pytest.raises(FormatError, match=r"rows.csv: line 40003: 'score' is 'high', expected a n"):
        list(open_pairs(path).read())


def test_a_null_is_kept_for_the_caller_to_count() -> None:
    rows = [{"anchor": None, "positive": "b"}, {"anchor": "c"}, {"anchor": "", "positive": "d"}]
    assert all_texts(open_pairs(rows)) == [(None, "b"), ("c", None), ("", "d")]


def test_a_text_that_is_none_is_named(tmp_path: Path) -> None:
    lines = [json.dumps({"query": "q", "document": "d"})] * 9 + [
        json.dumps({"query": "q", "document": {"title": "t"}})
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(lines))
    with pytest.raises(FormatError, match=r"rows.jsonl: line 10: 'document' is an object, expec"):
        list(open_pairs(path).read())
    with pytest.raises(FormatError, match=r"row 2: 'positive' is a number, expected a string"):
        list(open_pairs([{"anchor": "a", "positive": "b"}, {"anchor": "a", "positive": 3}]).read())


def test_reading_pairs_goes_on_after_any_of_them(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    lines = [
        {"anchor": f"a{i}", "positive": f"b{i}", "split": "train" if i % 3 else "test"}
        for i in range(50)
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    pairs = open_pairs(path)
    read = list(pairs.read(limits=Limits(max_rows=7)))
    assert [rows.first_row for rows in read] == [0, 4, 9, 14, 18, 23, 28, 32]
    for i, rows in enumerate(read):
        rest = list(pairs.read(json.loads(json.dumps(rows.position)), limits=Limits(max_rows=7)))
        assert [r.texts for r in rest] == [r.texts for r in read[i + 1 :]]
        assert [r.first_row for r in rest] == [r.first_row for r in read[i + 1 :]]
    assert read[1].where(0) == f"{path}: line 8"
    for wrong in ({}, {"part": 3, "row": 0, "at": None}, {"part": "0", "row": 0, "at": None}, 5):
        with pytest.raises(ValueError, match=r"expected a position that this corpus gave"):
            next(pairs.read(wrong))  # type: ignore[arg-type]


def test_the_roles_of_shared_sets_are_told(shared_data: Path) -> None:
    for name, roles in {
        "medquad/pairs.parquet": {"anchor": "anchor", "positive": "positive"},
        "papers/pairs.parquet": {"anchor": "anchor", "positive": "positive"},
        "tldr/en_ko.parquet": {"anchor": "anchor", "positive": "positive"},
        "stsb/data.parquet": {"anchor": "sentence1", "positive": "sentence2", "score": "score"},
    }.items():
        pairs = open_pairs(shared_data / name)
        assert pairs.columns == roles
        assert next(pairs.read()).texts["anchor"][0]
    assert sum(len(rows) for rows in open_pairs(shared_data / "stsb/data.parquet").read()) == 5749
    dev = open_pairs(shared_data / "xnli/triplets.parquet", split="dev", where={"lang": "en"})
    assert dev.roles == ("anchor", "positive", "negative_1")
    assert sum(len(rows) for rows in dev.read()) == 830

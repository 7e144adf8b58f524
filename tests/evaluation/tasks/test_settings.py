"""A task.toml says what files and columns cannot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vecsmith.errors import FormatError
from vecsmith.evaluation.scoring import check_metric
from vecsmith.evaluation.tasks.settings import METRICS
from vecsmith.evaluation.tasks.task import (
    ClusteringData,
    PairData,
    RetrievalData,
    SimilarityData,
    Task,
)

Write = Callable[[str, Any], Path]
Load = Callable[..., list[Task]]
STS = {"sentence1": "a", "sentence2": "b", "score": 1.0}
PAIR = {"anchor": "q", "positive": "p"}


def test_it_states_language_licence_source_and_metric(write: Write, load: Load) -> None:
    write("sts/data.jsonl", [STS])
    write(
        "sts/task.toml",
        'language = "ko"\nlicence = "CC BY 4.0"\nsource = "us"\nmetric = "pearson_dot"',
    )
    (task,) = load()
    assert (task.language, task.license, task.source, task.metric) == (
        "ko",
        "CC BY 4.0",
        "us",
        "pearson_dot",
    )
    assert [len(load(languages=[code])) for code in ("ko", "kor", "ko-KR", "en")] == [1, 1, 1, 0]


@pytest.mark.parametrize(
    "row",
    [
        STS,
        {"sentence1": "a", "sentence2": "b", "label": 1},
        PAIR | {"negative": "n"},
        PAIR | {"split": "test"},
        PAIR | {"lang": "en-ko"},
        {"text": "a", "group": "g"},
        {"text": "a", "label": "g"},
    ],
)
def test_licence_and_source_are_told_of_every_kind(
    write: Write, load: Load, row: dict[str, Any]
) -> None:
    labels = [{"label": i % 2} if "label" in row else {} for i in range(8)]
    texts = [{"text": f"text {i}"} if "text" in row else {} for i in range(8)]
    rows = [row | label | text for label, text in zip(labels, texts, strict=True)]
    write("one/data.jsonl", rows)
    write("two/first.jsonl", rows)
    write("two/second.jsonl", rows)
    write("one/task.toml", 'license = "CC0"\nsource = "us"')
    write("two/task.toml", 'licence = "CC0"\nsource = "us"\n[files."second.jsonl"]\nsource = "you"')
    told = {task.set: (task.license, task.source) for task in load()}
    assert told == {"one": ("CC0", "us"), "two/first": ("CC0", "us"), "two/second": ("CC0", "you")}


def test_licence_and_source_are_told_of_a_collection(write: Write, load: Load) -> None:
    write("search/corpus.jsonl", [{"id": "d", "text": "a"}])
    write("search/queries.jsonl", [{"id": "q", "text": "a"}])
    write("search/qrels/test.tsv", [{"query_id": "q", "doc_id": "d", "relevance": 1}])
    write("search/task.toml", 'license = "CC0"\nsource = "us"')
    (task,) = load()
    assert (task.license, task.source) == ("CC0", "us")


def test_documents_with_the_ids_of_queries_are_told_where_it_says_so(
    write: Write, load: Load
) -> None:
    write("search/corpus.jsonl", [{"id": id_, "text": id_} for id_ in ("d", "q2", "q1")])
    write("search/queries.jsonl", [{"id": id_, "text": id_} for id_ in ("q1", "q2", "q3")])
    judgements = [{"query_id": f"q{i}", "doc_id": "d", "relevance": 1} for i in (1, 2, 3)]
    write("search/qrels/test.jsonl", judgements)
    (without,) = load()
    write("search/task.toml", "ignore_identical_ids = true")
    (task,) = load()
    assert isinstance(task.data, RetrievalData)
    assert isinstance(without.data, RetrievalData)
    assert task.data.own_documents is not None
    assert task.data.own_documents.tolist() == [2, 1, -1]
    assert without.data.own_documents is None
    assert task.data_hash != without.data_hash
    assert "a document that has the query's id is not ranked for it" in task.notes


def test_only_a_collection_has_ids_to_ignore(write: Write, load: Load) -> None:
    write("sts/data.jsonl", [STS])
    write("sts/task.toml", "ignore_identical_ids = true")
    with pytest.raises(FormatError, match=r"expected only of corpus, queries and qrels; data\."):
        load()
    write("sts/task.toml", 'ignore_identical_ids = "no"')
    with pytest.raises(FormatError, match="ignore_identical_ids is 'no', expected true or false"):
        load()


def test_the_languages_of_the_rows_come_before_that_of_the_set(write: Write, load: Load) -> None:
    write("sts/data.jsonl", [STS | {"lang": "de"}])
    write("sts/task.toml", 'language = "ko"')
    assert [(task.name, task.language) for task in load()] == [("sts[de]", "de")]


def test_it_names_columns(write: Write, load: Load) -> None:
    write("sts/data.csv", [{"left": "a", "right": "b", "rating": "4", "part": "validation"}])
    write("sts/task.toml", """
        [columns]
        sentence1 = "left"
        sentence2 = "right"
        score = "rating"
        split = "part"
    """)  # fmt: skip
    (task,) = load()
    assert isinstance(task.data, SimilarityData)
    assert (task.data.first, task.data.scores.tolist(), task.split) == (["a"], [4.0], "dev")


def test_it_names_columns_of_a_collection(write: Write, load: Load) -> None:
    write("s/corpus.csv", [{"id": "1", "body": "a"}])
    write("s/queries.csv", [{"id": "1", "text": "b"}])
    write("s/qrels.csv", [{"query": "1", "doc_id": "1"}])
    write("s/task.toml", 'columns = {text = "body", query_id = "query"}')
    (task,) = load()
    assert isinstance(task.data, RetrievalData)
    assert (task.data.documents, task.data.queries) == (["a"], ["b"])
    assert task.data.relevance.tolist() == [1.0]  # without grades, what is listed is relevant


@pytest.mark.parametrize(
    ("kind", "row", "expected"),
    [
        ("clustering", {"text": "a", "label": "b"}, ClusteringData),
        ("retrieval", PAIR, RetrievalData),
        ("retrieval", PAIR | {"lang": "ko"}, RetrievalData),
    ],
)
def test_it_says_the_kind(
    write: Write, load: Load, kind: str, row: dict[str, str], expected: type
) -> None:
    write("some/data.jsonl", [row])
    write("some/task.toml", f'kind = "{kind}"')
    (task,) = load()
    assert task.kind == kind
    assert isinstance(task.data, expected)


def test_it_says_a_pair_of_languages(write: Write, load: Load) -> None:
    write("pages/data.jsonl", [PAIR])
    write("pages/task.toml", 'kind = "bitext"\nlanguage = "en-ko"')
    (task,) = load()
    assert (task.kind, task.name, task.language) == ("bitext", "pages", "en-ko")


def test_it_says_which_labels_are_positive(write: Write, load: Load) -> None:
    rows = [{"premise": "p", "hypothesis": f"h{label}", "label": label} for label in (0, 1, 2, 0)]
    write("nli/data.jsonl", rows)
    settings = write("nli/task.toml", "positive = 0\nnegative = [2]")
    (task,) = load()
    assert isinstance(task.data, PairData)
    assert task.data.labels.tolist() == [True, False, True]
    assert task.counts["left out: 1"] == 1
    settings.write_text("positive = [0]", encoding="utf-8")
    (task,) = load()
    assert isinstance(task.data, PairData)
    assert task.data.labels.tolist() == [True, False, False, True]


def test_it_leaves_rows_out_and_says_so(write: Write, load: Load) -> None:
    rows = [STS | {"sentence1": str(i), "year": i, "ok": i != 4, "note": None} for i in range(6)]
    write("sts/data.jsonl", [*rows, STS | {"score": "bad", "year": 7}])
    write("sts/task.toml", 'exclude = {year = [0, 7]}\ninclude = {ok = true, note = [""]}')
    (task,) = load()
    assert isinstance(task.data, SimilarityData)
    assert task.data.first == ["1", "2", "3", "5"]
    assert task.exclude == {"year": ("0", "7")}
    assert task.include == {"ok": ("true",), "note": ("",)}
    assert "rows with year = '0', '7' are left out" in task.notes
    assert "only rows with ok = 'true' are used" in task.notes


def test_it_leaves_judgements_out(write: Write, load: Load) -> None:
    for name in ("corpus", "queries"):
        write(f"s/{name}.jsonl", [{"id": str(i), "text": str(i)} for i in range(2)])
    write("s/qrels.jsonl", [{"query_id": i, "doc_id": i, "code": i} for i in range(2)])
    write("s/task.toml", "exclude = {code = 0}")
    (task,) = load()
    assert isinstance(task.data, RetrievalData)
    assert (task.data.queries, len(task.data.documents)) == (["1"], 2)


def test_settings_of_a_file_come_before_those_of_its_folder(write: Write, load: Load) -> None:
    write("x/a.jsonl", [STS])
    write("x/b.jsonl", [STS])
    write("x/task.toml", 'language = "en"\nsource = "us"\n[files."b.jsonl"]\nlanguage = "ko"')
    found = [(task.name, task.language, task.source) for task in load()]
    assert found == [("x/a", "en", "us"), ("x/b", "ko", "us")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind = x", r"task\.toml: invalid value \(at line 1.*expected a TOML file"),
        ("a" * 2_000_000, r"2000000 bytes, expected at most"),
        ('kin = "sts"', r"unknown key 'kin', expected some of kind, language, license, licence,"),
        ('kind = "sts"', r"kind is 'sts', expected one of similarity, retrieval, classification"),
        ('kind = ["similarity"]', r"kind is \['similarity'\], expected one of similarity"),
        ('kind = "retrieval"', r"columns sentence1, sentence2, score, expected anchor, positive;"),
        ("language = 3", r"language is 3, expected a text"),
        ('language = "Korean"', r"language is 'Korean', expected a code such as 'ko' or 'en-ko'"),
        ('metric = "bleu"', r"metric is 'bleu', expected one of spearman_cosine, "),
        ('metric = "ndcg@10"', r"expected for data\.jsonl, a similarity task, one of spearman_cos"),
        ('kind = "similarity"\nmetric = "f1"', r"metric is 'f1', expected one of spearman_cosine"),
        ("columns = 1", r"columns is 1, expected names as in \{text = \"body\"\}"),
        ('columns = {body = "text"}', r"columns: unknown column 'body', expected some of anchor"),
        ("columns = {score = 1}", r"columns\.score is 1, expected a text"),
        ('columns = {score = "y"}', r"columns sentence1, sentence2, score, expected y, which task"),
        ("exclude = 1", r"exclude is 1, expected values by column as in \{split = \[\"train\"\]\}"),
        ("exclude = {score = []}", r"exclude\.score is \[\], expected a value or a list of values"),
        (
            "exclude = {year = 1}",
            r"data\.jsonl: columns sentence1, sentence2, score, expected 'yea",
        ),
        ("exclude = {score = 1}", r"exclude and include leave no row of 1, expected at least one"),
        ("files = 1", r"files is 1, expected tables as in \[files\.\"x\.csv\"\]"),
        (
            '[files."b.csv"]',
            r"\[files\.\"b\.csv\"\]: no such file in the folder, expected the name",
        ),
        ('[files]\n"data.jsonl" = 1', r"\[files\.\"data\.jsonl\"\]: 1, expected a table of setti"),
        ('[files."data.jsonl"]\nx = 1', r"\[files\.\"data\.jsonl\"\]: unknown key 'x', expected"),
        ('[files."task.toml"]', r"settings for task\.toml, expected only for files that are a set"),
    ],
)
def test_a_broken_one_is_refused(write: Write, load: Load, text: str, message: str) -> None:
    write("sts/data.jsonl", [STS])
    write("sts/task.toml", text)
    with pytest.raises(FormatError, match=message):
        load()


def test_a_kind_that_three_tables_are_not_is_refused(write: Write, load: Load) -> None:
    for name in ("corpus", "queries", "qrels"):
        write(f"s/{name}.jsonl", [{"id": "1", "text": "a", "query_id": "1", "doc_id": "1"}])
    settings = write("s/task.toml", 'kind = "clustering"')
    with pytest.raises(FormatError, match="kind is 'clustering', expected 'retrieval' of corpus"):
        load()
    settings.write_text('[files."corpus.jsonl"]\nlanguage = "ko"', encoding="utf-8")
    with pytest.raises(FormatError, match=r"settings for corpus\.jsonl, expected only for files"):
        load()


def test_one_that_stands_alone_is_refused(write: Write, load: Load) -> None:
    write("sts/data.jsonl", [STS])
    write("task.toml", 'language = "ko"')
    with pytest.raises(FormatError, match=r"task\.toml: no table beside it, expected it in the fo"):
        load()


def test_every_metric_that_may_be_named_can_be_scored(write: Write, load: Load) -> None:
    write("sts/data.jsonl", [STS])
    write("pairs/data.jsonl", [PAIR | {"split": "test"}])
    kinds = {task.kind: task.name for task in load()}
    for kind, name in kinds.items():
        for metric in METRICS[kind]:
            write(f"{name}/task.toml", f'metric = "{metric}"')
            (task,) = (task for task in load() if task.kind == kind)
            check_metric(task)

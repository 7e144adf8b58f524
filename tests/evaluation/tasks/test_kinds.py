"""The kind of a set is told by its files and columns, or by its task.toml."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vecsmith.evaluation.tasks import find_tasks, tables
from vecsmith.evaluation.tasks.task import (
    BitextData,
    ClassificationData,
    ClusteringData,
    PairData,
    RetrievalData,
    SimilarityData,
    Task,
    TripletData,
)

Write = Callable[[str, Any], Path]
Load = Callable[..., list[Task]]

CORPUS = [
    {"id": "d1", "title": "고양이", "text": "고양이는 잔다"},
    {"id": "d2", "text": "개는 뛴다"},
]
QUERIES = [{"id": "q1", "text": "누가 자나"}, {"id": "q2", "text": "누가 뛰나"}]
QRELS = [
    {"query_id": "q1", "doc_id": "d1", "relevance": 2},
    {"query_id": "q1", "doc_id": "d2", "relevance": 0},
]


def test_two_sentences_and_a_score_are_similarity(write: Write, load: Load) -> None:
    rows = [
        {"sentence1": "a", "sentence2": "b", "score": 3.2, "subset": "news", "other": None},
        {"sentence1": "c", "sentence2": "", "score": 0, "subset": "forum", "other": [1]},
    ]
    write("sts/data.jsonl", rows)
    (task,) = load()
    assert isinstance(task.data, SimilarityData)
    assert (task.name, task.set, task.kind, task.metric) == (
        "sts",
        "sts",
        "similarity",
        "spearman_cosine",
    )
    assert (task.data.first, task.data.second) == (["a", "c"], ["b", ""])
    assert task.data.scores.tolist() == [3.2, 0]
    assert task.data.subsets == ["news", "forum"]
    assert (task.split, task.language) == ("all", None)
    assert task.counts == {"pairs": 2, "empty texts": 1}


def test_corpus_queries_and_qrels_are_retrieval(write: Write, load: Load) -> None:
    for name, rows in (("corpus", CORPUS), ("queries", QUERIES), ("qrels", QRELS)):
        write(f"search/{name}.parquet", rows)
    (task,) = load()
    assert isinstance(task.data, RetrievalData)
    assert (task.kind, task.metric) == ("retrieval", "ndcg@10")
    assert task.data.query_ids == ["q1"]  # nobody judged anything for q2
    assert task.data.documents == ["고양이 고양이는 잔다", "개는 뛴다"]
    assert task.data.judged_queries.tolist() == [0, 0]
    assert task.data.judged_documents.tolist() == [0, 1]
    assert task.data.relevance.tolist() == [2.0, 0.0]


def test_the_layout_of_beir_is_retrieval(write: Write, load: Load) -> None:
    write("fish/corpus.jsonl", [{"_id": 7, "title": "A", "text": "b", "metadata": {"url": "x"}}])
    write("fish/queries.jsonl", [{"_id": "1", "text": "c"}, {"_id": "2", "text": "d"}])
    for split, query in (("test", 1), ("train", 2)):
        write(f"fish/qrels/{split}.tsv", [{"query-id": query, "corpus-id": 7, "score": 1}])
    (test,), (train,) = load(), load("dev")
    assert isinstance(test.data, RetrievalData)
    assert isinstance(train.data, RetrievalData)
    assert (test.name, test.split, train.split) == ("fish", "test", "train")
    assert (test.data.queries, train.data.queries) == (["c"], ["d"])
    assert test.data.document_ids == ["7"]


def test_text_and_label_are_classification(write: Write, load: Load) -> None:
    rows = [
        {"text": f"{split} {label}", "label": label, "split": split}
        for split in ("train", "test")
        for label in (0, 1)
    ]
    write("mood/data.csv", rows)
    (task,) = load()
    assert isinstance(task.data, ClassificationData)
    assert task.data.train_texts == ["train 0", "train 1"]
    assert task.data.test_labels == ["0", "1"]
    assert (task.metric, task.split) == ("accuracy", "test")


def test_nli_is_entailment_against_contradiction_without_the_neutral(
    write: Write, load: Load
) -> None:
    labels = ["entailment", "neutral", "Contradiction"]
    rows = [
        {"premise": f"p{i}", "hypothesis": f"h{i}", "label": each} for i, each in enumerate(labels)
    ]
    write("nli/data.jsonl", rows)
    (task,) = load()
    assert isinstance(task.data, PairData)
    assert (task.data.first, task.data.second) == (["p0", "p2"], ["h0", "h2"])
    assert task.data.labels.tolist() == [True, False]
    assert task.counts["left out: neutral"] == 1
    assert (task.kind, task.metric) == ("pair-classification", "average_precision")


def test_two_sentences_with_the_labels_of_nli_are_nli(write: Write, load: Load) -> None:
    labels = ["entailment", "neutral", "contradiction"]
    write(
        "snli/data.jsonl", [{"sentence1": "a", "sentence2": "b", "label": each} for each in labels]
    )
    (task,) = load()
    assert isinstance(task.data, PairData)
    assert task.data.labels.tolist() == [True, False]
    assert task.counts["left out: neutral"] == 1


@pytest.mark.parametrize(
    "labels", [(1, 0), ("1", "0"), (True, False), ("True", "false"), (1.0, 0.0)]
)
def test_two_sentences_and_a_label_are_pairs(
    write: Write, load: Load, labels: tuple[object, object]
) -> None:
    rows = [
        {"sentence1": "a", "sentence2": "b", "label": label, "split": split}
        for label in labels
        for split in ("test", "dev", "train")
    ]
    write("pairs/data.jsonl", rows)
    (task,) = load()
    assert isinstance(task.data, PairData)
    assert task.data.labels.tolist() == [True, False]
    assert task.data.tuning is not None
    assert len(task.data.tuning.first) == 2  # dev, not train


def test_anchor_positive_and_negative_are_triplets(write: Write, load: Load) -> None:
    write("t/data.jsonl", [{"anchor": "a", "positive": "b", "negative": "c"}])
    (task,) = load()
    assert isinstance(task.data, TripletData)
    assert (task.data.anchors, task.data.positives, task.data.negatives) == (["a"], ["b"], ["c"])


def test_pairs_with_a_language_are_bitext_each_language_apart(write: Write, load: Load) -> None:
    rows = [
        {"anchor": "cat", "positive": "고양이", "lang": "kor"},
        {"anchor": "cat", "positive": "Katze", "lang": "deu"},
        {"anchor": "dog", "positive": "개", "lang": "kor"},
    ]
    write("tatoeba/pairs.jsonl", rows)
    german, korean = load()
    assert isinstance(korean.data, BitextData)
    assert (german.name, korean.name) == ("tatoeba[deu]", "tatoeba[kor]")
    assert (german.set, korean.language) == ("tatoeba", "kor")
    assert korean.data.targets == ["고양이", "개"]
    assert [task.name for task in load(languages=["ko"])] == ["tatoeba[kor]"]


def test_a_file_named_for_two_languages_is_bitext(write: Write, load: Load) -> None:
    write("pages/en_ko.csv", [{"anchor": "cat", "positive": "고양이"}])
    (task,) = load()
    assert (task.kind, task.name, task.language) == ("bitext", "pages", "en-ko")
    assert [len(load(languages=[code])) for code in ("ko", "kor", "en-ko", "en")] == [1, 1, 1, 0]


def test_pairs_with_splits_are_retrieval_of_the_positive(write: Write, load: Load) -> None:
    pairs = [("a", "1"), ("b", "2"), ("a", "2"), ("a", "1"), ("c", "3")]
    rows = [{"anchor": a, "positive": p, "split": "test"} for a, p in pairs]
    write("qa/pairs.jsonl", [*rows, {"anchor": "x", "positive": "y", "split": "train"}])
    (task,) = load()
    assert isinstance(task.data, RetrievalData)
    assert task.data.queries == ["a", "b", "c"]
    assert task.data.documents == ["1", "2", "3"]
    judged = zip(
        task.data.judged_queries.tolist(), task.data.judged_documents.tolist(), strict=True
    )
    assert sorted(judged) == [(0, 0), (0, 1), (1, 1), (2, 2)]


def test_of_many_pairs_5000_anchors_are_asked_among_all_positives(write: Write, load: Load) -> None:
    rows = [{"anchor": f"q{i}", "positive": f"p{i}", "split": "test"} for i in range(6000)]
    write("qa/pairs.jsonl", rows)
    (task,) = load()
    assert isinstance(task.data, RetrievalData)
    assert (task.counts["queries"], task.counts["documents"]) == (5000, 6000)
    assert "5000 of 6000 anchors are asked" in task.notes
    for query, document in zip(task.data.judged_queries, task.data.judged_documents, strict=True):
        assert task.data.queries[query][1:] == task.data.documents[document][1:]


def test_text_and_group_are_clustering(write: Write, load: Load) -> None:
    write("topics/data.jsonl", [{"text": "a", "group": 1}, {"text": "b", "group": 2}])
    (task,) = load()
    assert isinstance(task.data, ClusteringData)
    assert (task.data.labels, task.counts["clusters"]) == (["1", "2"], 2)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        (("text", "source"), "plain text"),
        (
            ("anchor", "positive"),
            "material to train on; to score them, write a task.toml with kind =",
        ),
        (
            ("question", "answer"),
            "columns question, answer fit no kind of task; name yours in task",
        ),
    ],
)
def test_what_asks_nothing_is_skipped_with_the_reason(
    write: Write, tmp_path: Path, columns: tuple[str, str], reason: str
) -> None:
    write("some/data.csv", [dict.fromkeys(columns, "x")])
    (source,) = find_tasks(tmp_path)
    assert source.kind is None
    assert source.skipped is not None
    assert reason in source.skipped
    assert source.why_skipped("dev") == source.skipped
    assert list(source.load()) == []
    assert source.languages() == []


def test_the_files_of_a_folder_of_several_tasks_are_in_their_names(
    write: Write, load: Load
) -> None:
    write("xnli/triplets.jsonl", [{"anchor": "a", "positive": "b", "negative": "c", "lang": "de"}])
    nli = [
        {"premise": "a", "hypothesis": "b", "label": each}
        for each in ("entailment", "contradiction")
    ]
    write("xnli/nli.jsonl", nli)
    assert [task.name for task in load()] == ["xnli/nli", "xnli/triplets[de]"]


def test_a_folder_is_a_set_or_a_folder_of_sets(write: Write, tmp_path: Path) -> None:
    write("a/sts/data.csv", [{"sentence1": "a", "sentence2": "b", "score": 1}])
    write("b/mood/data.csv", [{"text": "a", "label": "b"}])
    write("b/.hidden/data.csv", [{"text": "a", "label": "b"}])
    assert [source.set for source in find_tasks(tmp_path)] == ["mood", "sts"]
    assert [source.set for source in find_tasks(tmp_path / "a" / "sts")] == ["sts"]
    both = find_tasks([tmp_path / "b", tmp_path / "a" / "sts", tmp_path / "b" / "mood"])
    assert [source.set for source in both] == ["mood", "sts"]


def test_sets_of_one_name_are_told_apart_by_the_folders_above(write: Write, tmp_path: Path) -> None:
    for language in ("en", "ko"):
        write(f"{language}/mood/data.csv", [{"text": "a", "label": "b"}])
    write("en/sts/data.csv", [{"sentence1": "a", "sentence2": "b", "score": 1}])
    assert [source.set for source in find_tasks(tmp_path)] == ["en/mood", "ko/mood", "sts"]


def test_a_set_in_languages_gives_a_task_for_each_and_reads_its_table_once(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        {"sentence1": f"{lang} {i}", "sentence2": "x", "score": i, "lang": lang}
        for i in range(3)
        for lang in ("ko", "de", "en")
    ]
    write("sts/data.jsonl", rows)
    (source,) = find_tasks(tmp_path)
    reads: list[Any] = []
    read_table = tables.read_table

    def counted(*given: Any) -> tables.Table:
        reads.append(given)
        return read_table(*given)

    monkeypatch.setattr("vecsmith.evaluation.tasks.source.read_table", counted)
    tasks = list(source.load())
    assert len(reads) == 1
    assert [task.name for task in tasks] == ["sts[de]", "sts[en]", "sts[ko]"]
    assert source.languages() == ["de", "en", "ko"]
    for task in tasks:
        assert isinstance(task.data, SimilarityData)
        assert task.data.first == [f"{task.language} {i}" for i in range(3)]
        assert task.data.scores.tolist() == [0, 1, 2]
    assert [task.name for task in source.load(languages=["ko"])] == ["sts[ko]"]


def test_retrieval_stays_within_a_language(write: Write, load: Load) -> None:
    langs = ("en", "ko")
    write("x/corpus.jsonl", [{"id": f"d-{c}", "text": f"doc {c}", "lang": c} for c in langs])
    write("x/queries.jsonl", [{"id": f"q-{c}", "text": f"ask {c}", "lang": c} for c in langs])
    judged = [("q-en", "d-en"), ("q-ko", "d-ko"), ("q-ko", "d-en")]
    write("x/qrels.jsonl", [{"query_id": q, "doc_id": d, "relevance": 1} for q, d in judged])
    english, korean = load()
    assert isinstance(english.data, RetrievalData)
    assert isinstance(korean.data, RetrievalData)
    assert (english.name, english.data.documents) == ("x[en]", ["doc en"])
    assert (korean.data.queries, korean.data.documents) == (["ask ko"], ["doc ko"])
    assert korean.counts["judgements across languages"] == 1


def test_queries_without_documents_in_their_language_search_all(write: Write, load: Load) -> None:
    write("x/corpus.jsonl", [{"id": "d", "text": "doc", "lang": "en"}])
    write("x/queries.jsonl", [{"id": "q", "text": "물음", "lang": "ko"}])
    write("x/qrels.jsonl", [{"query_id": "q", "doc_id": "d", "relevance": 1}])
    (task,) = load()
    assert task.name == "x[ko]"
    assert task.notes == ("queries in ko, documents in en",)
    assert task.counts["documents"] == 1


def test_what_is_empty_or_has_no_answer_is_kept_and_counted(write: Write, load: Load) -> None:
    write("x/corpus.jsonl", [{"id": "d1", "text": " "}, {"id": "d2", "text": "b", "title": None}])
    write("x/queries.jsonl", QUERIES)
    write("x/qrels.jsonl", [
        {"query_id": "q1", "doc_id": "d1", "relevance": 1},
        {"query_id": "q1", "doc_id": "d1", "relevance": 1.0},
        {"query_id": "q2", "doc_id": "d1", "relevance": -1},
    ])  # fmt: skip
    (task,) = load()
    assert isinstance(task.data, RetrievalData)
    assert task.counts == {
        "queries": 2,
        "documents": 2,
        "judgements": 2,
        "queries without relevant document": 1,
        "empty texts": 1,
        "repeated": 1,
    }
    assert task.data.relevance.tolist() == [1, -1]


def test_files_named_for_splits_are_one_set(write: Write, load: Load) -> None:
    for name, label in (("train", "a"), ("validation", "b"), ("test", "c")):
        rows = [{"text": f"{name} {each}", "label": each} for each in (label, "z")]
        write(f"mood/{name}.csv", rows)
    (test,), (dev,) = load(), load("dev")
    assert isinstance(test.data, ClassificationData)
    assert isinstance(dev.data, ClassificationData)
    assert (test.name, test.split, dev.split) == ("mood", "test", "dev")
    assert test.data.train_texts == dev.data.train_texts == ["train a", "train z"]
    assert test.data.test_texts == ["test c", "test z"]
    assert "1 texts have a label that no train row has" in test.notes
    assert dev.data.test_texts == ["validation b", "validation z"]


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("sts", {"sentence1": "a {}", "sentence2": "b", "score": 0}),
        ("pairs", {"sentence1": "a {}", "sentence2": "b"}),
        ("nearer", {"anchor": "a {}", "positive": "b", "negative": "c"}),
        ("en_ko", {"anchor": "a {}", "positive": "b {}"}),
        ("asked", {"anchor": "a {}", "positive": "b {}", "split": "test"}),
        ("topics", {"text": "a {}", "group": "g{}"}),
        ("mood", {"text": "a {}", "split": "test"}),
    ],
)
def test_every_kind_says_the_part_that_each_item_is_from(
    write: Write, load: Load, name: str, row: dict[str, Any]
) -> None:
    rows: list[dict[str, Any]] = []
    for i in range(6):
        one: dict[str, Any] = {
            key: value.format(i) if type(value) is str else i for key, value in row.items()
        }
        if name in ("pairs", "mood"):
            one["label"] = i % 2
        rows.append(one | {"subset": "odd" if i % 2 else "even"})
    if name == "mood":  # of what is fitted on, no part is asked
        rows += [{**one, "split": "train", "subset": None} for one in rows]
    write(f"{name}/data.jsonl", rows)
    (task,) = load()
    assert task.data.subsets == ["even", "odd"] * 3
    for one in rows:
        del one["subset"]
    write(f"{name}/data.jsonl", rows)
    (without,) = load()
    assert without.data.subsets is None
    assert without.data_hash != task.data_hash


def test_the_part_of_a_query_is_that_of_its_row_or_its_first(write: Write, load: Load) -> None:
    write("search/corpus.jsonl", CORPUS)
    parts = [query | {"subset": part} for query, part in zip(QUERIES, "xy", strict=True)]
    write("search/queries.jsonl", [{"id": "q0", "text": "?", "subset": "z"}, *parts])
    write("search/qrels.jsonl", [QRELS[0] | {"query_id": "q2"}, *QRELS])
    pairs = [("q", "a", "one"), ("r", "b", "two"), ("q", "c", "three")]
    write("topics/data.jsonl", [
        {"anchor": anchor, "positive": positive, "split": "test", "subset": subset}
        for anchor, positive, subset in pairs
    ])  # fmt: skip
    found = {}
    for task in load():
        assert isinstance(task.data, RetrievalData)
        found[task.name] = (task.data.queries, task.data.subsets)
    assert found == {
        "search": (["누가 자나", "누가 뛰나"], ["x", "y"]),
        "topics": (["q", "r"], ["one", "two"]),
    }

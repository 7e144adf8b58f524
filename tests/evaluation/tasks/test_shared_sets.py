"""Every public set beside the repository gives the rows that its page counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vecsmith.evaluation.tasks import TaskSource, find_tasks
from vecsmith.evaluation.tasks.task import ClassificationData, RetrievalData, SimilarityData, Task

# Set, kind, languages, split that is scored, rows of the kind's first count over all languages.
SETS = """
ag_news         classification      en     test   3998
asset           retrieval           en     test   359
banking77       classification      en     test   3080
cr              classification      en     test   776
cranfield       retrieval           en     test   225
hwu64           classification      en     test   1076
jnli            pair-classification ja     test   1143
jsts            similarity          ja     test   1589
klue_nli        pair-classification ko     dev    2000
kornli_xnli/nli pair-classification ko     test   3340
kornli_xnli/triplets triplets       ko     test   1670
korsts          similarity          ko     test   1379
med             retrieval           en     test   30
medquad         retrieval           en     test   1492
movie_reviews   classification      en     test   400
mpqa            classification      en     test   2230
mrpc            pair-classification en     test   1725
nsmc            classification      ko     test   5000
papers_retrieval retrieval          en     test   1000
parakqc         clustering          ko     all    8360
pawsx           pair-classification de,en,es,fr,ja,ko,zh all 14000
rte             pair-classification en     test   2400
scifact         retrieval           en     test   300
snips           classification      en     test   700
sst2            classification      en     test   1821
sst5            classification      en     test   2210
sts12           similarity          en     test   2358
sts13           similarity          en     test   1500
sts14           similarity          en     test   3750
sts15           similarity          en     test   3000
stsb            similarity          en     test   1379
stsb_multi      similarity          de,es,fr,it,ja,nl,pl,pt,ru,zh test 13790
subj            classification      en     test   2006
tatoeba         bitext              112    all    88877
tldr/en_ko      bitext              en-ko  all    30660
trecqa          retrieval           en     test   95
tweet_emoji     classification      en     test   5000
tweet_irony     classification      en     test   784
tweet_offensive classification      en     test   860
tydiqa_train    retrieval           en,ko,sw train 7925
wiki_split      retrieval           en     test   5000
xnli/nli        pair-classification ar,bg,de,el,en,es,fr,hi,ru,sw,th,tr,ur,vi,zh test 50100
xnli/triplets   triplets            ar,bg,de,el,en,es,fr,hi,ru,sw,th,tr,ur,vi,zh test 25050
xquad           retrieval           ar,de,el,en,es,hi,ro,ru,th,tr,vi,zh test 14280
"""
# Of sets in no named group; the groups hold theirs.
HASHES = {
    "parakqc": "de7c7184a237c1441d2b52daf5623751",
    "kornli_xnli/triplets": "4d3c128de8f33bc76d90cfc932fe84b9",
    "tldr/en_ko": "a2d443d2ce7f3ad98ecd82258ceda494",
    "mrpc": "f8aa54e8d53d4f5b66e44ace865c9f0b",
    "asset": "fb8e9c5b3adb164957cff445ae0d8568",
    "tweet_emoji": "81aadb4ee2aabd7b0d4f0f691e1b63d0",
}
CASES = [line.split() for line in SETS.split("\n") if line]


@pytest.fixture(scope="module")
def sources(shared_data: Path) -> dict[str, TaskSource]:
    """All sets there are, by name."""
    pytest.importorskip("pyarrow", reason="needs pyarrow (extra eval)")
    return {source.set: source for source in find_tasks(shared_data)}


def only(source: TaskSource, **options: Any) -> Task:
    (task,) = source.load(**options)
    return task


def test_all_sets_are_known_and_only_texts_and_training_pairs_are_skipped(
    sources: dict[str, TaskSource],
) -> None:
    assert {case[0] for case in CASES} == {s.set for s in sources.values() if s.skipped is None}
    skipped = {source.set for source in sources.values() if source.skipped is not None}
    assert skipped == {"chatbot_ko", "papers", "plain_en", "tldr/commands"}


@pytest.mark.parametrize(
    ("name", "kind", "languages", "split", "n_rows"), CASES, ids=[c[0] for c in CASES]
)
def test_a_shared_set_loads_with_the_rows_its_page_counts(
    sources: dict[str, TaskSource], name: str, kind: str, languages: str, split: str, n_rows: str
) -> None:
    source = sources[name]
    tasks = list(source.load())
    found = sorted(str(task.language) for task in tasks)
    assert (str(len(found)) if languages.isdigit() else ",".join(found)) == languages
    assert {task.kind for task in tasks} == {kind}
    assert {task.split for task in tasks} == {split}
    assert sum(next(iter(task.counts.values())) for task in tasks) == int(n_rows)
    assert sorted(source.languages()) == found
    if source.by_language:
        assert [task.name for task in tasks] == [f"{name}[{code}]" for code in found]
    assert len({task.data_hash for task in tasks}) == len(tasks)


def test_a_shared_collection_has_the_documents_its_page_counts(
    sources: dict[str, TaskSource],
) -> None:
    documents = {
        "cranfield": (1400, 1837),
        "med": (1033, 696),
        "papers_retrieval": (6000, 1000),
        "scifact": (5183, 339),
        "trecqa": (7052, 1517),
    }
    for name, expected in documents.items():
        counts = only(sources[name]).counts
        assert (counts["documents"], counts["judgements"]) == expected
    assert only(sources["cranfield"]).counts["empty texts"] == 2  # documents 471 and 995
    assert only(sources["trecqa"]).counts["queries without relevant document"] == 6
    for task in sources["xquad"].load():
        assert (task.counts["documents"], task.counts["queries"]) == (240, 1190)


def test_shared_rows_are_those_of_the_files(
    sources: dict[str, TaskSource], shared_data: Path
) -> None:
    parquet: Any = pytest.importorskip("pyarrow.parquet")
    rows = parquet.read_table(shared_data / "stsb_multi" / "data.parquet").to_pylist()
    task = only(sources["stsb_multi"], languages=["ja"])
    chosen = [row for row in rows if row["lang"] == "ja" and row["split"] == "test"]
    assert isinstance(task.data, SimilarityData)
    assert task.data.first == [row["sentence1"] for row in chosen]
    assert task.data.second == [row["sentence2"] for row in chosen]
    assert task.data.scores.tolist() == pytest.approx([row["score"] for row in chosen], rel=1e-7)


def test_shared_judgements_are_those_of_the_files(
    sources: dict[str, TaskSource], shared_data: Path
) -> None:
    parquet: Any = pytest.importorskip("pyarrow.parquet")
    tables = {
        name: parquet.read_table(shared_data / "trecqa" / f"{name}.parquet").to_pylist()
        for name in ("corpus", "queries", "qrels")
    }
    data = only(sources["trecqa"]).data
    assert isinstance(data, RetrievalData)
    judged = {
        (data.query_ids[q], data.document_ids[d]): grade
        for q, d, grade in zip(
            data.judged_queries, data.judged_documents, data.relevance, strict=True
        )
    }
    chosen = [row for row in tables["qrels"] if row["split"] == "test"]
    assert judged == {(row["query_id"], row["doc_id"]): row["relevance"] for row in chosen}
    texts = {row["id"]: row["text"] for row in tables["queries"]}
    assert data.queries == [texts[id_] for id_ in data.query_ids]
    assert data.documents == [row["text"] for row in tables["corpus"]]


def test_shared_texts_to_train_on_are_never_those_scored(sources: dict[str, TaskSource]) -> None:
    for name in ("banking77", "hwu64"):
        test, dev = only(sources[name]), only(sources[name], split="dev")
        assert isinstance(test.data, ClassificationData)
        assert isinstance(dev.data, ClassificationData)
        counted = {"banking77": (10003, 8003, 2000), "hwu64": (8954, 8954, 1076)}[name]
        found = (len(test.data.train_texts), len(dev.data.train_texts), len(dev.data.test_texts))
        assert found == counted
        if name == "banking77":
            assert set(dev.data.test_texts) <= set(test.data.train_texts)


def test_sets_of_test_rows_alone_say_so_when_tuned_on(sources: dict[str, TaskSource]) -> None:
    silent = {
        name for name, source in sources.items() if source.kind and not any(source.load("dev"))
    }
    assert {"cranfield", "med", "pawsx", "sts13", "tatoeba", "xquad"} <= silent
    for name in sources:
        assert (sources[name].why_skipped("dev") is not None) == (
            name in silent or sources[name].kind is None
        )


def test_the_hash_of_a_shared_set_never_changes(sources: dict[str, TaskSource]) -> None:
    found = {name: only(sources[name]).data_hash for name in HASHES}
    assert found == HASHES


def test_no_test_pair_of_stsb_is_read_to_choose_by(sources: dict[str, TaskSource]) -> None:
    test = only(sources["stsb"]).data
    assert isinstance(test, SimilarityData)
    held_out = set(zip(test.first, test.second, strict=True))
    read = only(sources["sts12"], split="dev")
    assert isinstance(read.data, SimilarityData)
    assert held_out.isdisjoint(zip(read.data.first, read.data.second, strict=True))
    assert "123 rows that are test rows of stsb are left out" in read.notes
    assert read.counts["pairs"] == 1484 - 123

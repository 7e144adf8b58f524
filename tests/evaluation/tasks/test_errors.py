"""A broken set is refused with file, row, what was expected and what to do."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vecsmith.errors import FormatError
from vecsmith.evaluation.tasks import find_tasks, tables
from vecsmith.evaluation.tasks.task import Task
from vecsmith.evaluation.tasks.values import all_rows, texts_of

Write = Callable[[str, Any], Path]
Load = Callable[..., list[Task]]
STS = {"sentence1": "a", "sentence2": "b", "score": 1.0}
SETS: dict[str, dict[str, list[dict[str, Any]]]] = {
    "search": {
        "corpus": [{"id": "d1", "text": "a"}, {"id": "d2", "text": "b"}],
        "queries": [{"id": "q1", "text": "a"}],
        "qrels": [{"query_id": "q1", "doc_id": "d1", "relevance": 1}],
    }
}


def search(**tables: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The small collection with some of its tables replaced."""
    return SETS["search"] | tables


QREL = SETS["search"]["qrels"][0]


@pytest.mark.parametrize(
    ("name", "rows", "message"),
    [
        (
            "sts.jsonl",
            [STS, STS | {"score": "high"}],
            r"sts\.jsonl: row 2: score is 'high' \(str\), expected a finite number",
        ),
        (
            "sts.csv",
            [STS, STS, STS | {"score": "nan"}],
            r"sts\.csv: row 3: score is 'nan' \(str\), expected a finite",
        ),
        ("sts.csv", [STS | {"score": "1_0"}], r"row 1: score is '1_0'"),
        ("sts.csv", [STS | {"score": ""}], r"row 1: score is '' \(str\), expected a finite number"),
        ("sts.jsonl", [STS | {"score": True}], r"row 1: score is True \(bool\), expected a finite"),
        ("sts.jsonl", [STS | {"score": [1]}], r"row 1: score is \[1\] \(list\), expected a finite"),
        (
            "sts.jsonl",
            [STS, {"sentence1": "a", "score": 1}],
            r"row 2: sentence2 is null, expected a text, empty if there is none",
        ),
        (
            "sts.parquet",
            [STS, STS | {"sentence1": None}],
            r"sts\.parquet: row 2: sentence1 is null",
        ),
        ("sts.parquet", [STS, STS | {"score": float("inf")}], r"row 2: score is inf \(float\)"),
        ("sts.jsonl", [STS | {"sentence1": 5}], r"row 1: sentence1 is 5 \(int\), expected a text"),
        (
            "sts.jsonl",
            [STS | {"split": "a"}],
            r"row 1: split is 'a', and no row's is train, dev or test; rename",
        ),
        (
            "sts.jsonl",
            [STS | {"split": "test"}, STS | {"split": None}],
            r"row 2: split is null, expected train, dev or test",
        ),
        (
            "sts.jsonl",
            [STS | {"lang": "ko"}, STS | {"lang": None}],
            r"row 2: lang is null, expected a label",
        ),
        (
            "sts.jsonl",
            [{"sentence1": "a", "score": 1}],
            r"columns sentence1, score, expected premise, hypothesis, label; or sentence1, "
            r"sentence2, score",
        ),
        ("sts.csv", "sentence1,sentence2,score\n", r"sts\.csv: no rows, expected at least one"),
        ("sts.csv", "", r"sts\.csv: no columns, expected a table; the file is empty"),
        (
            "sts.csv",
            "sentence1,sentence2,score\na,b,1\n\na,b\n",
            r"row 2: 2 fields, expected 3 as in the header \(sentence1, sentence2, score\); "
            r"put fields that hold a separator in quotes",
        ),
        ("sts.csv", "sentence1,sentence2,score\na,b,1\na,b,c,1\n", r"row 2: 4 fields, expected 3"),
        (
            "sts.csv",
            'sentence1,sentence2,score\na,b,1\n"a"x,b,1\n',
            r"row 2: ',' expected after '\"', expected fields that hold quotes",
        ),
        ("sts.csv", 'sentence1,sentence2,score\na,b,1\n"a,b,1\n', r"row 2: unexpected end of data"),
        (
            "sts.csv",
            "sentence1,sentence2,score,score\na,b,1,2\n",
            r"two columns named 'score', expected one",
        ),
        (
            "sts.csv",
            "sentence1,sentence2,score\na,\xe9,1\n".encode("latin-1"),
            r"sts\.csv: line 2: byte 2 is not UTF-8, expected a UTF-8 text file; save it as UTF-8",
        ),
        (
            "sts.jsonl",
            '{"sentence1": "a"\n',
            r"sts\.jsonl: row 1: line \d column \d+: .*expected JSON",
        ),
        (
            "sts.jsonl",
            '{"sentence1":"a","sentence2":"b","score":1}\n\n["a"]\n',
            r"row 2: '\[\"a\"\]' is no object, expected one such as",
        ),
        (
            "sts.jsonl",
            '{"sentence1":"\\ud83d","sentence2":"b","score":1}\n',
            r"row 1: sentence1 holds half a character \(\\ud83d\)",
        ),
        ("sts.jsonl", '{"sentence1":' + "[" * 99999 + "\n", r"row 1: nested too deeply"),
        ("sts.jsonl", '{"score":' + "9" * 9999 + "}\n", r"row 1: .*digits"),
        (
            "sts.parquet",
            b"PAR1 is all of it",
            r"sts\.parquet: .*expected a Parquet file; it may be cut short",
        ),
        ("sts.parquet", b"", r"sts\.parquet: .*expected a Parquet file"),
        ("sts.jsonl.gz", b"no gzip at all", r"sts\.jsonl\.gz: .*expected a whole gzip file"),
        (
            "sts.jsonl.gz",
            gzip.compress(b'{"sentence1": "a"}\n', mtime=0)[:-9],
            r"expected a whole gzip file",
        ),
        (
            "nli.jsonl",
            [{"premise": "a", "hypothesis": "b", "label": 1}],
            r"row 1: label is '1', expected entailment, contradiction, neutral or "
            r"not_entailment; name yours in task\.toml, as in positive = \[\"yes\"\]",
        ),
        (
            "p.jsonl",
            [{"sentence1": "a", "sentence2": "b", "label": "yes"}],
            r"row 1: label is 'yes', expected 1 or 0, true or false",
        ),
        (
            "m.jsonl",
            '{"text": "a", "label": NaN, "split": "train"}',
            r"row 1: label is nan \(float\), expected a label",
        ),
        (
            "m.jsonl",
            [{"text": "a", "label": "b", "split": ["train"]}],
            r"row 1: split is \"\['train'\]\", and no row's is train, dev or test",
        ),
        (
            "m.jsonl",
            [{"text": "a", "label": None, "split": "train"}],
            r"row 1: label is null, expected a label; give it one, or leave such rows out "
            r"by exclude",
        ),
        (
            "m.csv",
            [{"text": "a", "label": "", "split": "train"}],
            r"row 1: label is '' \(str\), expected a label",
        ),
        (
            "m.csv",
            [{"text": "a", "label": "b", "split": "test"}],
            r"test rows and no train rows, expected train rows to fit a classifier on; add "
            r"them, take",
        ),
    ],
)
def test_a_broken_table_is_refused(
    write: Write, load: Load, name: str, rows: Any, message: str
) -> None:
    write(f"some/{name}", rows)
    with pytest.raises(FormatError, match=message):
        load()


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (
            search(corpus=[*SETS["search"]["corpus"], {"id": "d1", "text": "c"}]),
            r"corpus\.jsonl: row 3: id 'd1' is that of row 1 too, expected each id once",
        ),
        (
            search(queries=[{"id": 1, "text": "a"}, {"id": "1", "text": "b"}]),
            r"queries\.jsonl: row 2: id '1' is that of row 1 too",
        ),
        (
            search(qrels=[QREL, QREL | {"doc_id": "d9"}]),
            r"qrels\.jsonl: row 2: doc_id is 'd9', which is not in corpus\.jsonl, expected "
            r"one of its 2 ids",
        ),
        (
            search(qrels=[QREL | {"query_id": "q9"}] * 3),
            r"qrels\.jsonl: row 1: query_id is 'q9', which is not in queries\.jsonl, "
            r"expected one of its 1 ids; so do 2 other rows",
        ),
        (
            search(qrels=[QREL | {"relevance": "very"}]),
            r"qrels\.jsonl: row 1: relevance is 'very' \(str\), expected a finite number",
        ),
        (
            search(qrels=[QREL, QREL | {"relevance": 2}]),
            r"qrels\.jsonl: row 2: relevance 2, expected 1 as in .*qrels\.jsonl: row 1, "
            r"which judges the same query and document",
        ),
        (search(corpus=[{"id": "d1", "text": None}]), r"corpus\.jsonl: row 1: text is null"),
        (
            search(corpus=[{"id": None, "text": "a"}]),
            r"corpus\.jsonl: row 1: id is null, expected an id",
        ),
        (
            search(corpus=[{"id": 1.5, "text": "a"}]),
            r"corpus\.jsonl: row 1: id is 1\.5 \(float\), expected an id",
        ),
        (
            search(corpus=[{"id": "d1", "text": "a", "title": 3}]),
            r"corpus\.jsonl: row 1: title is 3 \(int\), expected a text",
        ),
        (
            search(corpus=[{"id": "d1", "body": "a"}]),
            r"corpus\.jsonl: columns id, body, expected id, text; add text, or name yours "
            r"in task\.toml, as in columns = \{text = \"my_column\"\}",
        ),
        (
            search(qrels=[{"query_id": "q1"}]),
            r"qrels\.jsonl: columns query_id, expected query_id, doc_id; add doc_id",
        ),
    ],
)
def test_a_broken_collection_is_refused(
    write: Write, load: Load, tables: dict[str, Any], message: str
) -> None:
    for name, rows in tables.items():
        write(f"search/{name}.jsonl", rows)
    with pytest.raises(FormatError, match=message):
        load()


def test_a_collection_without_one_of_its_tables_is_refused(write: Write, tmp_path: Path) -> None:
    write("search/corpus.jsonl", SETS["search"]["corpus"])
    write("search/queries.jsonl", SETS["search"]["queries"])
    with pytest.raises(FormatError, match="corpus, queries without qrels, expected corpus"):
        find_tasks(tmp_path)


def test_judgements_of_no_known_split_are_refused(write: Write, tmp_path: Path) -> None:
    for name in ("corpus", "queries", "qrels/all"):
        write(f"search/{name}.jsonl", SETS["search"][name.split("/")[0]])
    with pytest.raises(FormatError, match=r"qrels: files all, expected test\.tsv, dev\.tsv or"):
        find_tasks(tmp_path)


def test_a_folder_without_sets_is_refused(write: Write, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder, expected a set"):
        find_tasks(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"no set found, expected files such as data\.parquet"):
        find_tasks(tmp_path)
    path = write("sts/data.csv", [STS])
    with pytest.raises(NotADirectoryError, match=r"data\.csv: a file, expected the folder it is"):
        find_tasks(path)


def test_one_table_in_two_formats_is_refused(write: Write, tmp_path: Path) -> None:
    write("sts/data.csv", [STS])
    write("sts/data.jsonl", [STS])
    with pytest.raises(FormatError, match=r"data\.jsonl: beside data\.csv, expected one of the"):
        find_tasks(tmp_path)


def test_files_of_splits_with_unlike_columns_are_refused(write: Write, load: Load) -> None:
    write("sts/test.csv", [STS])
    write("sts/train.csv", [STS | {"lang": "ko"}])
    with pytest.raises(FormatError, match=r"train\.csv: columns .*expected lang in all files"):
        load()


def test_a_row_is_counted_within_its_file(write: Write, load: Load) -> None:
    write("sts/dev.csv", [STS] * 3)
    write("sts/test.csv", [STS, STS | {"score": "x"}])
    with pytest.raises(FormatError, match=r"test\.csv: row 2: score is 'x'"):
        load()


def test_only_rows_that_are_used_must_be_right(write: Write, load: Load) -> None:
    write("sts/dev.csv", [STS])
    write("sts/test.csv", [STS | {"score": "not for you"}])
    assert [task.split for task in load("dev")] == ["dev"]


def test_a_text_in_parquet_that_is_not_utf8_is_refused(write: Write, load: Load) -> None:
    pa: Any = pytest.importorskip("pyarrow", reason="needs pyarrow (extra eval)")
    parquet: Any = pytest.importorskip("pyarrow.parquet")
    path = write("sts/data.parquet", [STS])
    broken = pa.array([b"caf\xe9"], pa.binary()).view(pa.string())
    columns = {"sentence1": broken, "sentence2": broken, "score": pa.array([1.0])}
    parquet.write_table(pa.table(columns), path)
    with pytest.raises(FormatError, match=r"data\.parquet: .*UTF"):
        load()


def test_a_parquet_file_cut_anywhere_is_refused(write: Write, load: Load) -> None:
    path = write("sts/data.parquet", [STS | {"score": float(i)} for i in range(300)])
    whole = path.read_bytes()
    for place in range(4, len(whole), len(whole) // 40):
        path.write_bytes(whole[:place])
        with pytest.raises(FormatError, match=r"data\.parquet: "):
            load()


def test_a_parquet_file_with_any_byte_turned_is_read_or_refused(write: Write, load: Load) -> None:
    path = write("sts/data.parquet", [STS | {"score": float(i)} for i in range(300)])
    whole = path.read_bytes()
    refusals = []
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            load()
        except FormatError as error:
            refusals.append(str(error))
    assert len(refusals) > 10
    assert all("data.parquet: " in refusal for refusal in refusals)


def test_a_file_made_to_fill_the_memory_is_stopped(
    write: Write, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_FREE_BYTES", 100_000)
    line = b'{"sentence1":"%s","sentence2":"b","score":1}\n' % (b"a" * 10_000)
    write("sts/data.jsonl.gz", gzip.compress(line * 100))
    with pytest.raises(FormatError, match="unpacks to more than 500 times its size"):
        load()


def test_a_line_without_end_is_stopped(
    write: Write, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_MAX_LINE", 1000)
    write("sts/data.jsonl", '{"sentence1":"a","sentence2":"b","score":1}\n{"' + "a" * 2000)
    with pytest.raises(FormatError, match="line 2 is longer than 1000 bytes"):
        load()


def test_a_field_without_end_is_stopped(
    write: Write, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_MAX_FIELD", 1000)
    write("sts/data.csv", 'sentence1,sentence2,score\n"' + "a\n" * 2000)
    with pytest.raises(FormatError, match=r"row 1: field larger than field limit \(1000\)"):
        load()


def test_a_split_or_languages_of_no_sort_are_the_callers_mistake(write: Write, load: Load) -> None:
    write("sts/data.csv", [STS])
    with pytest.raises(ValueError, match="split is 'train', expected 'test' or 'dev'"):
        load("train")
    with pytest.raises(TypeError, match=r"languages are 'ko', expected a list such as \['ko'\]"):
        load(languages="ko")


def test_a_column_that_is_not_there_is_told_with_those_that_are(write: Write) -> None:
    path = write("set/data.csv", [{"id": 1, "body": "a"}])
    table = tables.read_table([tables.Part(path)], ["id", "text"])
    with pytest.raises(FormatError, match=r"data\.csv: columns id, body, expected 'text'; name"):
        texts_of(table, "text", all_rows(table))

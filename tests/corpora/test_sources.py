from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.corpora.test_corpus import ROWS, all_rows, as_text, write
from vecsmith.corpora import Limits, open_corpus, open_pairs, texts_of

LIMITS = Limits(max_rows=6)


def check_resumable(source: Any, expected: list[dict[str, Any]]) -> None:
    corpus = open_corpus(source)
    assert all_rows(corpus) == expected
    read = list(corpus.read(limits=LIMITS))
    assert sum(rows.n_rows for rows in read) == len(expected)
    for i, rows in enumerate(read):
        start = json.loads(json.dumps(rows.position))
        rest = list(open_corpus(source).read(limits=LIMITS, start=start))
        assert [r.columns for r in rest] == [r.columns for r in read[i + 1 :]]
        assert [r.first_row for r in rest] == [r.first_row for r in read[i + 1 :]]


def test_arrow_tables_and_what_shows_itself_as_one_are_read() -> None:
    pa = pytest.importorskip("pyarrow")
    table = pa.Table.from_pylist(ROWS)
    columns = {name: [row[name] for row in ROWS] for name in ROWS[0]}
    sources = [table, columns, pa.concat_tables([table.slice(0, 9), table.slice(9)])]
    for source in sources:
        check_resumable(source, ROWS)
    frame = pytest.importorskip("pandas").DataFrame(ROWS)
    check_resumable(frame, ROWS)
    made = open_corpus(table).fingerprint
    assert open_corpus(pa.Table.from_pylist(ROWS)).fingerprint == made
    assert open_corpus(table.slice(1)).fingerprint != made
    with pytest.raises(ValueError, match=r"columns have lengths .*'b': 1.*expected one length"):
        open_corpus({"a": ["x", "y"], "b": ["z"]})
    with pytest.raises(ValueError, match=r"columns of mixed types, expected one in each"):
        open_corpus({"a": ["x", 5]})


def test_every_kind_of_arrow_text_is_read() -> None:
    pa = pytest.importorskip("pyarrow")
    texts = ["one", None, "", "한국어 문장이 하나 더 있습니다", "one"]
    for kind in (pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary()):
        array = pa.array(texts, pa.string()).cast(kind)
        assert all_rows(open_corpus(pa.table({"text": array}))) == [{"text": t} for t in texts]
    coded = pa.table({"text": pa.array(texts).dictionary_encode()})
    assert all_rows(open_corpus(coded)) == [{"text": text} for text in texts]
    broken = pa.array([b"fine", b"bro\xffken", None, b"\xed\xa0\x80"], pa.binary())
    table = pa.table({"text": pa.Array.from_buffers(pa.string(), 4, broken.buffers())})
    (rows,) = open_corpus(table).read()
    assert rows.columns["text"] == ["fine", "bro\ufffdken", None, "\ufffd\ufffd\ufffd"]
    assert rows.n_mended == 2


def test_data_sets_are_read_loaded_streamed_and_saved(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    loaded = datasets.Dataset.from_list(ROWS)
    check_resumable(loaded, ROWS)
    check_resumable(loaded.select(range(30, 10, -1)), ROWS[30:10:-1])
    check_resumable(loaded.to_iterable_dataset(num_shards=3), ROWS)
    assert open_corpus(loaded).n_rows == len(ROWS)
    assert open_corpus(loaded).fingerprint != open_corpus(loaded.select([1])).fingerprint

    both = datasets.DatasetDict(train=loaded, validation=loaded.select([3, 4]))
    both.save_to_disk(tmp_path / "both", num_shards={"train": 2, "validation": 1})
    loaded.save_to_disk(tmp_path / "one")
    for source in (both, tmp_path / "both"):
        check_resumable(source, ROWS)
        assert all_rows(open_corpus(source, split="dev")) == ROWS[3:5]
        assert len(all_rows(open_corpus(source, split="all"))) == len(ROWS) + 2
        with pytest.raises(ValueError, match=r"splits .*expected 'test'"):
            open_corpus(source, split="test")
    check_resumable(tmp_path / "one", ROWS)
    assert open_pairs(tmp_path / "one").roles == ("anchor", "positive")


def test_folders_globs_and_lists_of_files_are_read_in_order(tmp_path: Path) -> None:
    for i in (2, 0, 1):
        (tmp_path / f"d{i % 2}").mkdir(exist_ok=True)
        write(tmp_path / f"d{i % 2}" / f"{i}.jsonl", ROWS[i * 10 : i * 10 + 10])
    (tmp_path / "LICENSE.txt").write_text("not a row")
    (tmp_path / ".hidden.jsonl").write_text("[")
    in_order = ROWS[:10] + ROWS[20:30] + ROWS[10:20]
    assert all_rows(open_corpus(tmp_path)) == in_order
    assert all_rows(open_corpus(str(tmp_path / "*" / "*.jsonl"))) == in_order
    assert all_rows(open_corpus(str(tmp_path / "**" / "*.jsonl"))) == in_order
    paths = [tmp_path / "d1" / "1.jsonl", tmp_path / "d0" / "0.jsonl"]
    assert all_rows(open_corpus(paths)) == ROWS[10:20] + ROWS[:10]
    assert open_corpus(tmp_path).n_bytes == sum(p.stat().st_size for p in tmp_path.glob("d*/*"))

    write(tmp_path / "more.csv")
    with pytest.raises(ValueError, match=r"files of the formats 'jsonl', 'csv', expected one"):
        open_corpus(tmp_path)
    assert as_text(all_rows(open_corpus(tmp_path, format="csv"))) == as_text(ROWS)
    with pytest.raises(FileNotFoundError, match=r"no file matches .*expected one or more"):
        open_corpus(str(tmp_path / "*.parquet"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"has no files of rows"):
        open_corpus(tmp_path / "empty")


def test_a_glob_reads_train_files_unless_it_or_the_caller_names_another_split(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "test of all"  # above the pattern no name tells a split
    folder.mkdir()
    for i, name in enumerate(("train-0", "train-1", "validation-0", "test-0")):
        write(folder / f"{name}.jsonl", ROWS[i : i + 1])
    everything = str(folder / "*.jsonl")
    assert all_rows(open_corpus(everything)) == all_rows(open_corpus(folder)) == ROWS[:2]
    assert all_rows(open_corpus(everything, split="dev")) == ROWS[2:3]
    assert all_rows(open_corpus(everything, split="all")) == [ROWS[i] for i in (3, 0, 1, 2)]
    assert all_rows(open_corpus(str(folder / "test-*.jsonl"))) == ROWS[3:4]
    (folder / "train-0.jsonl").unlink()
    (folder / "train-1.jsonl").unlink()
    with pytest.raises(ValueError, match=r"splits 'dev', 'test', expected 'train'; name"):
        open_corpus(everything)


def test_files_of_a_corpus_may_differ_in_columns_that_are_not_read(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", [{"text": "x", "extra": "1"}])
    write(tmp_path / "b.csv", [{"text": "y"}])
    corpus = open_corpus(tmp_path)
    assert corpus.columns == ("text",)
    assert all_rows(corpus) == [{"text": "x"}, {"text": "y"}]
    with pytest.raises(ValueError, match=r"column 'extra' is absent \(it is not in .*b.csv\)"):
        open_corpus(tmp_path, columns=["extra"])


def test_rows_of_json_may_lack_a_field(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    lines = [{"anchor": "a", "positive": "b"}, {"anchor": "c", "negative": "d", "positive": "e"}]
    path.write_text("\n".join([*map(json.dumps, lines), ""]))
    (rows,) = open_pairs(path).read()
    assert rows.texts == {"anchor": ["a", "c"], "positive": ["b", "e"], "negative_1": [None, "d"]}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (iter(["a"]), r"the source is list_iterator, expected a path.*list\(it\)"),
        (5, r"the source is int, expected a path"),
        (b"bytes", r"the source is bytes, expected a path"),
        ([1, 2], r"row 1 is a number, expected a text, a tuple"),
        (["a", ("b", "c")], r"row 2 is a list, expected a string"),
    ],
)
def test_what_holds_no_rows_is_refused(source: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        list(texts_of(source))


def test_tuples_are_all_of_one_length() -> None:
    with pytest.raises(ValueError, match=r"row 2 has 3 values, expected 2 as in the first row"):
        list(open_corpus([("a", "b"), ("a", "b", "c")]).read())

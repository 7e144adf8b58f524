from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from vecsmith.corpora import Corpus, Limits, open_corpus

ROWS: list[dict[str, Any]] = [
    {"id": i, "question": question, "answer": answer}
    for i, (question, answer) in enumerate(
        [
            ("plain", "one"),
            ('with "quotes", commas and\nnewlines', "two"),
            ("", "empty"),
            ("caf\u00e9 \u732b \U0001f600", "한국어 문장"),
            ("\u2028 inside", "tab\there"),
        ]
        * 7
    )
]
KINDS = ("parquet", "arrow", "feather", "jsonl", "csv", "tsv", "jsonl.gz", "csv.gz")


def write(path: Path, rows: list[dict[str, Any]] = ROWS) -> Path:
    kind = path.name.removesuffix(".gz").rsplit(".", 1)[1]
    if kind in ("parquet", "arrow", "feather"):
        _write_arrow(path, kind, rows)
        return path
    if kind == "jsonl":
        lines = [json.dumps(row) for row in rows]
        content = "\n".join([*lines[:3], "", "  ", *lines[3:]]).encode()
    else:
        with (path.parent / "plain").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t" if kind == "tsv" else ",")
            writer.writerow(rows[0])
            writer.writerows(row.values() for row in rows)
        content = (path.parent / "plain").read_bytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def _write_arrow(path: Path, kind: str, rows: list[dict[str, Any]]) -> None:
    pa = pytest.importorskip("pyarrow")
    table = pa.Table.from_pylist(rows)
    if kind == "parquet":
        pytest.importorskip("pyarrow.parquet").write_table(table, path, row_group_size=8)
        return
    new = pa.ipc.new_file if kind == "feather" else pa.ipc.new_stream
    with pa.OSFile(str(path), "wb") as file, new(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=9)


def all_rows(corpus: Corpus, **options: Any) -> list[dict[str, Any]]:
    found = []
    for rows in corpus.read(**options):
        found += [dict(zip(rows.columns, values, strict=True)) for values in _transposed(rows)]
    return found


def _transposed(rows: Any) -> list[tuple[Any, ...]]:
    return list(zip(*rows.columns.values(), strict=True))


def as_text(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [{name: str(value) for name, value in row.items()} for row in rows]


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_gives_the_rows_that_were_written(tmp_path: Path, kind: str) -> None:
    corpus = open_corpus(write(tmp_path / f"rows.{kind}"))
    assert corpus.columns == ("id", "question", "answer")
    assert corpus.n_rows in (len(ROWS), None)
    assert as_text(all_rows(corpus)) == as_text(ROWS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limits", [Limits(max_rows=4), Limits(max_rows=1), Limits(max_bytes=40)])
def test_reading_goes_on_after_any_rows(tmp_path: Path, kind: str, limits: Limits) -> None:
    paths = [write(tmp_path / f"{i}.{kind}", ROWS[i : i + 20]) for i in range(2)]
    corpus = open_corpus(paths)
    read = list(corpus.read(limits=limits))
    assert [rows.first_row for rows in read][:2] == [0, read[0].n_rows]
    assert sum(rows.n_rows for rows in read) == 40
    for i, rows in enumerate(read):
        start = json.loads(json.dumps(rows.position))
        assert list(corpus.read(limits=limits, start=start)) == read[i + 1 :]


def test_rows_in_memory_are_those_of_a_file(tmp_path: Path) -> None:
    file = open_corpus(write(tmp_path / "rows.jsonl"))
    for source in (ROWS, tuple(ROWS)):
        corpus = open_corpus(source)
        assert all_rows(corpus) == all_rows(file) == ROWS
        assert corpus.n_rows == len(ROWS)
    tuples = open_corpus([tuple(row.values()) for row in ROWS])
    assert tuples.columns == ("0", "1", "2")
    assert [tuple(row.values()) for row in all_rows(tuples)] == [tuple(r.values()) for r in ROWS]
    assert all_rows(open_corpus(["a", "b"])) == [{"text": "a"}, {"text": "b"}]


def test_a_fingerprint_changes_with_what_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl")
    before = open_corpus(path).fingerprint
    assert open_corpus(path).fingerprint == before
    assert open_corpus(path, columns=["id"]).fingerprint != before
    write(path, ROWS[:-1])
    assert open_corpus(path).fingerprint != before

    made = open_corpus(ROWS).fingerprint
    assert open_corpus([dict(row) for row in ROWS]).fingerprint == made
    assert open_corpus(ROWS[:-1]).fingerprint != made
    assert open_corpus([*ROWS[:-1], {**ROWS[-1], "answer": "x"}]).fingerprint != made


SPLITS: Mapping[str, list[str]] = {"train": ["a", "b"], "validation": ["c"], "test": ["d"]}


def test_train_rows_are_read_unless_another_split_is_named(tmp_path: Path) -> None:
    rows = [{"text": text, "split": name} for name, texts in SPLITS.items() for text in texts]
    (tmp_path / "files").mkdir()
    for name, texts in SPLITS.items():
        write(tmp_path / "files" / f"{name}-00000-of-00001.csv", [{"text": text} for text in texts])
    for source in (rows, write(tmp_path / "rows.jsonl", rows), tmp_path / "files"):
        found = {
            split: [row["text"] for row in all_rows(open_corpus(source, split=split))]
            for split in (None, "train", "dev", "validation", "test", "all")
        }
        assert found[None] == found["train"] == ["a", "b"]
        assert found["dev"] == found["validation"] == ["c"]
        assert found["test"] == ["d"]
        assert sorted(found["all"]) == ["a", "b", "c", "d"]

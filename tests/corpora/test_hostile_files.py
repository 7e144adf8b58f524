"""Files that are broken or were made to break a reader."""

from __future__ import annotations

import csv
import gzip
import json
import os
import random
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from tests.corpora.test_corpus import write
from vecsmith.corpora import Limits, open_corpus, open_pairs, texts_of
from vecsmith.errors import FormatError


def read_all(path: Path) -> list[dict[str, Any]]:
    return [dict(rows.columns) for rows in open_corpus(path).read()]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "t.jsonl",
            b'{"text": "a"}\n\n{"text": ',
            r"t\.jsonl: line 3: expecting value at column 10, expected one JSON object a line",
        ),
        ("t.jsonl", b'["a", "b"]\n', r"line 1: a list, expected a JSON object"),
        ("t.jsonl", b"5\n", r"line 1: a number, expected a JSON object"),
        ("t.jsonl", b"[" * 100_000, r"line 1: .*expected one JSON object"),
        ("t.jsonl", b'{"text": ' + b"9" * 5000 + b"}", r"line 1: .*expected one JSON object"),
        ("t.jsonl", b"\xfe\xff\x00{", r"starts with a UTF-16 mark, expected UTF-8"),
        ("t.jsonl.gz", b"no gzip", r"t\.jsonl\.gz: .*expected a whole gzip file"),
        ("t.csv.gz", gzip.compress(b"text\na\nb\n", mtime=0)[:-9], r"expected a whole gzip file"),
        ("t.csv", b"text,more\na,b\nc\n", r"line 3: 1 fields, expected 2 as in the header"),
        ("t.csv", b"text,more\na,b\nc,d,e\n", r"line 3: 3 fields, .*separator in quotes"),
        (
            "t.csv",
            b'text\na\n"b\nc\n',
            r"line 4: unexpected end of data in the row that starts at l",
        ),
        ("t.csv", b'text\n"a"b\n', r"line 2: .*expected csv with a header, quotes doubled"),
        ("t.csv", b"text,text\na,b\n", r"column 'text' is twice or more among 'text', 'text'"),
        ("t.tsv", b"text\tmore\na\n", r"t\.tsv: line 2: 1 fields, expected 2"),
        ("t.parquet", b"", r"t\.parquet: .*expected a whole parquet file; it may be cut short"),
        ("t.parquet", b"PAR1 no", r"expected a whole parquet file"),
        ("t.parquet", b"text\na\n", r"expected a whole parquet file"),
        ("t.arrow", b"", r"t\.arrow: .*expected a whole arrow file"),
        ("t.arrow", b"ARROW1\x00\x00 no", r"expected a whole arrow file"),
        ("t.arrow", b"text\na\n" * 9, r"expected a whole arrow file"),
    ],
)
def test_a_broken_file_is_refused_by_name_and_place(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(FormatError, match=message):
        read_all(path)


def test_no_rows_are_no_error_until_pairs_are_asked_for(tmp_path: Path) -> None:
    for name in ("t.txt", "t.jsonl", "t.csv"):
        path = tmp_path / name
        path.write_bytes(b"")
        assert read_all(path) == []
    with pytest.raises(FormatError, match=r"t.jsonl: no rows, expected some"):
        open_pairs(tmp_path / "t.jsonl")


def refused(path: Path) -> str | None:
    """Reads all of a file as texts; why that was refused, if it was."""
    try:
        for columns in read_all(path):
            for values in columns.values():
                "".join(str(value) for value in values).encode()
    except FormatError as error:
        return str(error)
    return None


@pytest.mark.parametrize("kind", ["parquet", "feather", "arrow"])
def test_a_file_cut_or_changed_anywhere_is_read_or_refused(tmp_path: Path, kind: str) -> None:
    draw = random.Random(11)
    whole = write(tmp_path / f"rows.{kind}").read_bytes()
    path = tmp_path / f"broken.{kind}"
    n_refused = 0
    for i in range(120):
        content = bytearray(whole)
        if i % 2:
            content = content[: draw.randrange(len(content))]
        else:
            for _ in range(draw.choice([1, 4, 30])):
                content[draw.randrange(len(content))] = draw.randrange(256)
        path.write_bytes(content)
        error = refused(path)
        assert error is None or error.startswith(str(path))
        n_refused += error is not None
    assert n_refused > 50


@pytest.mark.parametrize("kind", ["txt", "jsonl", "csv"])
def test_broken_bytes_are_mended_and_counted(tmp_path: Path, kind: str) -> None:
    lines = [b"fine", b"bro\xffken", "\ud55c\uad6d".encode()[:-1], b"fine too"]
    if kind == "jsonl":
        lines = [b'{"text": "' + line + b'"}' for line in lines]
        lines.append(b'{"text": "half \\ud83d and \\ud83d\\ude00 whole"}')
    path = tmp_path / f"t.{kind}"
    path.write_bytes(b"\n".join([*([b"text"] if kind == "csv" else []), *lines, b""]))
    texts = texts_of(path)
    expected = ["fine", "bro\ufffdken", "한\ufffd", "fine too"]
    if kind == "jsonl":
        expected.append("half \ufffd and \U0001f600 whole")
    assert list(texts) == expected
    assert texts.report.n_mended == len(expected) - 2


@pytest.mark.parametrize("kind", ["txt", "jsonl", "csv", "txt.gz"])
def test_a_line_without_end_is_refused_before_it_fills_the_memory(
    tmp_path: Path, kind: str
) -> None:
    path = tmp_path / f"t.{kind}"
    n_bytes = 300_000_000
    if kind == "txt.gz":  # 300 kB that unpack to 300 MB
        with gzip.open(path, "wb", compresslevel=1) as file:
            for _ in range(30):
                file.write(b"x" * (n_bytes // 30))
    else:
        with path.open("wb") as file:
            file.write(b"text\n" if kind == "csv" else b"")
            file.truncate(n_bytes)  # a hole: zeros that take no disk
    tracemalloc.start()
    with pytest.raises(FormatError, match=r"line [12] is longer than 67108864 bytes, expected one"):
        read_all(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 250_000_000


def test_a_quote_that_is_never_closed_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    with path.open("wb") as file:
        file.write(b'id,text\n1,fine\n2,"oh\n')
        for _ in range(80):
            file.write(b"3,many more rows of a good file\n" * 30_000)
    with pytest.raises(FormatError, match=r"t.csv: line \d+: the row that starts at line 3 has"):
        read_all(path)
    before = csv.field_size_limit()
    write(tmp_path / "fine.csv")
    read_all(tmp_path / "fine.csv")
    assert csv.field_size_limit() == before == 128 * 1024


def test_a_row_of_endless_fields_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('id,text\n1,"a' + '\n","' * 300, encoding="utf-8")  # a quote at each line end
    corpus = open_corpus(path)
    with pytest.raises(FormatError, match=r"row that starts at line 2 has more than 200 bytes"):
        list(corpus.read(limits=Limits(max_line_bytes=200)))


def test_what_does_not_fit_into_memory_is_told_as_such(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from vecsmith.corpora.arrow import arrow_errors
    from vecsmith.corpora.files import data_file

    path = tmp_path / "t.parquet"
    path.touch()
    with (
        pytest.raises(FormatError, match="does not fit into memory"),
        arrow_errors(data_file(path, file_format="parquet")),
    ):
        raise pa.ArrowMemoryError("malloc of size 5 failed")


def test_few_distinct_long_texts_do_not_fill_the_memory(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    long = pa.array(["x" * 100_000, "y" * 100_000])
    coded = pa.DictionaryArray.from_arrays(pa.array([0, 1] * 10_000, pa.int8()), long)
    parquet.write_table(pa.table({"text": coded}), tmp_path / "t.parquet")
    assert (tmp_path / "t.parquet").stat().st_size < 100_000  # for 2 GB of text
    largest = n_rows = 0
    pa.default_memory_pool().release_unused()
    for rows in open_corpus(tmp_path / "t.parquet").read():
        n_rows += rows.n_rows
        largest = max(largest, sum(len(text) for text in rows.columns["text"]))
        assert pa.total_allocated_bytes() < 300_000_000
    assert n_rows == 20_000
    assert largest <= 8 * 2**20


def test_nested_values_are_read_as_they_are_and_refused_as_texts(tmp_path: Path) -> None:
    row = {"text": ["a", "b"], "more": {"c": [1, None]}}
    for path in (write(tmp_path / "t.jsonl", [row]), write(tmp_path / "t.parquet", [row])):
        assert read_all(path) == [{"text": [["a", "b"]], "more": [{"c": [1, None]}]}]
        with pytest.raises(FormatError, match=r"t.*: (line|row) 1: 'text' is a list, expected a s"):
            list(texts_of(path))
    rows = [{"query": "q", "pos": ["p", "r"], "neg": ["n"]}]
    (tmp_path / "p.jsonl").write_text(json.dumps(rows[0]))
    with pytest.raises(FormatError, match=r"line 1: 'pos' is a list, expected a string"):
        list(open_pairs(tmp_path / "p.jsonl").read())


def test_a_column_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    for kind in ("parquet", "arrow", "jsonl", "csv"):
        path = write(tmp_path / f"t.{kind}")
        with pytest.raises(
            ValueError, match=r"column 'txt' is absent, expected one of 'id', 'ques"
        ):
            texts_of(path, column="txt")
        with pytest.raises(TypeError, match=r"columns is 'id', expected a list of names"):
            open_corpus(path, columns="id")


def test_a_pipe_is_refused_before_it_is_emptied(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "t.jsonl")
    with pytest.raises(ValueError, match=r"t.jsonl is no regular file, expected one: it is read m"):
        open_pairs(tmp_path / "t.jsonl")


def test_a_file_that_goes_away_is_the_systems_error(tmp_path: Path) -> None:
    corpus = open_corpus(write(tmp_path / "t.parquet"))
    (tmp_path / "t.parquet").unlink()
    with pytest.raises(FileNotFoundError):
        list(corpus.read())
    with pytest.raises(FileNotFoundError):
        open_corpus(tmp_path / "none.csv")
    with pytest.raises(ValueError, match=r"ends in '.dat', expected .txt, .*name its format"):
        open_corpus(Path(write(tmp_path / "t.csv")).rename(tmp_path / "t.dat"))

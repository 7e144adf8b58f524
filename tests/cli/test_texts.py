from __future__ import annotations

import csv
import gzip
import json
import tracemalloc
from pathlib import Path

import pytest

from vecsmith.cli._texts import Chunk, read_chunks, text_file
from vecsmith.errors import FormatError


def texts_of(path: Path, **options: object) -> list[str]:
    return [text for chunk in chunks_of(path, **options) for text in chunk.texts]


def chunks_of(path: Path, **options: object) -> list[Chunk]:
    return list(read_chunks(text_file(str(path)), **options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"one", ["one"]),
        (b"one\n", ["one"]),
        (b"one\r\ntwo\r\n", ["one", "two"]),
        (b"one\r\r\ntwo\rthree\n\n", ["one\r", "two\rthree", ""]),
        (b"\xef\xbb\xbfone\n\xef\xbb\xbftwo", ["one", "\ufefftwo"]),
        (b"a\x00b\n\xff\xfe\nz\xe2\x82", ["a\x00b", "\ufffd\ufffd", "z\ufffd"]),
        ("line\u2028sep\u0085\x0b\x0c\n".encode(), ["line\u2028sep\u0085\x0b\x0c"]),
    ],
)
def test_a_text_file_has_one_text_a_line(
    tmp_path: Path, content: bytes, expected: list[str]
) -> None:
    path = tmp_path / "texts.txt"
    path.write_bytes(content)
    for max_rows in (1, 2, 100):
        assert texts_of(path, max_rows=max_rows) == expected


def test_utf_16_is_refused_with_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("hello", encoding="utf-16")
    with pytest.raises(FormatError, match=r"texts.txt: starts with a UTF-16 mark.*iconv"):
        texts_of(path)


def test_a_long_line_costs_little_more_than_itself(tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    n_bytes = 40_000_000
    path.write_bytes(b"x" * n_bytes + b"\nlast")
    tracemalloc.start()
    lengths = [len(text) for chunk in read_chunks(text_file(str(path))) for text in chunk.texts]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert lengths == [n_bytes, 4]
    assert peak < 2.2 * n_bytes + 32_000_000  # the bytes, the text, and blocks of 8 MiB


def test_a_big_file_is_never_held_whole(tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    with path.open("wb") as file:
        for _ in range(100):
            file.write((b"hello world " * 12 + b"\n") * 10_000)
    tracemalloc.start()
    n_texts = sum(len(chunk.texts) for chunk in read_chunks(text_file(str(path))))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert n_texts == 1_000_000
    assert path.stat().st_size > 140_000_000
    assert peak < 70_000_000


RECORDS = [
    "plain",
    'with "quotes", commas and\nnewlines',
    "",
    "caf\u00e9 \u732b \U0001f600",
    "\u2028 inside",
    "tab\there",
] * 5


def write_records(folder: Path, kind: str, texts: list[str]) -> Path:
    path = folder / f"texts.{kind}"
    if kind == "jsonl":
        lines = [json.dumps({"id": i, "text": text}) for i, text in enumerate(texts)]
        path.write_text("\n".join([*lines[:3], "", "  ", *lines[3:]]), encoding="utf-8")
    elif kind == "parquet":
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        table = pyarrow.table({"id": range(len(texts)), "text": texts})
        parquet.write_table(table, path, row_group_size=7)
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t" if kind == "tsv" else ",")
            writer.writerow(["id", "text", "more"])
            writer.writerows([i, text, "x"] for i, text in enumerate(texts))
    return path


@pytest.mark.parametrize("kind", ["jsonl", "csv", "tsv", "parquet"])
def test_records_come_back_and_reading_goes_on_after_any_chunk(tmp_path: Path, kind: str) -> None:
    path = write_records(tmp_path, kind, RECORDS)
    for options in ({"max_rows": 4}, {"max_rows": 1}, {"max_bytes": 30}, {}):
        chunks = chunks_of(path, **options)
        assert [text for chunk in chunks for text in chunk.texts] == RECORDS
        for index, chunk in enumerate(chunks):
            rest = chunks_of(path, start=chunk.position, **options)
            assert [(c.texts, c.position) for c in rest] == [
                (c.texts, c.position) for c in chunks[index + 1 :]
            ]


@pytest.mark.parametrize("kind", ["txt", "jsonl", "csv"])
def test_a_compressed_file_holds_the_same_texts(tmp_path: Path, kind: str) -> None:
    texts = [text.replace("\n", " ") for text in RECORDS]
    if kind == "txt":
        path = tmp_path / "texts.txt"
        path.write_text("\n".join(texts), encoding="utf-8", newline="")
    else:
        path = write_records(tmp_path, kind, texts)
    packed = path.with_name(path.name + ".gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert texts_of(packed) == texts
    first, *rest = chunks_of(packed, max_rows=4)
    again = chunks_of(packed, max_rows=4, start=first.position)
    assert [chunk.texts for chunk in again] == [chunk.texts for chunk in rest]

    packed.write_bytes(packed.read_bytes()[:-20])
    with pytest.raises(FormatError, match=r"expected a whole gzip file"):
        texts_of(packed)
    packed.write_bytes(b"not gzip at all")
    with pytest.raises(FormatError, match=r"expected a whole gzip file"):
        texts_of(packed)


def test_an_absent_value_is_an_empty_text(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "texts.parquet"
    texts = pyarrow.array(["a", None, "a"]).dictionary_encode()
    parquet.write_table(pyarrow.table({"text": texts}), path)
    assert texts_of(path) == ["a", "", "a"]
    lines = tmp_path / "texts.jsonl"
    lines.write_text('{"text": null}\n{"text": "b"}')
    assert texts_of(lines) == ["", "b"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.jsonl", b'{"text": "a"}\n{"text": ', r"t\.jsonl: line 2: .*expected one JSON object"),
        ("t.jsonl", b'["a"]', r"line 1: a list, expected a JSON object with the field 'text'"),
        ("t.jsonl", b'{"body": 1}', r"line 1: fields 'body', expected the field 'text'"),
        ("t.jsonl", b'\n{"text": 3}', r"line 2: 'text' is a number, expected a string"),
        ("t.jsonl", b"[" * 100_000, r"line 1: .*expected one JSON object"),
        ("t.jsonl", b'{"text": ' + b"9" * 5000 + b"}", r"line 1: .*expected one JSON object"),
        ("t.csv", b"a,b\n1,2\n", r"column 'text' is absent among 'a', 'b'"),
        ("t.csv", b"text,text\n1,2\n", r"column 'text' is twice or more"),
        ("t.csv", b"id,text\n1,a\n2\n", r"line 3: 1 fields, expected 2 as in the header"),
        ("t.csv", b'text\na\n"b\nc\n', r"line 4: unexpected end of data"),
        ("t.csv", b"\xff\xfet\x00", r"UTF-16"),
        ("t.parquet", b"PAR1 no", r"expected a whole parquet file"),
        ("t.parquet", b"", r"expected a whole parquet file"),
    ],
)
def test_a_broken_file_is_refused_by_name_and_line(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(FormatError, match=message):
        texts_of(path)


def test_a_parquet_column_of_numbers_is_refused(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "t.parquet"
    parquet.write_table(pyarrow.table({"text": [1, 2]}), path)
    with pytest.raises(FormatError, match=r"row 1: 'text' is a number, expected a string"):
        texts_of(path)


def test_the_format_is_told_by_the_name_or_asked_for(tmp_path: Path) -> None:
    for name in ("texts", "texts.dat", "texts.parquet.gz"):
        (tmp_path / name).write_text("a")
        with pytest.raises(ValueError, match=r"expected"):
            text_file(str(tmp_path / name))
    source = text_file(str(tmp_path / "texts.dat"), text_format="txt")
    assert [chunk.texts for chunk in read_chunks(source)] == [["a"]]
    with pytest.raises(ValueError, match=r"is a folder, expected a file"):
        text_file(str(tmp_path))

"""The same rows are the same task, whatever format they are in."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsmith.errors import FormatError
from vecsmith.evaluation.tasks import find_tasks
from vecsmith.evaluation.tasks.hashing import data_hash
from vecsmith.evaluation.tasks.tables import Part, column_names, read_table, table_stem
from vecsmith.evaluation.tasks.task import SimilarityData, Task

Write = Callable[[str, Any], Path]
Load = Callable[..., list[Task]]
FORMATS = ("parquet", "jsonl", "ndjson", "csv", "tsv", "jsonl.gz", "csv.gz", "tsv.gz", "CSV")
ROWS = [
    {"sentence1": '고양이가 "야옹" 한다,\n그리고', "sentence2": "", "score": 3.2, "split": "test"},
    {"sentence1": "\t猫 🇰🇷\u2028 é", "sentence2": " b ", "score": 5.0, "split": "test"},
    {"sentence1": "없다", "sentence2": "null", "score": 1e-3, "split": "train"},
]


@pytest.mark.parametrize("extension", FORMATS)
def test_every_format_gives_the_same_task(write: Write, load: Load, extension: str) -> None:
    write("same/data.jsonl", ROWS)
    (expected,) = load()
    (expected_path,) = {p for s in find_tasks(path_of(write)) for p in s.tables["rows"]}
    expected_path.path.unlink()
    write(f"same/data.{extension}", ROWS)
    (found,) = load()
    assert isinstance(found.data, SimilarityData)
    assert found.data.first == [ROWS[0]["sentence1"], ROWS[1]["sentence1"]]
    assert found.data.second == ["", " b "]
    assert found.data.scores.tolist() == [3.2, 5.0]
    assert found.data_hash == expected.data_hash
    assert found.counts == expected.counts == {"pairs": 2, "empty texts": 1}


def path_of(write: Write) -> Path:
    """The folder that is written to."""
    return write("same/README.md", "not a table").parent


def test_numbers_of_single_precision_are_what_was_written(write: Write, load: Load) -> None:
    pa: Any = pytest.importorskip("pyarrow", reason="needs pyarrow (extra eval)")
    parquet: Any = pytest.importorskip("pyarrow.parquet")
    scores = np.round(np.random.default_rng(0).uniform(0, 5, 500), 3)
    path = write("sts/data.csv", [{"sentence1": "a", "sentence2": "b", "score": s} for s in scores])
    (text,) = load()
    path.unlink()
    columns = {"sentence1": ["a"] * 500, "sentence2": ["b"] * 500}
    single = pa.array(scores.astype(np.float32))
    parquet.write_table(pa.table(columns | {"score": single}), path.with_suffix(".parquet"))
    (binary,) = load()
    assert isinstance(binary.data, SimilarityData)
    assert binary.data.scores.tolist() == scores.tolist()
    assert binary.data_hash == text.data_hash


@pytest.mark.parametrize("kind", ["dictionary", "large_string", "binary", "string_view"])
def test_every_way_parquet_keeps_texts_is_read(write: Write, load: Load, kind: str) -> None:
    pa: Any = pytest.importorskip("pyarrow", reason="needs pyarrow (extra eval)")
    parquet: Any = pytest.importorskip("pyarrow.parquet")
    types = {
        "dictionary": pa.dictionary(pa.int32(), pa.string()),
        "large_string": pa.large_string(),
        "binary": pa.binary(),
        "string_view": pa.string_view(),
    }
    texts = pa.array(["고양이", "", "a"]).cast(types[kind])
    path = write("sts/data.parquet", b"")
    columns = {"sentence1": texts, "sentence2": texts, "score": pa.array([1, 2, 3])}
    parquet.write_table(pa.table(columns), path)
    (task,) = load()
    assert isinstance(task.data, SimilarityData)
    assert task.data.first == ["고양이", "", "a"]


def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_the_rows(
    write: Write, load: Load
) -> None:
    write("a/data.csv", "\ufeffsentence1,sentence2,score\r\na,b,1\r\n\r\n")
    write("b/data.jsonl", '\ufeff{"sentence1": "a", "sentence2": "b", "score": 1}\r\n\r\n')
    first, second = load()
    assert isinstance(first.data, SimilarityData)
    assert first.data.second == ["b"]
    assert first.data_hash == second.data_hash


def test_long_texts_are_read_and_the_limit_of_the_csv_module_is_left_as_it_was(
    write: Write, load: Load
) -> None:
    before = csv.field_size_limit(70_000)
    long = "가" * 1_000_000
    write("sts/data.csv", [{"sentence1": long, "sentence2": "b", "score": 1}])
    (task,) = load()
    assert isinstance(task.data, SimilarityData)
    assert task.data.first == [long]
    assert csv.field_size_limit(before) == 70_000


def test_more_rows_than_are_read_at_a_time_stay_in_order(write: Write, load: Load) -> None:
    rows = [{"sentence1": str(i), "sentence2": "b", "score": i} for i in range(70_000)]
    for extension in ("parquet", "csv"):
        path = write(f"sts/data.{extension}", rows)
        (task,) = load()
        assert isinstance(task.data, SimilarityData)
        assert task.data.first == [str(i) for i in range(70_000)]
        path.unlink()


def test_only_tables_are_tables() -> None:
    names = {
        "a.csv": "a",
        "A.b.CSV.GZ": "A.b",
        "a.parquet": "a",
        "a.parquet.gz": None,
        "a.json": None,
        "a.txt": None,
        "csv": None,
        ".csv": None,
    }
    assert {name: table_stem(Path(name)) for name in names} == names


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(texts, texts, st.floats(allow_nan=False, allow_infinity=False)), min_size=1)
)
def test_what_pythons_writers_write_comes_back(rows: list[tuple[str, str, float]]) -> None:
    rows = [("so that there", "are enough", 0.0), ("to be", "a set", 1.0), *rows]
    expected = SimilarityData(
        first=[row[0] for row in rows],
        second=[row[1] for row in rows],
        scores=np.array([row[2] for row in rows]),
    )
    names = ("sentence1", "sentence2", "score")
    file = io.StringIO()
    csv.writer(file).writerows([names, *rows])
    lines = "".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows)
    for name, content in (("data.csv", file.getvalue()), ("data.jsonl", lines)):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / name).write_bytes(content.encode())
            (task,) = (task for source in find_tasks(folder) for task in source.load())
        assert isinstance(task.data, SimilarityData)
        assert task.data.first == expected.first
        assert task.data.second == expected.second
        assert task.data.scores.tolist() == expected.scores.tolist()
        assert task.data_hash == data_hash("similarity", "all", task.metric, expected)


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in ("a.csv", "a.tsv", "a.jsonl", "a.csv.gz", "a.parquet"):
            path = Path(folder) / name
            path.write_bytes(content)
            try:
                names = column_names(path)
                read_table([Part(path)], names)
            except FormatError as error:
                refused = str(error)
                assert refused.startswith(str(path))


HASHED = SimilarityData(
    first=["고양이", "b"],
    second=["", "d"],
    scores=np.array([0.5, 4]),
)

LITERAL = "d303f829e5388a161c5f9d8e433d55a1"


def test_the_hash_never_changes() -> None:
    assert data_hash("similarity", "test", "spearman_cosine", HASHED) == LITERAL


def test_the_hash_tells_everything_apart() -> None:
    changed = [
        replace(HASHED, first=["고양이b", ""]),
        replace(HASHED, first=["고양이", "b "]),
        replace(HASHED, second=["d", ""]),
        replace(HASHED, scores=np.array([0.5, 4.000000001])),
        replace(HASHED, subsets=["", ""]),
        replace(HASHED, subsets=[]),
        replace(HASHED, first=HASHED.second, second=HASHED.first),
    ]
    hashes = {data_hash("similarity", "test", "spearman_cosine", each) for each in changed}
    hashes.add(data_hash("similarity", "dev", "spearman_cosine", HASHED))
    hashes.add(data_hash("similarity", "test", "pearson_cosine", HASHED))
    hashes.add(data_hash("bitext", "test", "spearman_cosine", HASHED))
    assert len(hashes) == len(changed) + 3
    assert LITERAL not in hashes


def test_the_hash_tells_no_order_of_bytes_and_no_sign_of_zero() -> None:
    big = replace(HASHED, scores=np.array([0.5, 4]).astype(">f8"))
    assert data_hash("similarity", "test", "spearman_cosine", big) == LITERAL
    zeros = [replace(HASHED, scores=np.array([zero, 4])) for zero in (0.0, -0.0)]
    assert len({data_hash("similarity", "test", "m", each) for each in zeros}) == 1

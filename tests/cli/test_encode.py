from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cli.running import Run, leftovers, load, random_texts, write_lines
from vecsmith import StaticModel


def write_input(path: Path, texts: list[str]) -> Path:
    """`texts` in the format of the suffix."""
    if path.suffix == ".txt":
        return write_lines(path, texts)
    if path.suffix == ".jsonl":
        return write_lines(path, [json.dumps({"text": text}) for text in texts])
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([["text"], *([text] for text in texts)])
        return path
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"text": texts}), path, row_group_size=100)
    return path


@pytest.mark.parametrize("suffix", [".txt", ".jsonl", ".csv", ".parquet"])
def test_vectors_of_a_file_are_those_of_its_texts(
    run: Run, tmp_path: Path, model_folder: Path, model: StaticModel, suffix: str
) -> None:
    # an empty line of csv is no row, so there are no empty texts in it
    texts = [text or "a" for text in random_texts(500)]
    path = write_input(tmp_path / f"texts{suffix}", texts)
    done = run("encode", model_folder, path, "--out", "vectors.npy")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("vectors.npy: 500 x 16 float32 in ")
    np.testing.assert_array_equal(load(tmp_path / "vectors.npy"), model.encode(texts))
    assert leftovers(tmp_path) == []


def test_the_file_is_the_one_numpy_would_have_saved(
    run: Run, tmp_path: Path, model_folder: Path, model: StaticModel
) -> None:
    texts = random_texts(100)
    write_lines(tmp_path / "texts.txt", texts)
    assert run("encode", model_folder, "texts.txt", "--out", "vectors.npy").returncode == 0
    np.save(tmp_path / "expected.npy", model.encode(texts))
    written = (tmp_path / "vectors.npy").read_bytes()
    assert written == (tmp_path / "expected.npy").read_bytes()


def test_standard_input_is_lines(
    run: Run, tmp_path: Path, model_folder: Path, model: StaticModel
) -> None:
    done = run(
        *("encode", model_folder, "-", "--out", "vectors.npy", "--quiet"),
        stdin=b"hello world\r\nthe \xff cat\n\nlast",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    expected = model.encode(["hello world", "the \ufffd cat", "", "last"])
    np.testing.assert_array_equal(load(tmp_path / "vectors.npy"), expected)


def test_parquet_holds_row_text_and_vector(
    run: Run, tmp_path: Path, model_folder: Path, model: StaticModel
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    texts = random_texts(300)
    write_lines(tmp_path / "texts.txt", texts)
    options = ("--keep-text", "--dim", "8", "--dtype", "float16")
    done = run("encode", model_folder, "texts.txt", "--out", "vectors.parquet", *options)
    assert (done.returncode, done.stderr) == (0, "")
    table = parquet.read_table(tmp_path / "vectors.parquet")
    assert table.column_names == ["row", "text", "vector"]
    assert table["row"].to_pylist() == list(range(300))
    assert table["text"].to_pylist() == texts
    vectors = table["vector"].combine_chunks().flatten().to_numpy().reshape(-1, 8)
    expected = model.encode(texts, truncate_dim=8, dtype="float16")
    np.testing.assert_array_equal(vectors, expected)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("out", ["vectors.npy", "vectors.parquet"])
@pytest.mark.parametrize("name", ["texts.txt", "texts.csv", "texts.jsonl"])
def test_an_empty_file_gives_no_rows(
    run: Run, tmp_path: Path, model_folder: Path, name: str, out: str
) -> None:
    (tmp_path / name).touch()
    done = run("encode", model_folder, name, "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == 0
    if out.endswith(".npy"):
        assert load(tmp_path / out).shape == (0, 16)
    else:
        parquet = pytest.importorskip("pyarrow.parquet")
        table = parquet.read_table(tmp_path / out)
        assert (len(table), table.column_names) == (0, ["row", "vector"])


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "binary", "ubinary"])
def test_options_reach_the_model(
    run: Run, tmp_path: Path, model_folder: Path, model: StaticModel, dtype: str
) -> None:
    texts = random_texts(200)
    write_lines(tmp_path / "texts.txt", texts)
    options = ("--truncate-dim", "4", "--max-length", "3", "--threads", "1", "--dtype", dtype)
    done = run("encode", model_folder, "texts.txt", "--out", "vectors.npy", *options)
    assert done.returncode == 0, done.stderr
    expected = model.encode(texts, truncate_dim=4, max_length=3, dtype=dtype)  # type: ignore[arg-type]
    found = np.load(tmp_path / "vectors.npy")
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_a_finished_file_is_replaced_by_the_next_run(
    run: Run, tmp_path: Path, model_folder: Path
) -> None:
    (tmp_path / "texts.txt").write_text("hello\n")
    (tmp_path / "vectors.npy").write_bytes(b"something older")
    assert run("encode", model_folder, "texts.txt", "--out", "vectors.npy").returncode == 0
    assert load(tmp_path / "vectors.npy").shape == (1, 16)


def test_json_is_all_there_is_on_standard_output(
    run: Run, tmp_path: Path, model_folder: Path
) -> None:
    (tmp_path / "texts.txt").write_text("hello\nworld\n")
    done = run("encode", model_folder, "texts.txt", "--out", "vectors.npy", "--json")
    result = json.loads(done.stdout)
    assert (result["rows"], result["dim"], result["dtype"]) == (2, 16, "float32")
    assert (result["out"], result["resumed_from"]) == ("vectors.npy", 0)


def test_lone_surrogates_are_kept_as_the_replacement_character(
    run: Run, tmp_path: Path, model_folder: Path, model: StaticModel
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    (tmp_path / "t.jsonl").write_text('{"text": "a \\ud800 cat"}\n{"text": "\\ud83d\\ude00"}\n')
    done = run("encode", model_folder, "t.jsonl", "--out", "v.parquet", "--keep-text")
    assert done.returncode == 0, done.stderr
    table = parquet.read_table(tmp_path / "v.parquet")
    assert table["text"].to_pylist() == ["a \ufffd cat", "\U0001f600"]
    vectors = table["vector"].combine_chunks().flatten().to_numpy().reshape(-1, 16)
    np.testing.assert_array_equal(vectors, model.encode(["a \ufffd cat", "\U0001f600"]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("absent.txt", "--out", "v.npy"), "absent.txt: no such file"),
        (("texts.txt", "--out", "v.txt"), "expected .npy or .parquet"),
        (("texts.txt", "--out", "v"), "--out v has no ending, expected .npy or .parquet"),
        (("texts.txt", "--out", "absent/v.npy"), "no folder absent"),
        (("texts.txt", "--out", "folder.npy"), "is a folder, expected a file"),
        ((".", "--out", "v.npy"), "is a folder, expected a file of texts"),
        (("texts.dat", "--out", "v.npy"), "--format"),
        (("texts.txt", "--out", "v.npy", "--dim", "17"), "at most the model's 16"),
        (("texts.txt", "--out", "v.npy", "--keep-text"), "expected a .parquet file"),
        (("texts.csv", "--out", "v.npy"), "column 'text' is absent among 'a', 'b'"),
        (("texts.csv", "--out", "v.npy", "--column", "c"), "column 'c' is absent"),
        (("same.npy", "--format", "txt", "--out", "same.npy"), "the input itself"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    run: Run, tmp_path: Path, model_folder: Path, arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "texts.txt").write_text("hello\n")
    (tmp_path / "texts.dat").write_text("hello\n")
    (tmp_path / "same.npy").write_text("hello\n")
    (tmp_path / "texts.csv").write_text("a,b\n1,2\n")
    (tmp_path / "folder.npy").mkdir()
    before = sorted(tmp_path.iterdir())
    done = run("encode", model_folder, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("vecsmith: error: ")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_a_file_that_breaks_late_leaves_nothing(
    run: Run, tmp_path: Path, model_folder: Path
) -> None:
    lines = [json.dumps({"text": text}) for text in random_texts(40_000)]
    write_lines(tmp_path / "texts.jsonl", [*lines, "{broken"])
    done = run("encode", model_folder, "texts.jsonl", "--out", "vectors.npy")
    assert done.returncode == 1
    assert "texts.jsonl: line 40001: " in done.stderr
    assert not (tmp_path / "vectors.npy").exists()
    assert leftovers(tmp_path) == []


def test_a_full_disk_is_one_line(
    environment: dict[str, str], model_folder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("resource")
    write_lines(tmp_path / "texts.txt", random_texts(20_000))
    # a limit on the size of files fails a write as a full disk does, by OSError
    code = f"""
import resource, signal, sys
from vecsmith.cli import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
sys.exit(main(["encode", {str(model_folder)!r}, "texts.txt", "--out", "vectors.npy"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (
        1,
        "vecsmith: error: vectors.npy: file too large; what is done is kept, the same command "
        "goes on with it\n",
    )
    assert not (tmp_path / "vectors.npy").exists()

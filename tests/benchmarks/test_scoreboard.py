"""The scoreboard's record and page say what the results say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyarrow")
pytest.importorskip("sklearn")

from benchmarks._record import write_record
from benchmarks._scoreboard import Board, markdown, payload
from vecsmith import evaluate
from vecsmith.evaluation.baselines import RandomVectors
from vecsmith.evaluation.baselines.lexical import Tfidf
from vecsmith.evaluation.speed import measure_speeds
from vecsmith.formats.checkpoint import Checkpoint
from vecsmith.model import StaticModel
from vecsmith.results import View

WORDS = "the cat sat on a mat with the dog and played hello world".split()


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of pairs in two languages, one of labelled texts, one of documents."""
    draw = np.random.default_rng(0)

    def text() -> str:
        return " ".join(draw.choice(WORDS, 6))

    pairs = [
        {"sentence1": text(), "sentence2": text(), "score": float(draw.random()), "lang": lang}
        for lang in ("de", "fr") for _ in range(30)
    ]  # fmt: skip
    labelled = [{"text": text(), "label": "ab"[i % 2], "split": "train" if i < 40 else "test"}
                for i in range(80)]  # fmt: skip
    folder = tmp_path_factory.mktemp("scoreboard") / "sets"
    write_rows(folder / "pairs" / "data.jsonl", pairs)
    write_rows(folder / "labelled" / "data.jsonl", labelled)
    write_rows(
        folder / "found" / "corpus.jsonl", [{"id": f"d{i}", "text": text()} for i in range(30)]
    )
    write_rows(
        folder / "found" / "queries.jsonl", [{"id": f"q{i}", "text": text()} for i in range(9)]
    )
    judged = [{"query_id": f"q{i}", "doc_id": f"d{i}", "relevance": 1} for i in range(9)]
    write_rows(folder / "found" / "qrels.jsonl", judged)
    return folder


@pytest.fixture(scope="module")
def board(sets: Path, tiny_checkpoint: Checkpoint) -> Board:
    model, chance, words = StaticModel(tiny_checkpoint), RandomVectors(16), Tfidf()
    results = {
        "teacher": evaluate(model, sets, name="teacher", dims=[16, 8], measure_speed=False),
        "chance": evaluate(chance, sets, name="chance", dims=[8], measure_speed=False),
        "words": evaluate(words, sets, name="words", measure_speed=False),
    }
    return Board(
        roles={"teacher": "teacher", "chance": "model", "words": "baseline"},
        suites={"english": results},
        speeds=measure_speeds({"teacher": model, "chance": chance}, WORDS * 20),
    )


def record_of(board: Board) -> dict[str, Any]:
    record = payload(board) | {
        "date": "2026-01-01T00:00:00+00:00",
        "commit": "abc",
        "machine": {"cpu": "some", "cores_usable": 2, "load_average": 0.1},
        "settings": {
            "teacher": "org/teacher",
            "teacher_compute_dtype": "float32",
            "teacher_threads": 2,
        },
        "versions": {"numpy": "2", "absent": None},
    }
    found: dict[str, Any] = json.loads(json.dumps(record, allow_nan=False))
    return found


def test_the_record_holds_the_figures_of_the_results(board: Board) -> None:
    found = record_of(board)["suites"]["english"]
    result = board.suites["english"]["teacher"]
    for name, task in result.tasks.items():
        for view in task.scores:
            value, low, high = found["scores"][name]["teacher"][str(view)]
            assert value == pytest.approx(task.score(view), abs=1e-5)
            assert (low, high) == pytest.approx(result.interval(name, view), abs=1e-5)
        assert found["tasks"][name]["data_hash"] == task.data_hash
        assert found["tasks"][name]["items"] == task.n_items
    view = View(8)
    value = found["averages"]["sets"]["scores"]["teacher"]["8 float32"][0]
    by_set = [
        np.mean([task.score(view) for task in result.tasks.values() if task.set == name])
        for name in {task.set for task in result.tasks.values()}
    ]
    assert value == pytest.approx(np.mean(by_set), abs=1e-5)


def test_words_are_on_the_board_where_they_say_something(board: Board) -> None:
    found = record_of(board)["suites"]["english"]
    assert set(found["averages"]["retrieval"]["scores"]) == {"teacher", "chance", "words"}
    assert set(found["averages"]["similarity"]["scores"]) == {"teacher", "chance"}
    assert "words" not in found["averages"]["sets"]["scores"]


def test_the_page_has_every_contender_and_set_once_a_table(board: Board) -> None:
    record = record_of(board)
    page = markdown(record)
    tables = [
        [line.split("|")[1:-1] for line in block.splitlines()]
        for block in page.split("\n\n") if block.startswith("|")
    ]  # fmt: skip
    assert all(len({len(row) for row in table}) == 1 for table in tables)
    families, sets = tables
    assert [row[0].strip() for row in families[2:]] == ["teacher", "chance", "words"]
    assert [row[0].strip() for row in sets[2:]] == ["found", "labelled", "pairs (2 languages)"]
    value, low, high = record["suites"]["english"]["scores"]["found"]["words"]["text"]
    assert sets[2][5].strip() == f"{100 * value:.1f} ± {50 * (high - low):.1f}"
    assert sets[4][5].strip() == ""  # words have nothing to say of pairs
    assert "absent" not in page


def test_the_written_record_is_the_record_with_a_line_for_each_figure(
    board: Board, tmp_path: Path
) -> None:
    found = payload(board) | {"text": "[ 1, 2 ]", "empty": [], "words": ["a", "b"]}
    text = write_record("scoreboard", found, folder=tmp_path).read_text(encoding="utf-8")
    written = json.loads(text)
    assert {name: written[name] for name in found} == json.loads(json.dumps(found))
    figures = found["suites"]["english"]["scores"]["found"]["words"]["text"]
    assert f'"text": {json.dumps(figures)}' in text

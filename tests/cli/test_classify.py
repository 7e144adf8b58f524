"""`vecsmith classify`, from its arguments to what it prints and writes."""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
from collections.abc import Callable
from io import BytesIO, TextIOWrapper
from itertools import pairwise
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import accuracy_score, f1_score

from tests.cli.running import write_lines
from vecsmith import StaticModel
from vecsmith.classification import AdaptiveClassifier
from vecsmith.cli import main
from vecsmith.cli._classifying import FittedModel

Run = Callable[..., "CompletedProcess[str]"]

_TOPICS = {"animals": ["cat", "dogs", "zebra"], "play": ["play", "playing", "played"]}
_OTHERS = ["the", "a", "on", "mat", "sat", ",", "."]


def labelled(n: int, seed: int = 0) -> list[dict[str, Any]]:
    """Texts, mostly about what their label says."""
    draw = random.Random(seed)
    rows = []
    for place in range(n):
        label = draw.choice(list(_TOPICS))
        words = draw.choices(_TOPICS[label], k=2) + draw.choices(_OTHERS, k=4)
        split = "test" if place % 4 == 0 else "train"
        rows.append({"text": " ".join(words), "label": label, "split": split})
    return rows


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `vecsmith ARGUMENTS` in the test's folder, in this process."""
    monkeypatch.chdir(tmp_path)

    def run_command(*arguments: str | int | Path, stdin: bytes = b"") -> CompletedProcess[str]:
        monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(stdin)))
        given = [str(argument) for argument in arguments]
        code = main(given)
        printed = capsys.readouterr()
        return CompletedProcess(given, code, printed.out, printed.err)

    return run_command


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return labelled(240)


@pytest.fixture
def table(tmp_path: Path, rows: list[dict[str, Any]]) -> Path:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.fixture
def fitted(tmp_path: Path, table: Path, model_folder: Path, run: Run) -> Path:
    done = run("classify", "fit", model_folder, table, "--split", "train", "--out", "kind", "-q")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return tmp_path / "kind"


def test_a_fit_tells_what_it_learnt_and_what_it_costs(
    run: Run, table: Path, model_folder: Path, tmp_path: Path, model: StaticModel
) -> None:
    done = run(
        "classify", "fit", model_folder, table, "--out", "kind", "--max-accuracy-loss", "0.05",
        "--dims", f"2,{model.dim}", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["rows"] == 240
    assert result["dims"] == [2, model.dim]
    assert result["validation_accuracy"] > 0.9
    assert 0 < result["expected_dims"] <= result["expected_total_dims"] <= model.dim + 2
    opened = AdaptiveClassifier.open(tmp_path / "kind")
    assert opened.classes_.tolist() == ["animals", "play"]
    assert opened.max_accuracy_loss == 0.05


def test_printed_labels_are_those_of_the_classifier_on_the_models_vectors(
    run: Run, fitted: Path, rows: list[dict[str, Any]], tmp_path: Path, model: StaticModel
) -> None:
    texts = [row["text"] for row in rows[:50]] + [""]
    write_lines(tmp_path / "texts.txt", texts)
    done = run("classify", "predict", "kind", "texts.txt")
    assert done.returncode == 0, done.stderr
    expected = AdaptiveClassifier.open(fitted).predict(model.encode(texts))
    assert done.stdout.splitlines() == expected.tolist()
    piped = run("classify", "predict", "kind", "-", stdin="\n".join(texts[:3]).encode())
    assert piped.stdout.splitlines() == expected[:3].tolist()


@pytest.mark.parametrize("name", ["told.jsonl", "told.parquet"])
def test_a_file_holds_texts_labels_and_how_they_were_decided(
    name: str, run: Run, fitted: Path, table: Path, tmp_path: Path, model: StaticModel
) -> None:
    done = run("classify", "predict", fitted, table, "--out", name, "--explain", "--probabilities")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "240 texts" in done.stderr
    if name.endswith("jsonl"):
        told = [json.loads(line) for line in (tmp_path / name).read_text("utf-8").splitlines()]
        first = [row["probabilities"]["animals"] for row in told]
    else:
        told = pq.read_table(tmp_path / name).to_pylist()
        first = [row["probability of animals"] for row in told]
    texts = [row["text"] for row in pq.read_table(table).to_pylist()]
    decisions = AdaptiveClassifier.open(fitted).decide(model.encode(texts))
    assert [row["text"] for row in told] == texts
    assert [row["dims"] for row in told] == decisions.dims.tolist()
    assert [row["total_dims"] for row in told] == decisions.total_dims.tolist()
    assert first == pytest.approx(decisions.probabilities[:, 0].tolist(), abs=1e-6)
    sure = decisions.probabilities.max(axis=1).tolist()
    assert [row["confidence"] for row in told] == pytest.approx(sure, abs=1e-6)


@pytest.mark.parametrize("name", ["told.jsonl", "told.parquet"])
def test_an_interrupted_run_goes_on_and_writes_the_same(
    name: str, run: Run, fitted: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vecsmith.cli import _predictions

    monkeypatch.setattr(_predictions, "MAX_ROWS", 50)
    arguments = ["classify", "predict", fitted, table, "--explain", "--probabilities", "-q"]
    assert run(*arguments, "--out", f"whole-{name}").returncode == 0
    decide, calls = FittedModel.decide, []

    def interrupted(self: FittedModel, texts: list[str]) -> Any:
        calls.append(len(texts))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return decide(self, texts)

    monkeypatch.setattr(FittedModel, "decide", interrupted)
    stopped = run(*arguments, "--out", name)
    assert stopped.returncode == 130
    assert "the same command goes on from here" in stopped.stderr
    assert not (tmp_path / name).exists()
    other = run(*arguments, "--max-dim", "64", "--out", name)
    assert "an unfinished run of 100 texts does not fit this command" in other.stderr
    assert run(*arguments, "--out", name).returncode == 0
    assert (tmp_path / name).read_bytes() == (tmp_path / f"whole-{name}").read_bytes()
    assert sum(calls[3:]) == 140  # of 240: what was done is not done again
    assert not [entry for entry in os.listdir(tmp_path) if entry.endswith(".part")]


def test_scores_are_those_of_scikit_learn(
    run: Run, fitted: Path, table: Path, rows: list[dict[str, Any]], model: StaticModel
) -> None:
    done = run("classify", "eval", fitted, table, "--split", "test", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    test = [row for row in rows if row["split"] == "test"]
    gold = [row["label"] for row in test]
    classifier = AdaptiveClassifier.open(fitted)
    vectors = model.encode([row["text"] for row in test])
    predicted = classifier.predict(vectors)
    assert result["rows"] == len(test) == 60
    assert result["accuracy"]["value"] == pytest.approx(accuracy_score(gold, predicted))
    assert result["macro_f1"] == pytest.approx(f1_score(gold, predicted, average="macro"))
    assert result["dims_used"]["last"] == classifier.decide(vectors).dims.mean()
    assert sum(head["decided"] for head in result["heads"]) == pytest.approx(1)
    assert run("classify", "eval", fitted, table, "--split", "test").stdout.startswith("accuracy ")


def test_the_longest_prefix_may_be_capped(run: Run, fitted: Path, table: Path) -> None:
    shortest = AdaptiveClassifier.open(fitted).dims_[0]
    capped = run("classify", "eval", fitted, table, "--max-dim", shortest, "--json")
    assert json.loads(capped.stdout)["dims_used"]["last"] == shortest
    none = run("classify", "eval", fitted, table, "--max-dim", "1")
    assert none.returncode == 1
    assert "max_dim is 1, expected at least" in none.stderr


def test_several_labels_a_text_are_told_as_lists(
    run: Run, tmp_path: Path, model_folder: Path, rows: list[dict[str, Any]]
) -> None:
    several = [
        {"text": f"{a['text']} {b['text']}", "label": sorted({a["label"], b["label"]})}
        for a, b in pairwise(rows)
    ]
    lines = [json.dumps(row) for row in several]
    write_lines(tmp_path / "several.jsonl", lines)
    assert run("classify", "fit", model_folder, "several.jsonl", "--out", "kinds").returncode == 0
    done = run("classify", "predict", "kinds", "several.jsonl")
    told = [json.loads(line)["label"] for line in done.stdout.splitlines()]
    right = np.mean([a == b["label"] for a, b in zip(told, several, strict=True)])
    assert right > 0.8
    score = json.loads(run("classify", "eval", "kinds", "several.jsonl", "--json").stdout)
    assert score["accuracy"]["value"] == pytest.approx(right)


def test_another_model_is_refused_and_a_moved_one_is_named(
    run: Run, fitted: Path, model_folder: Path, tmp_path: Path, model: StaticModel
) -> None:
    moved = shutil.copytree(model_folder, tmp_path / "moved")
    assert run("classify", "predict", fitted, "-", "--model", moved, stdin=b"a cat").stdout
    block = json.loads((fitted / "classifier.json").read_text("utf-8"))
    block["about"]["encoder"]["fingerprint"] = "another"
    (fitted / "classifier.json").write_text(json.dumps(block), "utf-8")
    # the fingerprint alone may change with a library: fixed sentences come out as before
    assert run("classify", "predict", fitted, "-", stdin=b"a cat").returncode == 0
    block["about"]["encoder"]["probes"] = [row[::-1] for row in block["about"]["encoder"]["probes"]]
    (fitted / "classifier.json").write_text(json.dumps(block), "utf-8")
    done = run("classify", "predict", fitted, "-", stdin=b"a cat")
    assert done.returncode == 1
    assert "is not the model of" in done.stderr
    assert "name where that is now with --model" in done.stderr


def test_a_broken_input_leaves_the_file_before_as_it_was(
    run: Run, fitted: Path, tmp_path: Path
) -> None:
    (tmp_path / "told.jsonl").write_text("before")
    (tmp_path / "bad.jsonl").write_text('{"text": "a cat"}\n{"text": 3}\n')
    done = run("classify", "predict", fitted, "bad.jsonl", "--out", "told.jsonl")
    assert done.returncode == 1
    assert "bad.jsonl: line 2: 'text' is a number, expected a string" in done.stderr
    assert (tmp_path / "told.jsonl").read_text() == "before"
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".told")]


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        ('{"text": "a"}', [], "column 'label' is absent, expected one of 'text'"),
        ("", [], "rows.jsonl: no rows, expected some with the column 'text'"),
        (
            '{"text": "a", "label": null}',
            [],
            "line 1: the label, column 'label', is null, expected a",
        ),
        (
            '{"text": "a", "label": [["x"]]}',
            [],
            "line 1: the label, column 'label', is a list, expected",
        ),
        (
            '{"text": "a", "label": ' + "[" * 900 + "]" * 900 + "}",
            [],
            "line 1: the label, column 'label'",
        ),
        (
            '{"text": "a", "label": 1}\n{"text": "a", "label": 9223372036854775808}',
            [],
            "line 2: the label, column 'label', is 9223372036854775808, expected a whole number",
        ),
        ('{"text": "a", "label": [-1e300]}', [], "expected a whole number that 64 bits hold"),
        ('{"text": "a", "label": true}', [], "the only row has the label True, expected two"),
        (
            '{"text": "a", "label": ["x"]}\n{"text": "b", "label": []}',
            [],
            "hold no label but 'x', expected two different ones at least; of one alone write true",
        ),
        ('{"text": "a", "label": []}', [], "the lists of labels hold no label, expected two"),
        ('{"text": "a", "label": "x"}', [], "the only row has the label 'x', expected two"),
        (
            '{"text": "a", "label": 1.5}',
            [],
            "the label, column 'label', is a number, expected a string",
        ),
        (
            '{"text": "a", "label": "x"}\n{"text": "a", "label": ["x"]}',
            [],
            "some rows have one label and some a list",
        ),
        (
            '{"text": "a", "label": "x", "split": "test"}',
            ["--split", "train"],
            "has no rows whose split is 'train', expected some to learn from",
        ),
        ('{"text": "a", "label": "x"}', ["--split", "train"], "leave --split out to read all rows"),
    ],
)
def test_rows_that_cannot_be_learnt_from_are_refused(
    content: str, arguments: list[str], message: str, run: Run, tmp_path: Path, model_folder: Path
) -> None:
    write_lines(tmp_path / "rows.jsonl", [content])
    done = run("classify", "fit", model_folder, "rows.jsonl", "--out", "kind", *arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert not (tmp_path / "kind").exists()


def test_where_no_text_can_be_held_out_nothing_is_told_of_how_good_it_is(
    run: Run, tmp_path: Path, model_folder: Path
) -> None:
    texts = ["a cat sat", "the dogs played"]
    lines = [json.dumps({"text": text, "label": text[-1]}) for text in texts]
    write_lines(tmp_path / "two.jsonl", lines)
    with pytest.warns(UserWarning, match="2 rows are too few to hold one out"):
        done = run("classify", "fit", model_folder, "two.jsonl", "--out", "kind", "--json")
    told = json.loads(done.stdout, parse_constant=pytest.fail)
    assert told["validation_accuracy"] is told["expected_dims"] is None
    assert told["validation_loss"] == {"value": None, "low": None, "high": None}
    write_lines(tmp_path / "texts.txt", texts)
    assert run("classify", "predict", "kind", "texts.txt").stdout == "t\nd\n"
    arguments = ["--max-accuracy-loss", "0.1", "--surely", "--out", "sure"]
    done = run("classify", "fit", model_folder, "two.jsonl", *arguments)
    assert done.returncode == 1
    assert "no loss of accuracy is sure" in done.stderr
    assert not (tmp_path / "sure").exists()


def test_a_folder_that_is_no_classifier_is_refused(run: Run, model_folder: Path) -> None:
    done = run("classify", "predict", model_folder, "-", stdin=b"a")
    assert done.returncode == 1
    assert "no classifier.json there, expected a folder that a classifier was saved as" in (
        done.stderr
    )


def test_a_place_to_write_is_looked_at_before_the_texts_are_encoded(
    call: Run, tmp_path: Path, model_folder: Path
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("x")
    (tmp_path / "file").write_text("x")
    for out, told in [
        ("full", "full: holds mine, which would be lost, expected an empty folder"),
        ("file", "file: is a file, expected a folder or nothing there"),
        ("file/kind", "file: is a file, expected a folder to write kind in"),
    ]:
        done = call("classify", "fit", model_folder, "absent.jsonl", "--out", out)
        assert (done.returncode, told in done.stderr) == (1, True), done.stderr
    done = call("classify", "fit", model_folder, "absent.jsonl", "--out", "new")
    assert "absent.jsonl: no such file, expected a file; check its name" in done.stderr
    assert sorted(os.listdir(tmp_path)) == ["file", "full"]

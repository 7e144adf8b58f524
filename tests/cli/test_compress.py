from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.running import Run, write_lines
from vecsmith import StaticModel
from vecsmith.compression import cluster, prune, with_dtype
from vecsmith.formats import Checkpoint, open_checkpoint, write_checkpoint

TEXTS = ["the cat sat on the mat", "hello world", "dogs play"] * 4
ANSWERS = [("hello world", "world"), ("the cat", "cat"), ("a dog plays", "dog"), ("mat", "the mat")]


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    """A folder of two small sets: similarity and pairs of a text and its answer."""
    folder = tmp_path / "sets"
    (folder / "likeness").mkdir(parents=True)
    rows = [
        {"sentence1": first, "sentence2": second, "score": place % 5, "split": "dev"}
        for place, first in enumerate(TEXTS[:3] * 3)
        for second in (first[:5], "playing dogs", "world")
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "likeness" / "data.jsonl").write_text(text, encoding="utf-8")
    return folder


def facts_of(done: Any) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


def test_a_model_in_four_bits_is_that_of_the_library(
    call: Run, model_folder: Path, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    facts = facts_of(call("compress", model_folder, "--dtype", "int4", "--out", "small", "--json"))
    assert [step["step"] for step in facts["steps"]] == ["as it was", "int4"]
    assert facts["steps"][0]["table_bytes"] > 3 * facts["steps"][1]["table_bytes"]
    expected = with_dtype(StaticModel.from_pretrained(model_folder).checkpoint, "int4")
    found = open_checkpoint(tmp_path / "small")
    for one, other in zip(found.arrays, expected.arrays, strict=True):
        np.testing.assert_array_equal(one, other)
    shown = call("info", "small")
    assert "16 int4" in shown.stdout
    assert json.loads(call("info", "small", "--json").stdout)["table"]["dtype"] == "int4"
    assert "step" in (tmp_path / "small" / "README.md").read_text()


def test_steps_are_taken_in_order_and_each_is_scored(
    call: Run, model_folder: Path, sets: Path, tmp_path: Path
) -> None:
    texts = write_lines(tmp_path / "texts.txt", TEXTS)
    asked = ("--dim", 8, "--vocabulary", 85, "--clusters", 30, "--dtype", "int8")
    done = call(
        *("compress", model_folder, *asked, "--counts", texts, "--eval", sets),
        *("--out", "small", "--json"),
    )
    facts = facts_of(done)
    steps = facts["steps"]
    names = ["as it was", "8 dims", "85 tokens", "30 rows", "int8"]
    assert [step["step"] for step in steps] == names
    assert [step["dim"] for step in steps] == [16, 8, 8, 8, 8]
    assert [step["rows"] for step in steps][2:] == [85, 30, 30]
    assert facts["n_texts_counted"] == 3  # each text once
    for step in steps[1:]:
        difference = step["scores"]["similarity"] - steps[0]["scores"]["similarity"]
        assert step["changes"]["similarity"]["difference"] == pytest.approx(difference)
    found = open_checkpoint(tmp_path / "small")
    assert found.table_dtype == "int8"
    measured = found.config["vecsmith"]["compression"]
    assert measured["steps"] == names[1:]
    assert set(measured["change_of_score"]) == {"similarity", "families"}


def test_counts_decide_what_stays_also_after_pruning(
    call: Run, model_folder: Path, tmp_path: Path
) -> None:
    texts = write_lines(tmp_path / "texts.txt", ["mat dog", "playing"])
    done = call(
        *("compress", model_folder, "--vocabulary", 86, "--clusters", 40, "--counts", texts),
        *("--out", "small", "--quiet"),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    checkpoint = StaticModel.from_pretrained(model_folder).checkpoint
    counts = np.zeros(checkpoint.n_tokens)
    model = StaticModel(checkpoint)
    for text in ("mat dog", "playing"):
        counts += np.bincount(model.tokenize(text), minlength=len(counts))
    pruned = prune(checkpoint, 86, counts=counts)
    before = {token: i for i, token in enumerate(_tokens(checkpoint))}
    kept = counts[[before[token] for token in _tokens(pruned)]]
    expected = cluster(pruned, 40, counts=kept)
    found = open_checkpoint(tmp_path / "small")
    np.testing.assert_array_equal(found.mapping, expected.mapping)
    assert "mat" in _tokens(found)


def _tokens(checkpoint: Checkpoint) -> list[str]:
    vocabulary = json.loads(checkpoint.tokenizer_json)["model"]["vocab"]
    return sorted(vocabulary, key=vocabulary.__getitem__)


def test_people_are_told_sizes_and_what_was_not_measured(
    call: Run, model_folder: Path, sets: Path
) -> None:
    done = call("compress", model_folder, "--dtype", "float16", "--out", "small")
    assert done.returncode == 0, done.stderr
    assert "not measured: name a folder of sets with --eval" in done.stdout
    assert "float16" in done.stdout
    done = call("compress", model_folder, "--dtype", "int4", "--eval", sets, "--out", "small")
    assert done.returncode == 0, done.stderr
    for words in ("score x100, dev", "mean of families", "95 % interval"):
        assert words in done.stdout


def test_int4_becomes_a_model_for_the_other_libraries_again(
    call: Run, model_folder: Path, tmp_path: Path
) -> None:
    call("compress", model_folder, "--dtype", "int4", "--out", "small", "--quiet")
    call("compress", "small", "--dtype", "float32", "--out", "again", "--quiet")
    model2vec = pytest.importorskip("model2vec", reason="compares with model2vec")
    theirs = model2vec.StaticModel.from_pretrained(tmp_path / "again")
    ours = StaticModel.from_pretrained(tmp_path / "small")
    texts = ["the cat sat", "hello dogs"]
    np.testing.assert_allclose(theirs.encode(texts), ours.encode(texts), atol=1e-6)


def test_a_shared_table_keeps_its_type(
    call: Run, tmp_path: Path, tiny_checkpoint: Checkpoint
) -> None:
    write_checkpoint(tmp_path / "eight", with_dtype(tiny_checkpoint, "int8"))
    facts = facts_of(call("compress", "eight", "--clusters", 20, "--out", "small", "--json"))
    assert [step["dtype"] for step in facts["steps"]] == ["int8", "float32", "int8"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "nothing to do, expected --dtype, --dim, --vocabulary or --clusters"),
        (("--dtype", "int2"), 2, "'int2' is not one of"),
        (("--dim", "17"), 2, "expected at most 16"),
        (("--dim", "0"), 2, "'--dim'"),
        (("--dtype", "int4", "--counts", "texts.txt"), 2, "--counts without --vocabulary"),
        (("--dtype", "int4", "--suite", "groups"), 2, "--suite without --eval"),
        (("--vocabulary", "9", "--text-column", "a"), 2, "--text-column without --counts"),
        (("--vocabulary", "9", "--counts", "none.txt"), 1, "none.txt"),
        (("--vocabulary", "9", "--counts", "strange.txt"), 1, "not one token of the model"),
        (("--dtype", "int4", "--eval", "nowhere"), 1, "--eval nowhere: no such folder"),
    ],
)
def test_what_cannot_be_done_is_refused_and_nothing_is_written(
    call: Run, model_folder: Path, tmp_path: Path, arguments: Any, code: int, message: str
) -> None:
    write_lines(tmp_path / "texts.txt", TEXTS)
    write_lines(tmp_path / "strange.txt", ["\u200b"])
    done = call("compress", model_folder, *arguments, "--out", "small")
    assert done.returncode == code
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "small").exists()


def test_a_folder_of_something_else_is_never_replaced(
    call: Run, model_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    done = call("compress", model_folder, "--dtype", "int4", "--out", "mine")
    assert done.returncode == 1
    assert "notes.txt" in done.stderr
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"


def test_a_model_may_take_its_own_place(
    call: Run, tmp_path: Path, tiny_checkpoint: Checkpoint
) -> None:
    write_checkpoint(tmp_path / "mine", replace(tiny_checkpoint, card={"license": "mit"}))
    before = StaticModel.from_pretrained(tmp_path / "mine").encode(TEXTS)
    assert call("compress", "mine", "--dtype", "int8", "--out", "mine", "--quiet").returncode == 0
    after = StaticModel.from_pretrained(tmp_path / "mine")
    assert after.checkpoint.card["license"] == "mit"
    np.testing.assert_allclose(after.encode(TEXTS), before, atol=0.02)

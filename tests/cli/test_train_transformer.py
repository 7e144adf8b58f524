from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch is not installed (extra train)")
pytest.importorskip("transformers", reason="transformers is not installed (extra distill)")
pytest.importorskip("scipy", reason="scipy is not installed (extra eval)")

from tests.cli.running import Run, leftovers
from tests.training.toy_runs import graded_pairs, word_pairs
from tests.transformer.teachers import save_teacher
from vecsmith.training import read_curve
from vecsmith.transformer.text_encoder import TextEncoder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A transformer, pairs and a folder of sets."""
    save_teacher(tmp_path / "base", "bert")
    rows = [json.dumps({"anchor": a, "positive": b}) + "\n" for a, b in word_pairs(100)]
    (tmp_path / "pairs.jsonl").write_text("".join(rows), encoding="utf-8")
    (tmp_path / "dev" / "alike").mkdir(parents=True)
    lines = [
        json.dumps({"sentence1": a, "sentence2": b, "score": score, "split": split})
        for split in ("dev", "test")
        for a, b, score in graded_pairs(40, seed=len(split))
    ]
    (tmp_path / "dev" / "alike" / "data.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path


def test_a_transformer_is_trained_over_dims_and_layers_and_chosen_on_dev(
    call: Run, folder: Path
) -> None:
    done = call(
        *("train", "transformer", "--base", "base", "--pairs", "pairs.jsonl", "--eval", "dev/"),
        *("--dims", "16,8", "--layers", "all", "--out", "nested", "--steps", "4"),
        *("--evaluate-every", "2", "--batch-size", "16", "--device", "cpu"),
    )
    assert done.returncode == 0, done.stderr
    assert "4 of 4 steps on 100 pairs" in done.stdout
    assert "2 layers, 16 dimensions" in done.stdout
    assert "pairs.jsonl: anchor=anchor, positive=positive; info_nce" in done.stderr
    assert "dev score" in done.stdout
    ours = json.loads((folder / "nested" / "config.json").read_text())["vecsmith"]
    assert (ours["matryoshka_dims"], ours["layers"]) == ([8, 16], [1, 2])
    assert [row["name"] for row in ours["scores"]] == ["alike", "similarity"]
    assert set(ours["scores"][0]["dims"]) == {"8"}
    assert TextEncoder.from_pretrained(folder / "nested", dim=8, n_layers=1).dim == 8
    run = folder / "nested.run"
    assert [each.step for each in read_curve(run / "curve.json").evaluations] == [0, 2, 4]
    left = {path.name for path in run.iterdir()}
    assert left <= {"lock", "run.json", "curve.json", "curve.png", "curve.svg", "scores"}
    assert leftovers(folder) == []


def test_mistakes_are_told_in_the_words_of_the_command(call: Run, folder: Path) -> None:
    asked = ("train", "transformer", "--base", "base", "--pairs", "pairs.jsonl", "--out", "new")
    for options, message in (
        (("--layers", "1"), r"--layers [1], expected different depths from 1 to 2"),
        (("--max-length", "600"), "--max-length 600, expected 3 to 512"),
        (("--loss", "similarity_mse"), "expected --teacher MODEL"),
        (("--mini-batch", "-1"), "--mini-batch -1, expected 0 or more texts"),
        (("--out", "base"), "--out base, the folder of the model itself"),
        (("--out", "no/where"), "--out no/where: no folder no, expected one that exists"),
    ):
        done = call(*asked, *options)
        assert done.returncode != 0
        assert message in done.stderr.splitlines()[-1]
    assert sorted(path.name for path in folder.iterdir()) == ["base", "dev", "pairs.jsonl"]

"""`vecsmith compress` of transformers, in this process."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("transformers", reason="cuts transformers (extra distill)")

from tests.cli.running import Run
from tests.cli.test_compress import facts_of
from tests.transformer.teachers import TEXTS, save_teacher
from vecsmith.transformer.loading import load_model
from vecsmith.transformer.rotation import rotate_encoder
from vecsmith.transformer.saving import save_encoder
from vecsmith.transformer.source import find_teacher
from vecsmith.transformer.text_encoder import TextEncoder


@pytest.fixture
def nested(tmp_path: Path) -> Path:
    """A transformer that says it was trained for half its depth and half its width."""
    source = find_teacher(save_teacher(tmp_path / "base", "bert", n_layers=4))
    model = load_model(source, "float32", trust_remote_code=False, needs_pooler=False)
    save_encoder(model, source, tmp_path / "nested", dims=[8, 16], layers=[2, 4])
    return tmp_path / "nested"


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    """A folder of one small set of similarity."""
    folder = tmp_path / "sets" / "likeness"
    folder.mkdir(parents=True)
    rows = [
        {"sentence1": one, "sentence2": other, "score": (i + j) % 5, "split": "dev"}
        for i, one in enumerate(TEXTS[:7])
        for j, other in enumerate(TEXTS[:7])
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "data.jsonl").write_text(text, encoding="utf-8")
    return tmp_path / "sets"


def test_layers_and_dims_are_cut_as_the_library_does(
    call: Run, nested: Path, tmp_path: Path
) -> None:
    done = call("compress", nested, "--layers", 2, "--dim", 8, "--out", "small", "--json")
    facts = facts_of(done)
    assert [step["step"] for step in facts["steps"]] == ["as it was", "2 layers", "8 dims"]
    assert [(step["layers"], step["dim"]) for step in facts["steps"]] == [(4, 16), (2, 16), (2, 8)]
    assert facts["steps"][0]["weight_bytes"] > facts["steps"][1]["weight_bytes"]
    assert "not trained" not in done.stderr
    found = TextEncoder.from_pretrained(tmp_path / "small").encode(TEXTS)
    asked = TextEncoder.from_pretrained(nested, n_layers=2, dim=8).encode(TEXTS)
    np.testing.assert_allclose(found, asked, atol=1e-6)


def test_each_step_is_scored_beside_the_whole_model(call: Run, nested: Path, sets: Path) -> None:
    asked = ("--layers", 2, "--dim", 8, "--eval", sets)
    steps = facts_of(call("compress", nested, *asked, "--out", "small", "--json"))["steps"]
    for step in steps[1:]:
        difference = step["scores"]["similarity"] - steps[0]["scores"]["similarity"]
        assert step["changes"]["similarity"]["difference"] == pytest.approx(difference)
    assert steps[1]["scores"] != steps[0]["scores"]
    shown = call("compress", nested, *asked, "--out", "small")
    assert shown.returncode == 0, shown.stderr
    for words in ("score x100, dev", "2 layers", "95 % interval"):
        assert words in shown.stdout


def test_a_dim_alone_finds_out_that_the_model_is_a_transformer(
    call: Run, nested: Path, tmp_path: Path
) -> None:
    done = call("compress", nested, "--dim", 4, "--out", "small")
    assert done.returncode == 0, done.stderr
    assert "not measured: name a folder of sets with --eval" in done.stdout
    assert "not trained for 4 dims but for 8, 16" in done.stderr
    assert TextEncoder.from_pretrained(tmp_path / "small").dim == 4
    assert call("compress", tmp_path / "base", "--layers", 1, "--out", "one").returncode == 0


@pytest.mark.parametrize(("arguments", "message"), [
    (("--layers", 5), "n_layers is 5, expected 1 to 4"),
    (("--dim", 99), "dim is 99, expected 1 to 16"),
    (("--layers", 2, "--dtype", "int8"), "--dtype of nested, which is a transformer"),
    (("--dim", 8, "--clusters", 3), "--clusters of nested, which is a transformer"),
    (("--layers", 2, "--out", "nowhere/small"), "no folder nowhere"),
    (("--layers", 2, "--out", "nested"), "the folder of the model itself"),
    (("--layers", 2, "--out", "base"), "another model, which would be lost"),
])  # fmt: skip
def test_what_cannot_be_is_refused_before_anything_is_written(
    arguments: tuple[object, ...], message: str, call: Run, nested: Path, tmp_path: Path
) -> None:
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    out = () if "--out" in arguments else ("--out", "small")
    done = call("compress", "nested", *arguments, *out)
    assert done.returncode != 0
    assert message in " ".join(done.stderr.replace("│", " ").split())
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_layers_of_a_static_model_are_refused(call: Run, model_folder: Path) -> None:
    done = call("compress", model_folder, "--layers", 2, "--out", "small")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "expected a transformer" in done.stderr


def test_a_folder_that_is_neither_is_refused_as_before(call: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = call("compress", "empty", "--dim", 2, "--out", "small")
    assert done.returncode == 1
    assert "expected a static model" in done.stderr


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """A file of more texts than dimensions."""
    lines = [f"{text} {i % 5} {'xyz'[i % 3] * (i % 4)}" for i, text in enumerate(TEXTS * 4)]
    (tmp_path / "texts.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path / "texts.txt"


def test_dims_are_put_in_order_between_both_cuts(
    call: Run, nested: Path, texts: Path, sets: Path, tmp_path: Path
) -> None:
    asked = ("--layers", 2, "--rotate", texts, "--dim", 8, "--eval", sets)
    facts = facts_of(call("compress", nested, *asked, "--out", "small", "--json"))
    names = ["as it was", "2 layers", "rotated", "8 dims"]
    assert [step["step"] for step in facts["steps"]] == names
    scores = [step["scores"]["similarity"] for step in facts["steps"]]
    assert scores[2] == pytest.approx(scores[1], abs=1e-9)  # by ranks of cosines, which stay
    lines = texts.read_text(encoding="utf-8").splitlines()
    rotate_encoder(TextEncoder.from_pretrained(nested, n_layers=2), lines, tmp_path / "rotated")
    expected = TextEncoder.from_pretrained(tmp_path / "rotated", dim=8).encode(TEXTS)
    found = TextEncoder.from_pretrained(tmp_path / "small").encode(TEXTS)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert not list(tmp_path.glob(".small*"))  # what was in between is gone


def test_a_rotation_alone_keeps_the_whole_vectors(
    call: Run, nested: Path, texts: Path, tmp_path: Path
) -> None:
    done = call("compress", nested, "--rotate", texts, "--out", "turned")
    assert done.returncode == 0, done.stderr
    before, after = (
        TextEncoder.from_pretrained(folder).encode(TEXTS)
        for folder in (nested, tmp_path / "turned")
    )
    np.testing.assert_allclose(after @ after.T, before @ before.T, atol=1e-4)
    assert np.abs(after - before).max() > 1e-3


def test_too_few_texts_or_too_many_dims_leave_nothing_behind(
    call: Run, nested: Path, texts: Path, tmp_path: Path
) -> None:
    (tmp_path / "few.txt").write_text("one\ntwo\n", encoding="utf-8")
    for arguments, message in (
        (("--rotate", "few.txt", "--dim", 8), "2 texts, expected at least 16"),
        (("--rotate", texts, "--dim", 99), "dim is 99, expected 1 to 16"),
    ):
        done = call("compress", nested, *arguments, "--out", "small")
        assert done.returncode == 1
        assert message in " ".join(done.stderr.split())
        assert not list(tmp_path.glob("*small*"))

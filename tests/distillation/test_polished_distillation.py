"""Distillations whose table is polished on pairs: what they give, say, refuse and survive."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tokenizers import Tokenizer as PeerTokenizer

import vecsmith
from tests.distillation import killed_polish
from tests.distillation.killed_polish import POINTS, made_pairs, polished_run
from tests.transformer.teachers import save_teacher
from vecsmith import StaticModel, distill
from vecsmith.distillation import PolishSettings, RegressionSettings
from vecsmith.distillation.polish import TargetTexts
from vecsmith.distillation.teacher_pass import TeacherPass
from vecsmith.formats.safetensors import TensorFile
from vecsmith.training.token_store import TokenStore

TEXTS, PAIRS = made_pairs()


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_teacher(tmp_path_factory.mktemp("teacher") / "bert", "bert")


def rows_of(model: StaticModel) -> NDArray[np.float32]:
    table: NDArray[np.float32] = np.asarray(model.checkpoint.table)
    return table


def contrast(model: StaticModel) -> float:
    """How far pairs are nearer to each other than to the others' texts."""
    left = model.encode([a for a, _ in PAIRS])
    right = model.encode([b for _, b in PAIRS])
    cosines = left @ right.T
    return float(np.diag(cosines).mean() - cosines.mean())


def test_pairs_come_nearer_and_the_teacher_is_kept(teacher: Path, tmp_path: Path) -> None:
    fitted = distill(teacher, texts=TEXTS, dim=6, work=tmp_path)
    polished = polished_run(teacher, tmp_path, n_steps=20)
    assert contrast(polished) > contrast(fitted) + 0.02
    both = np.sum(fitted.encode(TEXTS) * polished.encode(TEXTS), axis=1)
    assert both.mean() > 0.9
    assert rows_of(polished).shape == rows_of(fitted).shape


@pytest.mark.parametrize("power", [0.0, 0.5])
def test_targets_are_turned_as_the_table_is(teacher: Path, tmp_path: Path, power: float) -> None:
    regression = RegressionSettings(whitening=power)
    distill(
        teacher, texts=TEXTS, dim=6, pairs=PAIRS, work=tmp_path, regression=regression,
        polish=PolishSettings(n_steps=1),
    )  # fmt: skip
    kept = TensorFile(tmp_path / "fitted.safetensors")
    texts = TargetTexts(TeacherPass(tmp_path / "pass"), np.array(kept.tensor("rotation")))
    bag, targets = texts.draw(10_000, 0)
    table, ends = kept.tensor("table"), bag.offsets
    means = np.stack([table[bag.ids[b:e]].mean(axis=0) for b, e in pairwise(ends)])
    cosines = np.sum(means * targets, axis=1)
    cosines /= np.linalg.norm(means, axis=1) * np.linalg.norm(targets, axis=1)
    assert cosines.mean() > 0.8


def test_a_run_ends_with_the_same_bits_again(teacher: Path) -> None:
    first, second = (rows_of(polished_run(teacher, None)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_the_recipe_and_the_card_say_what_became_of_the_pairs(
    teacher: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "questions"
    folder.mkdir()
    rows = [*PAIRS, (TEXTS[0], ""), (TEXTS[1], TEXTS[1]), ("It is ALONE!", TEXTS[2])]
    lines = [json.dumps({"ask": a, "reply": b, "n": 1}) for a, b in rows]
    (folder / "pairs.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (folder / "README.md").write_text("---\nlicense: cc0-1.0\n---\n", encoding="utf-8")
    model = distill(
        teacher,
        texts=TEXTS,
        dim=4,
        pairs=folder / "pairs.jsonl",
        pair_roles={"anchor": "ask", "positive": "reply"},
        evaluation_texts=["it is alone", "something else"],
        polish=PolishSettings(n_steps=2, seed=3),
    )
    ours = model.checkpoint.config["vecsmith"]
    assert ours["recipe"]["settings"]["texts"]["polish"]["n_steps"] == 2
    (said,) = ours["data"]
    assert said["name"].endswith("pairs.jsonl")
    assert (said["pairs"], said["of"]) == (len(PAIRS), len(rows))
    assert sum(said["left_out"].values()) == 3
    assert said["left_out"]["contaminated"] == 1
    assert said["license"] == "cc0-1.0"
    model.save_pretrained(tmp_path / "model")
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert f"questions/pairs.jsonl | {len(PAIRS)} | cc0-1.0 |" in card
    assert "1 contaminated" in card


def test_other_pairs_take_the_regression_that_is_there(teacher: Path, tmp_path: Path) -> None:
    first = polished_run(teacher, tmp_path)
    fitted = (tmp_path / "fitted.safetensors").stat().st_mtime_ns
    (store,) = (tmp_path / "pairs").iterdir()
    other = distill(teacher, texts=TEXTS, dim=6, pairs=PAIRS[:20], work=tmp_path)
    assert (tmp_path / "fitted.safetensors").stat().st_mtime_ns == fitted
    assert [store] != list((tmp_path / "pairs").iterdir())
    assert len(list((tmp_path / "pairs").iterdir())) == 1
    assert (rows_of(other) != rows_of(first)).any()
    again = polished_run(teacher, tmp_path)
    np.testing.assert_array_equal(rows_of(again), rows_of(first))
    distill(teacher, texts=TEXTS, dim=5, pairs=PAIRS, work=tmp_path)
    assert (tmp_path / "fitted.safetensors").stat().st_mtime_ns != fitted


def test_hard_negatives_and_several_sets_and_repeated_texts_are_taken(teacher: Path) -> None:
    triples = [(a, b, PAIRS[i - 1][0]) for i, (a, b) in enumerate(PAIRS)]
    repeated = [(text, TEXTS[0]) for text in TEXTS[1:30]]
    model = distill(
        teacher,
        texts=TEXTS,
        dim=4,
        pairs={"triples": triples, "repeated": repeated},
        polish=PolishSettings(n_steps=6, batch_size=24),
    )
    data = model.checkpoint.config["vecsmith"]["data"]
    assert [(said["name"], said["pairs"]) for said in data] == [
        ("triples", len(triples)),
        ("repeated", len(repeated)),
    ]
    assert np.isfinite(model.encode(TEXTS)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"texts": None}, "pairs without texts, expected texts for the teacher to read"),
        ({"pairs": None, "polish": PolishSettings()}, "polish without pairs"),
        ({"pairs": None, "pair_roles": ("a", "b")}, "pair_roles or polish without pairs"),
        ({"objective": "cosine"}, "objective 'cosine' with pairs"),
        ({"pairs": [{"anchor": "a", "positive": "b", "score": 0.5}]}, "pairs with scores"),
        ({"pairs": [("the fox", "the fox"), ("", "it is")]}, "0 of 2 rows"),
        ({"pairs": {}}, "no set of pairs"),
        ({"lexical_dims": -1}, "lexical_dims -1"),
        ({"lexical_dims": 4, "lexical_scale": 0.0}, r"lexical_scale 0\.0"),
    ],
)
def test_what_is_wrong_is_said_before_the_teacher_reads(
    teacher: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    given: dict[str, Any] = {"texts": TEXTS, "dim": 4, "pairs": PAIRS, **options}
    if given["texts"] is not None:
        given["work"] = tmp_path / "work"
    with pytest.raises(ValueError, match=message):
        distill(teacher, **given)
    assert not (tmp_path / "work" / "pass").exists()
    assert not (tmp_path / "work" / "isolated.safetensors").exists()


def test_prefixes_of_a_model_with_a_lexical_tail_are_the_model_without_it(
    teacher: Path, tmp_path: Path
) -> None:
    plain = polished_run(teacher, tmp_path)
    texts, pairs = made_pairs()
    longer = distill(
        teacher,
        texts=texts,
        dim=6,
        pairs=pairs,
        polish=PolishSettings(n_steps=8, batch_size=16, target_texts=32),
        work=tmp_path,
        lexical_dims=96,
        lexical_scale=0.4,
    )
    assert longer.dim == 6 + 96
    for dim in (6, 3):
        np.testing.assert_array_equal(
            longer.encode(TEXTS, truncate_dim=dim), plain.encode(TEXTS, truncate_dim=dim)
        )
    settings = longer.checkpoint.config["vecsmith"]["recipe"]["settings"]
    assert (settings["lexical_dims"], settings["lexical_scale"]) == (96, 0.4)
    tokens = distill(teacher, dim=4, lexical_dims=32)  # without texts as well
    assert tokens.dim == 36
    with pytest.raises(ValueError, match="compatible 'model2vec' with lexical_dims 32"):
        distill(teacher, dim=4, lexical_dims=32, compatible="model2vec")


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(".part")
    }


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_run_ends_with_the_bytes_of_one_that_was_not(
    point: str, teacher: Path, tmp_path: Path
) -> None:
    sources = [str(Path(__file__).parents[2]), str(Path(vecsmith.__file__).parents[1])]
    killed = subprocess.run(
        [sys.executable, killed_polish.__file__, str(teacher), str(tmp_path / "killed"), point],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sources)},
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert (tmp_path / "killed" / "fitted.safetensors").exists() == (point == "polish")
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "killed").glob("*.safetensors")}
    resumed = polished_run(teacher, tmp_path / "killed")
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    whole = polished_run(teacher, tmp_path / "whole")
    np.testing.assert_array_equal(rows_of(resumed), rows_of(whole))
    for name, model in (("resumed", resumed), ("uncut", whole)):
        model.save_pretrained(tmp_path / name / "model")
    assert contents(tmp_path / "resumed") == contents(tmp_path / "uncut")
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_pairs_are_read_as_the_students_tokenizer_reads_them(teacher: Path, tmp_path: Path) -> None:
    model = polished_run(teacher, tmp_path)
    (store,) = (tmp_path / "pairs").iterdir()
    peer = PeerTokenizer.from_str(model.checkpoint.tokenizer_json)
    unk = peer.token_to_id("[UNK]")
    source = TokenStore(store).sources[0]
    numbers = source.numbers()
    bag = source.bag("positive", np.arange(len(source)))
    for i, row in enumerate(numbers.tolist()):
        expected = [t for t in peer.encode(PAIRS[row][1], add_special_tokens=False).ids if t != unk]
        assert bag.ids[bag.offsets[i] : bag.offsets[i + 1]].tolist() == expected

"""Distillations from texts against an independent derivation, and what the user is told."""

from __future__ import annotations

import errno
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from tokenizers import Tokenizer

from tests.transformer.teachers import FAMILIES, save_teacher
from vecsmith import StaticModel, distill
from vecsmith.distillation import (
    RegressionSettings,
    TextSettings,
    TokenlearnSettings,
    teacher_pass,
)
from vecsmith.distillation.distiller import UNUSED_TOKENS
from vecsmith.errors import FormatError
from vecsmith.formats.safetensors import write_tensors

WORDS = (
    "the quick brown fox dog is it to go alone small take zebras dangerous café don't 猫".split()
)
Wide = NDArray[np.float64]


def made_texts(n_texts: int = 60) -> list[str]:
    random = np.random.default_rng(4)
    texts = [" ".join(random.choice(WORDS, size=random.integers(1, 9))) for _ in range(n_texts)]
    return list(dict.fromkeys(texts))


TEXTS = made_texts()
UNFINISHED = RegressionSettings()
FINISHED = RegressionSettings(element_power=0.75, mean_shift=1.25)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("teachers")
    return {family: save_teacher(root / family, family) for family in FAMILIES}


def recipe_of(model: StaticModel) -> dict[str, Any]:
    recipe: dict[str, Any] = model.checkpoint.config["vecsmith"]["recipe"]
    return recipe


def derived(folder: Path, texts: list[str], dim: int) -> tuple[list[str], Wide]:
    """Tokens and rows as the formulas say, text by text, in float64 and with a dense solver."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = transformers.AutoModel.from_pretrained(folder).eval()
    vocabulary = tokenizer.get_vocab()
    gone = {"[unused0]", "[CLS]", "[SEP]", "[MASK]"}
    tokens = [t for t in sorted(vocabulary, key=vocabulary.__getitem__) if t not in gone]
    place = {vocabulary[token]: i for i, token in enumerate(tokens)}
    place.pop(vocabulary["[UNK]"])

    def states(ids: list[int]) -> Wide:
        with torch.no_grad():
            found: Wide = model(torch.tensor([ids])).last_hidden_state[0].double().numpy()
        return found

    before, after = vocabulary["[CLS]"], vocabulary["[SEP]"]
    alone = np.stack([states([before, vocabulary[t], after]).mean(axis=0) for t in tokens])
    targets, counts = [], np.zeros((len(texts), len(tokens)))
    sums = np.zeros_like(alone)
    for row, text in zip(counts, texts, strict=True):
        ids = tokenizer.encode(text).ids
        found = states(ids)
        size = np.linalg.norm(found.mean(axis=0))
        targets.append(found.mean(axis=0) / size)
        for i, state in zip(ids, found, strict=True):
            if i in place:
                row[place[i]] += 1
                sums[place[i]] += state / size
    wanted, n = np.stack(targets), counts.sum(axis=0)
    common = n > 20
    scale = np.mean(np.linalg.norm(sums[common] / n[common, None], axis=1)) / np.mean(
        np.linalg.norm(alone, axis=1)
    )
    prior = (sums + 5 * scale * alone) / (n + 5)[:, None]
    prior *= (1e-3 / (1e-3 + (n + 1) / (n.sum() + len(tokens))))[:, None]
    directions = np.linalg.eigh(wanted.T @ wanted)[1][:, ::-1][:, :dim]
    directions *= np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(dim)])
    rows = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1) ** 0.7
    prior, wanted = prior @ directions, wanted @ directions
    prior *= ((rows @ prior) * wanted).sum() / ((rows @ prior) ** 2).sum()
    lam = 0.1 + 0.1 * np.sqrt((rows**2).sum(axis=0))
    return tokens, np.linalg.solve(
        rows.T @ rows + np.diag(lam), rows.T @ wanted + lam[:, None] * prior
    )


@pytest.mark.parametrize("family", ["bert", "mpnet"])
def test_the_table_is_the_one_the_formulas_give(family: str, folders: dict[str, Path]) -> None:
    model = distill(
        folders[family],
        texts=TEXTS,
        dim=6,
        compute_dtype="float32",
        regression=replace(UNFINISHED, n_steps=80),
    )
    _, expected = derived(folders[family], TEXTS, 6)
    # targets are kept in float16, which turns the last directions a little
    np.testing.assert_allclose(model.checkpoint.table, expected, atol=0.01)


def test_the_fitted_table_is_finished_over_the_texts_that_were_read(
    folders: dict[str, Path],
) -> None:
    fitted = distill(folders["bert"], texts=TEXTS, dim=6, regression=UNFINISHED)
    finished = distill(folders["bert"], texts=TEXTS, dim=6, regression=FINISHED)
    tokenizer = Tokenizer.from_str(fitted.checkpoint.tokenizer_json)
    plain = fitted.checkpoint.rows.astype(np.float64)
    rows = np.sign(plain) * np.abs(plain) ** 0.75
    rows *= np.sqrt((plain**2).mean() / (rows**2).mean())
    means = []
    for text in TEXTS:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        means.append(rows[[i for i in ids if i != tokenizer.token_to_id("[UNK]")]].mean(axis=0))
    expected = rows + 1.25 * np.mean(means, axis=0)
    np.testing.assert_allclose(finished.checkpoint.table, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("mode", ["subword", "both", "word"])
def test_every_family_and_mode_gives_a_model_near_its_teacher(
    family: str, mode: Any, folders: dict[str, Path], tmp_path: Path
) -> None:
    words = None if mode == "subword" else [*WORDS[:14], "brown fox", "unseen"]
    model = distill(
        folders[family], texts=TEXTS, dim=8, vocabulary=words, vocabulary_mode=mode,
        compute_dtype="float32", regression=UNFINISHED,
    )  # fmt: skip
    tokens_alone = distill(
        folders[family], dim=8, vocabulary=words, vocabulary_mode=mode, compute_dtype="float32"
    )
    # how alike texts are, against how alike the teacher finds them
    known = np.linalg.norm(model.encode(TEXTS), axis=1) > 0
    assert known.mean() > 0.8
    wanted = np.corrcoef(distill_targets(folders[family])[known])
    nearness = [
        np.corrcoef(np.corrcoef(m.encode(TEXTS)[known]).ravel(), wanted.ravel())[0, 1]
        for m in (model, tokens_alone)
    ]
    assert nearness[0] > nearness[1]
    assert nearness[0] > (0.3 if mode == "word" else 0.5)
    model.save_pretrained(tmp_path / "saved")
    opened = StaticModel.from_pretrained(tmp_path / "saved")
    np.testing.assert_allclose(opened.encode(TEXTS), model.encode(TEXTS), atol=1e-6)
    assert recipe_of(opened) == recipe_of(model)


def distill_targets(folder: Path) -> Wide:
    from vecsmith.transformer.text_encoder import TextEncoder

    found: Wide = TextEncoder.from_pretrained(folder).encode(TEXTS).astype(np.float64)
    return found


def test_the_recipe_counts_the_texts_and_says_what_was_left_out(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    rows = [*TEXTS, TEXTS[0], "", "  ", None]
    lines = [json.dumps({"text": text, "n": 3}) for text in rows]
    (tmp_path / "texts.jsonl").write_text("\n".join(lines), encoding="utf-8")
    model = distill(
        folders["bert"],
        texts=tmp_path / "texts.jsonl",
        text_column="text",
        evaluation_texts=[TEXTS[3].upper() + "!", "never there at all"],
        dim=4,
    )
    recipe = recipe_of(model)
    said = recipe["texts"]
    assert said["name"].endswith("texts.jsonl")
    assert (said["n_read"], said["n_used"]) == (len(rows), len(TEXTS) - 1)
    assert said["left_out"] == {
        "without_text": 1,
        "empty": 2,
        "repeated": 1,
        "in_evaluation_sets": 1,
    }
    assert said["compared_with_evaluation_texts"] == 2
    assert said["pass"]["n_texts"] == len(TEXTS) - 1
    assert said["pass"]["n_tokens"] > 100
    assert recipe["settings"]["texts"]["regression"]["n_steps"] == 12
    assert recipe["settings"]["weighting"] == "sif"
    assert recipe["settings"]["pooling"] == "mean"
    assert "seconds" not in recipe
    assert json.loads(json.dumps(recipe)) == recipe
    model.save_pretrained(tmp_path / "model")
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert f"| recipe.texts.n_used | {len(TEXTS) - 1} |" in card


@pytest.mark.parametrize("objective", ["regression", "cosine", "mse", "contrastive"])
def test_two_runs_give_the_same_bits(objective: Any, folders: dict[str, Path]) -> None:
    tables = [
        distill(folders["bert"], texts=TEXTS, dim=4, objective=objective).checkpoint.table
        for _ in range(2)
    ]
    np.testing.assert_array_equal(tables[0], tables[1])


def test_a_finished_pass_serves_other_settings(folders: dict[str, Path], tmp_path: Path) -> None:
    plain = distill(folders["bert"], texts=TEXTS, dim=4, work=tmp_path)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "pass").glob("shard*")}
    whitened = distill(folders["bert"], texts=TEXTS, dim=4, work=tmp_path, whitening=0.5)
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "pass").glob("shard*")} == before
    assert not np.allclose(plain.checkpoint.table, whitened.checkpoint.table)
    assert recipe_of(whitened)["settings"]["whitening"] == 0.5
    assert recipe_of(whitened)["settings"]["texts"]["regression"]["whitening"] == 0.5


def test_a_work_folder_of_other_texts_or_another_teacher_is_refused(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    distill(folders["bert"], texts=TEXTS, dim=4, work=tmp_path)
    with pytest.raises(FormatError, match="shard 0 is of other texts"):
        distill(folders["bert"], texts=TEXTS[1:], dim=4, work=tmp_path)
    with pytest.raises(FormatError, match="pass of another teacher"):
        distill(folders["mpnet"], texts=TEXTS, dim=4, work=tmp_path)


def test_vectors_of_tokens_are_kept_for_the_same_question_only(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / "isolated.safetensors"
    distill(folders["bert"], texts=TEXTS, dim=4, work=tmp_path)
    first = path.stat().st_mtime_ns
    distill(folders["bert"], texts=TEXTS, dim=5, work=tmp_path)
    assert path.stat().st_mtime_ns == first
    balanced = distill(folders["bert"], texts=TEXTS, dim=4, work=tmp_path, pooling="balanced")
    assert path.stat().st_mtime_ns != first
    assert recipe_of(balanced)["settings"]["pooling"] == "balanced"
    path.write_bytes(b"broken")
    again = distill(folders["bert"], texts=TEXTS, dim=4, work=tmp_path, pooling="balanced")
    np.testing.assert_array_equal(again.checkpoint.table, balanced.checkpoint.table)


def test_a_full_disk_is_an_error_and_what_was_done_is_kept(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teacher_pass, "SHARD_TEXTS", 16)
    monkeypatch.setattr(teacher_pass, "SAVE_SECONDS", 0.0)
    whole = distill(folders["bert"], texts=TEXTS, dim=4, work=tmp_path / "whole")
    n_left = [4]

    def full(*arguments: Any, **options: Any) -> None:
        n_left[0] -= 1
        if n_left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_tensors(*arguments, **options)

    monkeypatch.setattr(teacher_pass, "write_tensors", full)
    with pytest.raises(OSError, match="No space left"):
        distill(folders["bert"], texts=TEXTS, dim=4, work=tmp_path / "full")
    assert len(list((tmp_path / "full" / "pass").glob("shard*"))) == 2
    assert not list((tmp_path / "full").rglob("*.part"))
    monkeypatch.setattr(teacher_pass, "write_tensors", write_tensors)
    resumed = distill(folders["bert"], texts=TEXTS, dim=4, work=tmp_path / "full")
    np.testing.assert_array_equal(resumed.checkpoint.table, whole.checkpoint.table)


def loss_of(objective: str, model: StaticModel, targets: Wide) -> float:
    """What an objective minimises over all texts, by its definition, in float64."""
    tokenizer = Tokenizer.from_str(model.checkpoint.tokenizer_json)
    unk = tokenizer.token_to_id("[UNK]")
    means = []
    for text in TEXTS:
        ids = [i for i in tokenizer.encode(text, add_special_tokens=False).ids if i != unk]
        means.append(model.checkpoint.table[ids].astype(np.float64).mean(axis=0))
    vectors = np.stack(means)
    if objective == "mse":
        return float(((vectors - targets) ** 2).mean())
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = vectors @ targets.T
    if objective == "cosine":
        return float((1 - np.diag(cosines)).mean())
    logits = cosines / 0.05
    return float((np.log(np.exp(logits).sum(axis=1)) - np.diag(logits)).mean())


@pytest.mark.parametrize("objective", ["cosine", "mse", "contrastive"])
def test_learning_lowers_what_it_is_to_lower(objective: Any, folders: dict[str, Path]) -> None:
    targets = distill_targets(folders["bert"])
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    losses = []
    for lr in (1e-9, 0.01):
        settings = TokenlearnSettings(
            epochs=40, batch_size=16, start="contextual", centered=False, lr=lr
        )
        model = distill(
            folders["bert"],
            texts=TEXTS,
            dim=None,
            objective=objective,
            tokenlearn=settings,
            compute_dtype="float32",
        )
        losses.append(loss_of(objective, model, targets))
    assert losses[1] < 0.5 * losses[0]
    if objective == "cosine":
        regressed = distill(
            folders["bert"],
            texts=TEXTS,
            dim=None,
            compute_dtype="float32",
            regression=UNFINISHED,
        )
        assert losses[1] < loss_of("cosine", regressed, targets)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"counts": {"fox": 3.0}}, "counts with texts"),
        ({"weighting": "zipf"}, "weighting 'zipf' with texts"),
        ({"remove_components": 1}, "remove_components 1 with texts"),
        ({"compatible": "model2vec"}, "compatible 'model2vec' uses no texts"),
        ({"max_length": 2}, "max_length 2, expected 3 or more"),
        ({"objective": "guess"}, "objective 'guess'"),
        ({"dim": 17}, "dim 17 is more than the 16 dimensions"),
        ({"text_column": "body"}, "column 'body' is absent"),
        ({"texts": []}, "no rows, expected some with the column 'text'"),
        ({"texts": ["", " "]}, "not one text"),
        ({"texts": None, "work": "somewhere"}, "without texts, expected texts"),
        ({"texts": None, "max_length": 5}, "without texts, expected texts"),
    ],
)
def test_what_no_run_could_follow_is_refused(
    folders: dict[str, Path], options: dict[str, Any], message: str
) -> None:
    given: dict[str, Any] = {"texts": TEXTS, "dim": 4, **options}
    with pytest.raises(ValueError, match=message):
        distill(folders["bert"], **given)


def test_texts_without_a_token_of_the_student_are_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(ValueError, match="not one token of the student"):
        distill(folders["bert"], texts=TEXTS, dim=4, vocabulary=["absent"], vocabulary_mode="word")


def test_the_log_says_what_texts_would_add_and_what_became_of_them(
    folders: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        distill(folders["bert"], dim=4)
    assert "no texts: the table is made of the tokens alone" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO):
        distill(folders["bert"], texts=[*TEXTS, TEXTS[0]], dim=4)
    assert "no texts" not in caplog.text
    assert f"{len(TEXTS)} of {len(TEXTS) + 1} texts; left out: 1 repeated" in caplog.text


def test_weights_are_none_or_by_the_texts_counts(folders: dict[str, Path]) -> None:
    none = distill(folders["bert"], texts=TEXTS, dim=4, weighting="none")
    assert recipe_of(none)["settings"]["texts"]["regression"]["sif_coefficient"] is None
    assert none.checkpoint.config["sif_coefficient"] is None
    some = distill(folders["bert"], texts=TEXTS, dim=4, sif_coefficient=0.01)
    assert recipe_of(some)["settings"]["texts"]["regression"]["sif_coefficient"] == 0.01
    assert some.checkpoint.config["sif_coefficient"] == 0.01


def test_no_dim_keeps_the_teachers_directions(folders: dict[str, Path]) -> None:
    model = distill(
        folders["bert"], texts=TEXTS, dim=None, compute_dtype="float32", regression=UNFINISHED
    )
    vectors = model.encode(TEXTS)
    targets = distill_targets(folders["bert"])
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    assert (vectors * targets).sum(axis=1).mean() > 0.9


def test_a_share_takes_as_many_dimensions_as_keep_it(folders: dict[str, Path]) -> None:
    model = distill(folders["bert"], texts=TEXTS, dim=0.97, compute_dtype="float32")
    targets = distill_targets(folders["bert"])
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    sizes = np.linalg.svd(targets, compute_uv=False) ** 2
    assert model.dim == int(np.searchsorted(np.cumsum(sizes) / sizes.sum(), 0.97)) + 1
    assert 0.97 <= recipe_of(model)["explained_variance"] < 1


def test_unused_tokens_stay_out(folders: dict[str, Path]) -> None:
    model = distill(folders["bert"], texts=TEXTS, dim=4, token_remove_pattern=UNUSED_TOKENS)
    assert "[unused0]" not in Tokenizer.from_str(model.checkpoint.tokenizer_json).get_vocab()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs 0"),
        ({"lr": 0.0}, r"lr 0\.0"),
        ({"warmup": 2.0}, r"warmup 2\.0"),
        ({"betas": (0.9, 1.0)}, "betas"),
        ({"start": "middle"}, "start 'middle'"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_ways_to_learn_that_no_run_could_follow_are_refused(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        TokenlearnSettings(**change)


def test_a_text_has_room_for_its_specials_and_one_token() -> None:
    with pytest.raises(ValueError, match="max_length 0"):
        TextSettings(max_length=0)

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed (extra train)")

import torch

from tests.training.toy_runs import graded_pairs, same_bits, toy_model, word_pairs
from vecsmith import StaticModel
from vecsmith.corpora import open_pairs
from vecsmith.errors import FormatError
from vecsmith.formats import write_checkpoint
from vecsmith.formats.checkpoint import Checkpoint
from vecsmith.training import info_nce, matryoshka, train_static, train_tokenizer
from vecsmith.training.losses import guided_info_nce
from vecsmith.training.provenance import describe_loss, licence_of
from vecsmith.training.settings import TrainSettings
from vecsmith.training.start import Start
from vecsmith.training.static import run_training


@pytest.fixture
def model(tiny_checkpoint: Checkpoint) -> StaticModel:
    return toy_model(tiny_checkpoint)


def test_the_lines_of_the_guide_run_as_written(model: StaticModel) -> None:
    pairs = word_pairs(64)
    trained = train_static(
        init=model, pairs=pairs, loss=matryoshka(partial(info_nce, temperature=0.05), {16: 1, 8: 1})
    )
    assert trained.encode(["hello"]).shape == (1, 16)
    assert not same_bits(trained, model)
    recipe = trained.checkpoint.config["vecsmith"]["recipe"]
    assert recipe["loss"] == "matryoshka(info_nce(temperature=0.05), {8: 1, 16: 1})"


def test_a_model_from_nothing_starts_from_the_numbers_that_were_asked(
    tmp_path: Path, tiny_tokenizer_json: str
) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(tiny_tokenizer_json, encoding="utf-8")
    options: dict[str, Any] = {"tokenizer": path, "pairs": word_pairs(40), "dim": 24, "seed": 5}
    # at so low a rate nothing moves
    random = train_static(**options, steps=1, lr=1e-20, start="random")
    expected = torch.randn(random.vocab_size, 24, generator=torch.Generator().manual_seed(5))
    np.testing.assert_allclose(random.checkpoint.table[6:], expected[6:], atol=1e-6)
    hashed = train_static(**options, steps=1, lr=1e-20, start="hashed").checkpoint.rows
    ids = {token: random.tokenizer.encode(token).ids[0] for token in ("play", "cat", "dog")}
    assert abs(hashed.std() - 1) < 0.1
    near = hashed[random.tokenizer.encode("played").ids]
    assert len(near) == 2
    assert hashed[ids["cat"]] @ hashed[ids["dog"]] < 20


def test_a_tokenizer_may_be_trained_of_the_pairs_themselves(tmp_path: Path) -> None:
    pairs = [(f"나는 학교에 간다 {i}", f"학교에 가는 중이다 {i}") for i in range(50)]
    options: dict[str, Any] = {"pairs": pairs, "dim": 8, "steps": 2, "batch_size": 16}
    model = train_static(tokenizer="wordpiece", vocabulary=120, out=tmp_path / "run", **options)
    assert model.tokenizer.is_native
    assert "학교에" in model.tokenizer.encode("학교에 간다").tokens
    again = train_static(tokenizer="wordpiece", vocabulary=120, out=tmp_path / "run", **options)
    assert same_bits(model, again)
    texts = [text for pair in pairs for text in pair]
    own = train_tokenizer(texts, vocabulary=120)
    assert same_bits(model, train_static(tokenizer=own, **options))


def test_sources_of_every_kind_give_the_same_model(tmp_path: Path, model: StaticModel) -> None:
    rows = word_pairs(60)
    (tmp_path / "pairs.jsonl").write_text(
        "".join(json.dumps({"query": q, "document": d}) + "\n" for q, d in rows)
    )
    (tmp_path / "pairs.csv").write_text("".join(f"{q},{d}\n" for q, d in [("q", "d"), *rows]))
    options: dict[str, Any] = {"init": model, "steps": 3, "batch_size": 20}
    expected = train_static(pairs=rows, **options)
    columns = {"anchor": [q for q, _ in rows], "positive": [d for _, d in rows]}
    sources: list[tuple[Any, Any]] = [
        (tmp_path / "pairs.jsonl", None),
        (str(tmp_path / "*.csv"), ["q", "d"]),
        ([tmp_path / "pairs.jsonl"], None),
        ({"own name": tmp_path / "pairs.jsonl"}, None),
        ([dict(zip(columns, row, strict=True)) for row in rows], None),
        (open_pairs(rows), None),
        ([list(row) for row in rows], None),
    ]
    for source, roles in sources:
        assert same_bits(train_static(pairs=source, roles=roles, **options), expected)


def test_several_sets_keep_their_names_and_counts(tmp_path: Path, model: StaticModel) -> None:
    broken = [*word_pairs(20), ("hello", None), ("cat", "cat"), ("", "dog")]
    done = run_training(
        {"good": word_pairs(30), "broken": broken},
        Start(init=model),
        TrainSettings(steps=2, batch_size=8),
    )
    by_name = {report.name: report for report in done.reports}
    assert by_name["good"].n_kept == 30
    assert by_name["broken"].skipped == {
        "missing text": 1,
        "anchor equal to positive": 1,
        "no tokens": 1,
    }
    facts = done.model.checkpoint.config["vecsmith"]["data"]
    assert [(each["name"], each["pairs"]) for each in facts] == [("good", 30), ("broken", 20)]


def test_prompts_count_as_text_and_stay_in_the_model(model: StaticModel) -> None:
    rows = word_pairs(40)
    prompted = [(f"play {query}", f"mat {document}") for query, document in rows]
    options: dict[str, Any] = {"init": model, "steps": 4, "batch_size": 10}
    by_prompt = train_static(pairs=rows, prompts={"query": "play ", "document": "mat "}, **options)
    assert same_bits(by_prompt, train_static(pairs=prompted, **options))
    assert by_prompt.prompts == {"query": "play ", "document": "mat "}
    np.testing.assert_array_equal(
        by_prompt.encode_query(["hello"]), by_prompt.encode(["play hello"])
    )


def test_what_an_evaluation_set_has_is_left_out_of_the_pairs_whatever_their_prompt(
    model: StaticModel,
) -> None:
    class Finds:
        fingerprint = "finds"

        def matches(self, texts: Sequence[str]) -> np.ndarray:
            return np.array([int(text == "hello world") for text in texts], dtype=np.uint8)

    rows = [("hello world", "a cat"), ("the dog", "hello world"), ("cat", "dog"), ("mat", "sat")]
    for prompts in (None, {"query": "play ", "document": "b "}):
        done = run_training(
            rows,
            Start(init=model),
            TrainSettings(steps=1, batch_size=2),
            decontaminator=Finds(),
            prompts=prompts,
        )
        assert done.reports[0].skipped == {"contaminated": 2}


def test_a_teacher_guides_the_loss_with_its_vectors_of_the_same_texts(
    tmp_path: Path, model: StaticModel
) -> None:
    rows = word_pairs(20)
    texts = sorted({text for row in rows for text in row})
    n_encoded: list[int] = []

    class Teacher:
        fingerprint = "letters"

        def encode(self, texts: list[str]) -> np.ndarray:
            n_encoded.append(len(texts))
            return np.array([[text.count(w) + 0.5 for w in "abcd"] for text in texts])

    guides: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]] = []

    def loss(
        queries: torch.Tensor,
        candidates: torch.Tensor,
        *,
        guide_queries: torch.Tensor,
        guide_candidates: torch.Tensor,
    ) -> torch.Tensor:
        guides.append((queries.detach(), candidates.detach(), guide_queries, guide_candidates))
        return guided_info_nce(
            queries, candidates, guide_queries=guide_queries, guide_candidates=guide_candidates
        )

    options: dict[str, Any] = {"init": model, "pairs": rows, "loss": loss, "teacher": Teacher()}
    train_static(**options, steps=1, batch_size=20, out=tmp_path / "run")
    assert sum(n_encoded) == len(texts)
    plain = model.encode(texts, normalize=False)
    taught = Teacher().encode(texts)
    taught /= np.linalg.norm(taught, axis=1, keepdims=True)
    # the first call was on two random pairs
    for vectors, guide in ((guides[1][0], guides[1][2]), (guides[1][1], guides[1][3])):
        places = [int(np.abs(plain - row.numpy()).sum(1).argmin()) for row in vectors]
        np.testing.assert_allclose(guide.numpy(), taught[places], atol=1e-3)


def test_a_licence_is_the_one_beside_the_data_or_none(tmp_path: Path, model: StaticModel) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "pairs.csv").write_text("anchor,positive\nhello,world\ncat,dog\n")
    assert licence_of(folder) is None
    (folder / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n# A set\n")
    assert licence_of(folder) == licence_of(folder / "pairs.csv") == "cc-by-4.0"
    trained = train_static(init=model, pairs=folder / "pairs.csv", steps=1)
    trained.save_pretrained(tmp_path / "model")
    card = (tmp_path / "model" / "README.md").read_text()
    assert "| set/pairs.csv | 2 | cc-by-4.0 |  |" in card
    assert "the data it was trained on has terms of its own" in card


def test_a_loss_is_described_the_same_in_every_process() -> None:
    nested = matryoshka(partial(info_nce, temperature=0.1), {64: 1, 256: 0.5})
    assert describe_loss(nested) == "matryoshka(info_nce(temperature=0.1), {64: 1, 256: 0.5})"
    assert describe_loss(torch.nn.functional.mse_loss) == "torch.nn.functional.mse_loss"


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"init": None}, ValueError, "neither init nor tokenizer"),
        ({"tokenizer": "wordpiece"}, ValueError, "init and tokenizer are both given"),
        ({"pairs": []}, FormatError, "no rows, expected some"),
        ({"dims": [16, 32]}, ValueError, r"dims \[16, 32\], expected prefixes of at most 16"),
        ({"loss": {"other": info_nce}}, ValueError, "a loss is named for 'other'"),
        ({"loss": guided_info_nce}, ValueError, "asks for a teacher's vectors"),
        ({"teacher": object()}, ValueError, "no loss asks for one"),
        ({"preset": "best"}, ValueError, "preset 'best', expected one of"),
        ({"lr": float("nan")}, ValueError, "lr nan, expected a number above 0"),
        ({"batch_size": 0}, ValueError, "batch_size 0, expected 1 or more"),
        ({"epochs": 0}, ValueError, "epochs 0, expected"),
        ({"schedule": "steep"}, ValueError, "schedule 'steep', expected one of"),
        ({"token_dropout": 1.0}, ValueError, "token_dropout 1.0, expected a share"),
        ({"device": "abacus"}, ValueError, "device 'abacus', expected a torch device"),
        ({"restart": True}, ValueError, "restart is True and out is None"),
        ({"pairs": [("a b", "a b"), ("c", "c")]}, ValueError, "0 of 2 rows"),
        ({"pairs": "absent.parquet"}, (FormatError, OSError, ValueError), "absent.parquet"),
        ({"init": None, "tokenizer": "absent.json"}, FormatError, "absent.json: no such file"),
    ],
)
def test_a_mistake_is_told_before_anything_is_done(
    model: StaticModel, changes: dict[str, Any], kind: Any, message: str
) -> None:
    given: dict[str, Any] = {"init": model, "pairs": word_pairs(8), "steps": 1}
    with pytest.raises(kind, match=message):
        train_static(**{**given, **changes})


def test_a_set_without_scores_is_refused_by_a_loss_that_needs_them(model: StaticModel) -> None:
    from vecsmith.training import cosent

    with pytest.raises(ValueError, match="no column of scores, expected one for cosent"):
        train_static(init=model, pairs=word_pairs(8), loss=cosent, steps=1)


def test_scores_that_are_not_numbers_are_left_out_and_counted(model: StaticModel) -> None:
    rows = [*graded_pairs(10), ("hello", "cat", float("nan")), ("dog", "mat", None)]
    done = run_training(rows, Start(init=model), TrainSettings(steps=1, batch_size=4))
    assert done.reports[0].skipped == {"missing score": 2}


@pytest.mark.parametrize("dtype", [np.float16, np.int8])
def test_training_may_start_from_a_narrow_table_with_weights_and_a_mapping(
    tmp_path: Path, tiny_checkpoint: Checkpoint, dtype: Any
) -> None:
    from dataclasses import replace

    n_tokens = len(tiny_checkpoint.table)
    generator = np.random.default_rng(1)
    table = (generator.standard_normal((n_tokens // 2, 16)) * 50).astype(dtype)
    narrow = replace(
        tiny_checkpoint,
        table=table,
        weights=generator.random(n_tokens).astype(np.float32),
        mapping=generator.integers(0, n_tokens // 2, n_tokens).astype(np.uint32),
    )
    write_checkpoint(tmp_path / "narrow", narrow)
    start = StaticModel.from_pretrained(tmp_path / "narrow")
    model = train_static(init=start, pairs=word_pairs(30), steps=1, lr=1e-12)
    texts = ["hello cat", "the dog sat on a mat"]
    np.testing.assert_allclose(model.encode(texts), start.encode(texts), atol=1e-5)


def test_importing_the_package_leaves_torch_alone() -> None:
    code = "import sys, vecsmith, vecsmith.cli; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

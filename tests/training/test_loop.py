from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed (extra train)")

import torch
import torch.nn.functional as F

from tests.training.toy_runs import ProbeScore, graded_pairs, same_bits, toy_model, word_pairs
from vecsmith import StaticModel
from vecsmith.errors import RunFailed
from vecsmith.formats.checkpoint import Checkpoint
from vecsmith.tokenizer import Tokenizer
from vecsmith.training import TrainSettings, cosent, info_nce, matryoshka, train_static
from vecsmith.training.batching import Batch, BatchStream
from vecsmith.training.loop import planned_steps
from vecsmith.training.pair_sources import open_sources
from vecsmith.training.start import Start
from vecsmith.training.static import run_training
from vecsmith.training.token_store import build_store


@pytest.fixture
def model(tiny_checkpoint: Checkpoint) -> StaticModel:
    return toy_model(tiny_checkpoint)


def batches_of(rows: list[Any], tokenizer_json: str, folder: Path, **options: Any) -> list[Batch]:
    tokenizer = Tokenizer(tokenizer_json)
    store = build_store(open_sources(rows), tokenizer, folder, unk_id_dropped=tokenizer.unk_id)
    stream = BatchStream(store, **options)
    return [next(stream) for _ in range(stream.n_batches)]


def bag_means(rows: torch.Tensor, batch: Batch, role: str) -> torch.Tensor:
    bag = batch.columns[role]
    return F.embedding_bag(
        torch.from_numpy(bag.ids.astype(np.int64)),
        rows,
        torch.from_numpy(bag.offsets[:-1]),
        mode="mean",
    )


def test_a_run_is_the_plain_loop_of_torch_where_every_batch_touches_every_row(
    tmp_path: Path, tiny_tokenizer_json: str, tiny_checkpoint: Checkpoint
) -> None:
    # texts of all ten digits and some order of letters: dense and sparse moments are the same
    letters, digits = "abcdefghij", " ".join("0123456789")
    rows = [
        (f"{digits} {a} {b}", f"{b} {a} {digits} {' '.join(letters)}")
        for a in letters
        for b in letters
        if a < b
    ]
    options: dict[str, Any] = {"batch_size": 45, "seed": 3}
    steps, lr, warmup = 12, 0.03, 0.25
    model = train_static(
        init=toy_model(tiny_checkpoint),
        pairs=rows,
        loss=matryoshka(info_nce, {16: 1.0, 4: 0.5}),
        steps=steps,
        lr=lr,
        warmup=warmup,
        weight_decay=0.1,
        **options,
    )
    table = torch.from_numpy(tiny_checkpoint.rows.copy()).double().requires_grad_()
    optimizer = torch.optim.AdamW([table], lr=lr, weight_decay=0.1)
    tokenizer = Tokenizer(tiny_tokenizer_json)
    store = build_store(
        open_sources(rows), tokenizer, tmp_path / "store", unk_id_dropped=tokenizer.unk_id
    )
    stream = BatchStream(store, **options)
    touched: set[int] = set()
    for step in range(steps):
        batch = next(stream)
        touched |= set(batch.columns["positive"].ids.tolist())
        queries, candidates = bag_means(table, batch, "anchor"), bag_means(table, batch, "positive")
        total = torch.zeros((), dtype=torch.float64)
        for dim, weight in ((16, 1.0), (4, 0.5)):
            q, c = F.normalize(queries[:, :dim]), F.normalize(candidates[:, :dim])
            total = total + weight * F.cross_entropy(20 * q @ c.T, torch.arange(len(q)))
        n_warmup = round(warmup * steps)
        share = (step + 1) / n_warmup if step < n_warmup else (steps - step) / (steps - n_warmup)
        optimizer.param_groups[0]["lr"] = lr * share
        optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    rows_moved = sorted(touched)
    expected = table.detach().numpy()[rows_moved]
    np.testing.assert_allclose(model.checkpoint.table[rows_moved], expected, atol=2e-4)
    assert not np.allclose(model.checkpoint.table[rows_moved], tiny_checkpoint.table[rows_moved])


def test_rows_that_no_pair_touches_stay_as_they_were(
    model: StaticModel, tiny_checkpoint: Checkpoint
) -> None:
    trained = train_static(init=model, pairs=[("hello", "world"), ("cat", "dog")], steps=3)
    moved = np.flatnonzero((trained.checkpoint.rows != tiny_checkpoint.rows).any(axis=1))
    expected = sorted({i for text in ("hello world cat dog",) for i in model.tokenize(text)})
    assert moved.tolist() == expected


def test_training_draws_pairs_together_and_the_same_seed_gives_the_same_bits(
    model: StaticModel,
) -> None:
    pairs = word_pairs(400)

    def accuracy(of: StaticModel) -> float:
        queries, candidates = (of.encode([pair[side] for pair in pairs]) for side in (0, 1))
        return float(((queries @ candidates.T).argmax(1) == np.arange(len(pairs))).mean())

    options: dict[str, Any] = {"init": model, "pairs": pairs, "batch_size": 64, "epochs": 6}
    first = train_static(**options, lr=0.05)
    assert accuracy(first) > accuracy(model) + 0.05
    assert same_bits(first, train_static(**options, lr=0.05))
    assert not same_bits(first, train_static(**options, lr=0.05, seed=1))


def test_a_run_stops_when_scores_grow_no_more(model: StaticModel) -> None:
    class Falling(ProbeScore):
        n_calls = 0

        def __call__(self, encoder: object) -> float:
            Falling.n_calls += 1
            return -float(Falling.n_calls)

    settings = TrainSettings(batch_size=16, steps=100, evaluate_every=2, patience=3)
    done = run_training(word_pairs(100), Start(init=model), settings, score=Falling())
    assert done.fitted.state.step == 6
    assert done.fitted.state.best_step == 0
    assert same_bits(done.model, model)
    assert done.model.checkpoint.config["vecsmith"]["recipe"]["steps"] == {
        "planned": 100,
        "done": 6,
        "kept": 0,
    }


def test_each_set_is_trained_with_its_own_loss(model: StaticModel) -> None:
    seen: dict[str, set[tuple[int, bool]]] = {"a": set(), "b": set()}

    def contrast(queries: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        seen["a"].add((len(queries), False))
        return info_nce(queries, candidates)

    def grade(
        queries: torch.Tensor, candidates: torch.Tensor, *, scores: torch.Tensor
    ) -> torch.Tensor:
        seen["b"].add((len(queries), bool(scores.min() >= 0 and scores.max() <= 1)))
        return cosent(queries, candidates, scores=scores)

    train_static(
        init=model,
        pairs={"a": word_pairs(64), "b": graded_pairs(48)},
        loss={"a": contrast, "b": grade},
        batch_size=16,
        epochs=1,
    )
    # two pairs are what a loss is tried on before the run
    assert seen == {"a": {(2, False), (16, False)}, "b": {(2, True), (16, True)}}


def test_losses_get_keys_by_which_equal_texts_are_told(model: StaticModel) -> None:
    pairs = [("hello cat", "a dog"), ("hello  CAT", "the mat"), ("cat hello", "a dog!")]
    found: list[tuple[list[int], list[int]]] = []

    def loss(
        queries: torch.Tensor,
        candidates: torch.Tensor,
        *,
        query_keys: torch.Tensor,
        candidate_keys: torch.Tensor,
    ) -> torch.Tensor:
        found.append((query_keys.tolist(), candidate_keys.tolist()))
        return info_nce(queries, candidates, query_keys=query_keys, candidate_keys=candidate_keys)

    train_static(init=model, pairs=pairs, loss=loss, batch_size=2, epochs=1)
    found = found[1:]  # the first call was on two random pairs
    keys = [key for queries, _ in found for key in queries]
    assert len(keys) == 3
    assert len(set(keys)) == 2  # spacing and case are the tokenizer's to drop, order is not
    assert all(len(set(queries)) == len(queries) for queries, _ in found)


def test_negatives_stand_after_the_positives(model: StaticModel) -> None:
    rows = [
        {"anchor": f"a {i}", "positive": f"b {i}", "negative_1": f"c {i}", "negative_2": f"d {i}"}
        for i in range(4)
    ]
    vectors: list[tuple[torch.Tensor, torch.Tensor]] = []

    def loss(queries: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        vectors.append((queries.detach().clone(), candidates.detach().clone()))
        return info_nce(queries, candidates)

    train_static(init=model, pairs=rows, loss=loss, steps=1, batch_size=4)
    _, (queries, candidates) = vectors  # the first call was on two random pairs
    assert candidates.shape == (12, 16)
    plain = {
        letter: model.encode([f"{letter} {i}" for i in range(4)], normalize=False)
        for letter in "abcd"
    }
    order = [int(np.abs(plain["a"] - query.numpy()).sum(1).argmin()) for query in queries]
    np.testing.assert_allclose(queries, plain["a"][order], atol=1e-6)
    expected = np.concatenate([plain[letter][order] for letter in "bcd"])
    np.testing.assert_allclose(candidates, expected, atol=1e-6)


def test_a_loss_that_is_no_number_ends_the_run_with_its_step(model: StaticModel) -> None:
    def broken(queries: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        return (queries.sum() + candidates.sum()) * float("nan")

    with pytest.raises(RunFailed, match=r"step 1, pairs 'the rows given': the loss is nan"):
        train_static(init=model, pairs=word_pairs(8), loss=broken, steps=2)


def test_a_score_that_is_no_number_ends_the_run(model: StaticModel) -> None:
    with pytest.raises(RunFailed, match="step 0: the score is nan"):
        train_static(init=model, pairs=word_pairs(8), score=lambda _: float("nan"), steps=2)


@pytest.mark.parametrize(
    ("epochs", "steps", "expected"), [(1, None, 10), (0.05, None, 1), (2.5, None, 25), (9, 4, 4)]
)
def test_epochs_make_so_many_steps(epochs: float, steps: int | None, expected: int) -> None:
    assert planned_steps(TrainSettings(epochs=epochs, steps=steps), 10) == expected


def test_texts_that_stand_in_most_pairs_are_trained_on_where_repeats_are_allowed(
    model: StaticModel,
) -> None:
    rows = [(f"the cat {i}", "hello world") for i in range(40)]
    options: dict[str, Any] = {"init": model, "pairs": rows, "batch_size": 20, "steps": 2}
    with pytest.raises(ValueError, match="texts repeat so often"):
        train_static(**options)
    # one text on one side: all others of a batch are equal to the positive, so nothing is moved
    same = train_static(**options, unique=False, directions="one_way", loss=None)
    np.testing.assert_array_equal(same.checkpoint.table, model.checkpoint.table)


@pytest.mark.gpu
def test_a_gpu_gives_the_numbers_of_the_cpu(model: StaticModel) -> None:
    options: dict[str, Any] = {
        "init": model,
        "pairs": word_pairs(200),
        "batch_size": 50,
        "lr": 0.02,
    }
    on_cpu = train_static(**options, epochs=2, ema=0.5, token_weights=True)
    on_gpu = train_static(**options, epochs=2, ema=0.5, token_weights=True, device="cuda")
    np.testing.assert_allclose(on_gpu.checkpoint.table, on_cpu.checkpoint.table, atol=1e-3)

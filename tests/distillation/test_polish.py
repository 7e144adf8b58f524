"""The polish against torch's own functions in float64, and its invariances."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from tests.distillation.killed_polish import made_pairs
from tests.transformer.teachers import save_teacher
from vecsmith.distillation import PolishSettings
from vecsmith.distillation.polish import TargetTexts, polish
from vecsmith.distillation.teacher_pass import Shard
from vecsmith.errors import RunFailed
from vecsmith.tokenizer import Tokenizer
from vecsmith.training.bag import offsets_of
from vecsmith.training.batching import Batch, BatchStream
from vecsmith.training.pair_sources import open_sources
from vecsmith.training.token_store import TokenStore, build_store

_, PAIRS = made_pairs()
WIDTH, DIM = 12, 8
SMALL = PolishSettings(n_steps=5, batch_size=16, target_texts=24, dims=(4, DIM))


@dataclass
class Passed:
    """A pass of two shards over random texts of V tokens; enough of one for the polish."""

    sums: NDArray[np.float32]
    counts: NDArray[np.int64]
    parts: list[Shard]

    @property
    def shard_sizes(self) -> list[int]:
        return [len(shard.vectors) for shard in self.parts]

    def shard(self, index: int) -> Shard:
        return self.parts[index]


def made_pass(n_tokens: int, n_texts: int = 70, width: int = WIDTH) -> Passed:
    random = np.random.default_rng(3)
    parts = []
    for n in (n_texts // 2, n_texts - n_texts // 2):
        lengths = random.integers(1, 9, n)
        vectors = random.standard_normal((n, width))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        ids = random.integers(0, n_tokens, lengths.sum()).astype(np.uint32)
        parts.append(
            Shard(vectors=vectors.astype(np.float16), ids=ids, offsets=offsets_of(lengths))
        )
    return Passed(np.zeros((n_tokens, width), np.float32), np.zeros(n_tokens, np.int64), parts)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_teacher(tmp_path_factory.mktemp("teacher") / "bert", "bert")


@pytest.fixture(scope="module")
def folder_of_pairs(teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    tokenizer = Tokenizer((teacher / "tokenizer.json").read_text(encoding="utf-8"))
    build_store(open_sources(PAIRS), tokenizer, folder, unk_id_dropped=tokenizer.unk_id)
    return folder


def stream_of(folder: Path, settings: PolishSettings) -> BatchStream:
    store = TokenStore(folder)
    return BatchStream(store, batch_size=settings.batch_size, seed=settings.seed)


def made_table(n_tokens: int, dim: int = DIM) -> NDArray[np.float32]:
    table = np.random.default_rng(2).standard_normal((n_tokens, dim))
    return (3 * table).astype(np.float32)


def rotation_of(width: int, dim: int) -> NDArray[np.float32]:
    square = np.random.default_rng(5).standard_normal((width, width))
    return np.linalg.qr(square)[0][:, :dim].astype(np.float32)


N_TOKENS = 130


def drawn_and_batch(texts: TargetTexts, stream: BatchStream, step: int) -> tuple[Any, Any, Batch]:
    return *texts.draw(SMALL.target_texts, step), next(stream)


def plain_polish(table: NDArray[np.float32], texts: TargetTexts, stream: BatchStream) -> Any:
    """The polish with torch's functions, float64, dense and without blocks; rows on own clocks."""
    size = np.sqrt(np.mean(table.astype(np.float64) ** 2))
    rows = torch.tensor(table, dtype=torch.float64, requires_grad=True)
    first, second = torch.zeros_like(rows), torch.zeros_like(rows)
    touched_at = torch.zeros(len(rows), dtype=torch.int64)
    n_warmup = round(SMALL.warmup * SMALL.n_steps)

    def means(bag: Any) -> Any:
        ids, offsets = torch.from_numpy(bag.ids.astype(np.int64)), torch.from_numpy(bag.offsets)
        return F.embedding_bag(ids, rows, offsets[:-1], mode="mean")

    for step in range(SMALL.n_steps):
        bag, targets, batch = drawn_and_batch(texts, stream, step)
        vectors, wanted = means(bag), torch.from_numpy(targets).double()
        left, right = means(batch.columns["anchor"]), means(batch.columns["positive"])
        loss = torch.zeros((), dtype=torch.float64)
        for dim in SMALL.dims or ():
            a, b = F.normalize(left[:, :dim], dim=1), F.normalize(right[:, :dim], dim=1)
            logits, own = a @ b.T / SMALL.temperature, torch.arange(len(a))
            loss = loss + (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
            near = F.cosine_similarity(vectors[:, :dim], wanted[:, :dim])
            loss = loss + SMALL.target_weight * (1 - near).mean()
        (gradient,) = torch.autograd.grad(loss, rows)
        used = [bag.ids, batch.columns["anchor"].ids, batch.columns["positive"].ids]
        ids = torch.from_numpy(np.unique(np.concatenate(used)).astype(np.int64))
        left_over = SMALL.n_steps - n_warmup
        share = (step + 1) / n_warmup if step < n_warmup else 1 - (step - n_warmup) / left_over
        absent = (step - touched_at[ids])[:, None].double()
        first[ids] = 0.9 * first[ids] * 0.9**absent + 0.1 * gradient[ids]
        second[ids] = 0.999 * second[ids] * 0.999**absent + 0.001 * gradient[ids] ** 2
        touched_at[ids] = step + 1
        mean, square = first[ids] / (1 - 0.9 ** (step + 1)), second[ids] / (1 - 0.999 ** (step + 1))
        with torch.no_grad():
            rate = SMALL.lr * share * size / 0.1
            rows[ids] -= rate * mean / (square.sqrt() + 1e-8 * 0.1 / size)
    return rows.detach().numpy()


def test_the_polished_table_is_the_one_that_torchs_functions_give(folder_of_pairs: Path) -> None:
    table = made_table(N_TOKENS)
    texts = TargetTexts(made_pass(N_TOKENS), rotation_of(WIDTH, DIM))
    found = polish(table, texts, stream_of(folder_of_pairs, SMALL), SMALL)
    expected = plain_polish(table, texts, stream_of(folder_of_pairs, SMALL))
    moved = np.abs(expected - table)
    assert 0.05 < moved.max() < 5
    np.testing.assert_allclose(found, expected, atol=2e-3 * moved.max())


def test_a_larger_table_takes_the_same_way(folder_of_pairs: Path) -> None:
    table = made_table(N_TOKENS)
    texts = TargetTexts(made_pass(N_TOKENS), rotation_of(WIDTH, DIM))
    found = [
        polish(factor * table, texts, stream_of(folder_of_pairs, SMALL), SMALL) / factor
        for factor in (np.float32(1), np.float32(1024), np.float32(2**-8))
    ]
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[2], found[0], rtol=1e-5, atol=1e-6)


def test_rows_that_no_text_touches_stay_as_they_are(folder_of_pairs: Path) -> None:
    table = made_table(N_TOKENS + 40)
    before = table.copy()
    passed = made_pass(N_TOKENS)
    found = polish(
        table,
        TargetTexts(passed, rotation_of(WIDTH, DIM)),
        stream_of(folder_of_pairs, SMALL),
        SMALL,
    )
    np.testing.assert_array_equal(table, before)
    np.testing.assert_array_equal(found[N_TOKENS:], table[N_TOKENS:])
    seen = np.unique(np.concatenate([shard.ids for shard in passed.parts]))
    assert (found[seen] != table[seen]).any(axis=1).mean() > 0.9


def test_any_number_of_threads_gives_the_same_bits(folder_of_pairs: Path) -> None:
    limits = pytest.importorskip("threadpoolctl", reason="threadpoolctl is not installed")
    settings = PolishSettings(n_steps=4, batch_size=48, target_texts=1500)
    passed = made_pass(N_TOKENS, n_texts=3000, width=160)
    table, turn = made_table(N_TOKENS, 128), rotation_of(160, 128)
    n_before, found = torch.get_num_threads(), []
    try:
        for n_threads in (1, 2, 3, 7):
            torch.set_num_threads(n_threads)
            with limits.threadpool_limits(n_threads, user_api="blas"):
                stream = stream_of(folder_of_pairs, settings)
                found.append(polish(table, TargetTexts(passed, turn), stream, settings))
    finally:
        torch.set_num_threads(n_before)
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


def test_texts_are_drawn_without_repeats_and_anew_for_each_step() -> None:
    passed, turn = made_pass(N_TOKENS), rotation_of(WIDTH, DIM)
    texts = TargetTexts(passed, turn, seed=4)
    bag, vectors = texts.draw(30, 2)
    again = TargetTexts(passed, turn, seed=4).draw(30, 2)
    np.testing.assert_array_equal(bag.ids, again[0].ids)
    np.testing.assert_array_equal(vectors, again[1])
    known = {
        shard.ids[begin:end].tobytes(): vector.astype(np.float32) @ turn
        for shard in passed.parts
        for begin, end, vector in zip(
            shard.offsets[:-1], shard.offsets[1:], shard.vectors, strict=True
        )
    }
    drawn = [bag.ids[b:e].tobytes() for b, e in pairwise(bag.offsets)]
    assert len(drawn) == len(vectors) == 30
    assert len({vector.tobytes() for vector in vectors}) == 30
    for ids, vector in zip(drawn, vectors, strict=True):
        np.testing.assert_allclose(vector, known[ids], atol=1e-6)
    others = {texts.draw(30, step)[1].tobytes() for step in range(5)}
    assert len(others) == 5
    assert len(texts.draw(1000, 0)[1]) == 70  # all, where more are asked for


def test_what_cannot_be_polished_is_refused(folder_of_pairs: Path) -> None:
    texts = TargetTexts(made_pass(N_TOKENS), rotation_of(WIDTH, DIM))
    stream = stream_of(folder_of_pairs, SMALL)
    with pytest.raises(RunFailed, match="all zeros"):
        polish(np.zeros((N_TOKENS, DIM), dtype=np.float32), texts, stream, SMALL)
    with pytest.raises(ValueError, match=r"\[16\] do not fit"):
        polish(made_table(N_TOKENS), texts, stream, replace(SMALL, dims=(16,)))
    broken = made_table(N_TOKENS)
    broken[:] = np.where(np.arange(DIM) == 1, np.float32(1e38), broken)
    with pytest.raises(RunFailed, match="the loss is"):
        polish(broken, texts, stream, replace(SMALL, lr=1e30))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_steps": 0}, "n_steps 0"),
        ({"lr": float("inf")}, "lr inf"),
        ({"temperature": 0.0}, r"temperature 0\.0"),
        ({"target_weight": -1.0}, r"target_weight -1\.0"),
        ({"warmup": 1.5}, r"warmup 1\.5"),
        ({"dims": ()}, r"dims \(\)"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_polishes_that_no_run_could_follow_are_refused(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        PolishSettings(**change)

"""The polish against torch's own functions in float64, and distillations with pairs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from tokenizers import Tokenizer as PeerTokenizer

import vecsmith
from tests.distillation import killed_polish
from tests.distillation.killed_polish import POINTS, made_pairs, polished_run
from tests.distillation.teachers import save_teacher
from vecsmith import StaticModel, distill
from vecsmith.distillation import PolishSettings, RegressionSettings
from vecsmith.distillation.polish import TargetTexts, polish
from vecsmith.distillation.teacher_pass import Shard, TeacherPass
from vecsmith.errors import RunFailed
from vecsmith.formats.safetensors import TensorFile
from vecsmith.tokenizer import Tokenizer
from vecsmith.training.bag import offsets_of
from vecsmith.training.batching import Batch, BatchStream
from vecsmith.training.pair_sources import open_sources
from vecsmith.training.token_store import TokenStore, build_store

TEXTS, PAIRS = made_pairs()
WIDTH, DIM = 12, 8
SMALL = PolishSettings(n_steps=5, batch_size=16, target_texts=24, dims=(4, DIM))


@dataclass
class Passed:
    """A pass of two shards over random texts of V tokens; enough of one for the polish."""

    sums: NDArray[np.float32]
    counts: NDArray[np.int64]
    parts: list[Shard]

    def shards(self) -> Iterator[Shard]:
        yield from self.parts


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

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed (extra train)")
pytest.importorskip("transformers", reason="transformers is not installed (extra distill)")

import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file

from tests.training.toy_runs import ProbeScore, graded_pairs, in_child, word_pairs
from tests.training.toy_transformers import (
    opened,
    run_killed_in_a_step,
    run_killed_while_scoring,
    toy_run,
)
from tests.transformer.teachers import FAMILIES, save_teacher
from vecsmith.errors import FormatError, RunFailed
from vecsmith.training import info_nce, matryoshka, read_curve, similarity_distillation
from vecsmith.training.losses import BOTH_WAYS
from vecsmith.training.pair_run import TokenizedPairs, run_folder, stream_of
from vecsmith.training.pair_sources import open_sources
from vecsmith.training.schedule import Schedule
from vecsmith.training.transformer import run_transformer_training, train_transformer
from vecsmith.training.transformer_base import TextReading
from vecsmith.transformer.text_encoder import TextEncoder

SHORT: dict[str, Any] = {"batch_size": 16, "precision": "float32", "device": "cpu", "lr": 1e-3}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_teacher(tmp_path_factory.mktemp("base") / "bert", "bert")


def weights_in(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_file(folder / "model.safetensors")
    return found


def same_bits(first: Path, second: Path) -> bool:
    own, other = weights_in(first), weights_in(second)
    return own.keys() == other.keys() and all(torch.equal(own[name], other[name]) for name in own)


def accuracy(encoder: TextEncoder, pairs: list[tuple[str, str]], dim: int) -> float:
    queries, candidates = (
        encoder.encode([pair[side] for pair in pairs])[:, :dim] for side in (0, 1)
    )
    queries, candidates = (
        each / np.linalg.norm(each, axis=1, keepdims=True) for each in (queries, candidates)
    )
    return float(((queries @ candidates.T).argmax(1) == np.arange(len(pairs))).mean())


def test_training_draws_pairs_together_and_sentence_transformers_opens_what_it_writes(
    tmp_path: Path, base: Path
) -> None:
    pairs = word_pairs(160)
    trained = train_transformer(
        base, pairs=pairs, out=tmp_path / "out", dims=[16, 4], epochs=8, **{**SHORT, "lr": 5e-3}
    )
    before = TextEncoder.from_pretrained(base)
    for dim in (16, 4):
        assert accuracy(trained, pairs, dim) > accuracy(before, pairs, dim) + 0.1
    ours = json.loads((tmp_path / "out" / "config.json").read_text())["vecsmith"]
    assert ours["matryoshka_dims"] == [4, 16]
    assert ours["recipe"]["pairs_seen"] == 8 * 160
    assert ours["data"][0]["pairs"] == 160
    pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    from sentence_transformers import SentenceTransformer

    texts = [pair[0] for pair in pairs[:5]]
    theirs = SentenceTransformer(str(tmp_path / "out"), device="cpu", truncate_dim=4)
    np.testing.assert_allclose(theirs.encode(texts), trained.encode(texts)[:, :4], atol=2e-5)


def test_a_run_is_the_plain_loop_of_torch(tmp_path: Path, base: Path) -> None:
    pairs, steps, lr = word_pairs(60), 6, 2e-3
    loss = matryoshka(partial(info_nce, temperature=0.1, directions=BOTH_WAYS), {16: 1.0, 8: 0.5})
    start, settings = opened(
        base,
        steps=steps,
        lr=lr,
        dropout=0.0,
        batch_size=20,
        eps=1e-3,
        weight_decay=0.1,
        clip_norm=0.5,
    )
    run_transformer_training(
        {"rows": pairs}, start, settings, loss=loss, out=tmp_path / "out", tell=lambda line: None
    )
    model = transformers.AutoModel.from_pretrained(base).eval()
    matrices = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
        lr=lr,
        eps=1e-3,
    )
    again, _ = opened(base)
    reading = TextReading.of(again.said, settings, again.encoder)
    with run_folder(None, restart=False) as (folder, _):
        tokenized = TokenizedPairs(
            reading.tokenizer,
            folder,
            max_length=reading.max_length,
            unk_id_dropped=None,
            show_progress_bar=False,
        )
        store = tokenized.store(open_sources({"rows": pairs}), None)
        stream = stream_of(store, {"rows": loss}, settings)
        rates = Schedule(peak=lr, n_steps=steps, n_warmup=1)
        for step in range(steps):
            rows = store.sources[0].numbers(next(stream).rows)
            texts = [pairs[i][side] for side in (0, 1) for i in rows]
            ids = [[3, *reading.tokenizer.encode(text).ids, 4] for text in texts]
            width = max(map(len, ids))
            padded = torch.tensor([[*row, *[0] * (width - len(row))] for row in ids])
            mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ids])
            states = model(input_ids=padded, attention_mask=mask).last_hidden_state
            vectors = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
            total = torch.zeros(())
            n = len(rows)
            for dim, weight in ((16, 1.0), (8, 0.5)):
                unit = F.normalize(vectors[:, :dim])
                logits, target = 10 * unit[:n] @ unit[n:].T, torch.arange(n)
                both = F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)
                total = total + weight * both / 2
            optimizer.zero_grad()
            total.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            for group in optimizer.param_groups:
                group["lr"] = rates.rate(step)
            optimizer.step()
    expected = model.state_dict()
    found = weights_in(tmp_path / "out")
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, expected[name], atol=2e-5, rtol=1e-4)
    untouched = transformers.AutoModel.from_pretrained(base).state_dict()
    name = "encoder.layer.0.attention.self.query.weight"
    assert not torch.allclose(found[name], untouched[name], atol=1e-3)


def test_a_run_killed_twice_ends_with_the_bits_of_one_that_was_not(
    tmp_path: Path, base: Path
) -> None:
    toy_run(tmp_path / "whole", base)
    out = tmp_path / "out"
    for killed_run in (run_killed_in_a_step, run_killed_while_scoring):
        assert in_child(killed_run, out, base) == -9
        assert not out.exists()
    toy_run(out, base)
    assert same_bits(out, tmp_path / "whole")
    curves = [read_curve(f"{each}.run/curve.json") for each in (out, tmp_path / "whole")]
    assert [p.loss for p in curves[0].points] == [p.loss for p in curves[1].points]
    assert [e.score for e in curves[0].evaluations] == [e.score for e in curves[1].evaluations]
    toy_run(tmp_path / "other", base, seed=8)
    assert not same_bits(tmp_path / "other", tmp_path / "whole")


def test_weights_of_the_best_score_are_written(tmp_path: Path, base: Path) -> None:
    class Falling(ProbeScore):
        n_calls = 0

        def __call__(self, encoder: Any) -> float:
            assert encoder.encode("hello").shape == (16,)
            Falling.n_calls += 1
            return -float(Falling.n_calls)

    train_transformer(
        base,
        pairs=word_pairs(64),
        out=tmp_path / "out",
        steps=40,
        evaluate_every=2,
        patience=2,
        score=Falling(),
        **SHORT,
    )
    kept, begun = weights_in(tmp_path / "out"), weights_in(base)
    assert all(torch.equal(kept[name], begun[name]) for name in kept)
    recipe = json.loads((tmp_path / "out" / "config.json").read_text())["vecsmith"]["recipe"]
    assert recipe["steps"] == {"planned": 40, "done": 4, "kept": 0}


def test_a_teachers_similarities_are_learnt(tmp_path: Path, base: Path) -> None:
    class Teacher:
        """Cosines of letters counted."""

        fingerprint = "letters"

        def encode(self, texts: Any, **options: Any) -> Any:
            counts = [[text.count(c) + 0.01 for c in "abcdeghlmnotrsw"] for text in texts]
            return np.array(counts, dtype=np.float32)

    pairs = word_pairs(96)
    texts = sorted({text for pair in pairs for text in pair})
    wanted = Teacher().encode(texts)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)

    def agreement(encoder: TextEncoder) -> float:
        vectors = encoder.encode(texts)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return float(np.corrcoef((vectors @ vectors.T).ravel(), (wanted @ wanted.T).ravel())[0, 1])

    trained = train_transformer(
        base,
        pairs=pairs,
        out=tmp_path / "out",
        epochs=6,
        teacher=Teacher(),
        loss=matryoshka(partial(similarity_distillation, temperature=0.1), {16: 1.0, 8: 1.0}),
        **{**SHORT, "lr": 5e-3},
    )
    assert agreement(trained) > agreement(TextEncoder.from_pretrained(base)) + 0.1


def test_graded_pairs_hard_negatives_and_korean_texts_are_trained_on(tmp_path: Path) -> None:
    base = save_teacher(tmp_path / "base", "modernbert")  # whose tokens are bytes
    korean = [
        (f"나는 학교에 간다 {i}", f"학교에 가는 중이다 {i}", f"고양이 {i}") for i in range(20)
    ]
    trained = train_transformer(
        base,
        pairs={"graded": graded_pairs(40), "korean": korean},
        out=tmp_path / "out",
        layers="all",
        mini_batch=8,
        **SHORT,
    )
    ours = json.loads((tmp_path / "out" / "config.json").read_text())["vecsmith"]
    assert [each["pairs"] for each in ours["data"]] == [40, 20]
    assert "cosent" in str(ours["recipe"]["loss"])
    assert ours["layers"] == [1, 2]
    assert np.isfinite(trained.encode(["학교"])).all()


def test_dense_modules_stay_or_are_trained_as_asked(tmp_path: Path, base: Path) -> None:
    pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Pooling, Transformer

    torch.manual_seed(0)
    SentenceTransformer(
        modules=[Transformer(str(base)), Pooling(16), Dense(16, 12)], device="cpu"
    ).save(str(tmp_path / "dense"))
    kept = load_file(tmp_path / "dense" / "2_Dense" / "model.safetensors")
    for train_dense in (False, True):
        out = tmp_path / f"out-{train_dense}"
        trained = train_transformer(
            tmp_path / "dense",
            pairs=word_pairs(64),
            out=out,
            dims=[12, 6],
            train_dense=train_dense,
            checkpoint_every=2,
            **SHORT,
        )
        found = load_file(out / "2_Dense" / "model.safetensors")
        for name, weight in kept.items():
            assert torch.equal(found[name], weight) is not train_dense
        theirs = SentenceTransformer(str(out), device="cpu").encode(["the fox", "a dog"])
        np.testing.assert_allclose(trained.encode(["the fox", "a dog"]), theirs, atol=2e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_base_of_every_family_is_trained_in_bfloat16(tmp_path: Path, family: str) -> None:
    base = save_teacher(tmp_path / "base", family)
    train_transformer(
        base,
        pairs=word_pairs(32),
        out=tmp_path / "out",
        steps=2,
        mini_batch=8,
        layers=[1, 2],
        **{**SHORT, "precision": "bfloat16"},
    )
    before, after = weights_in(base), weights_in(tmp_path / "out")
    assert before.keys() >= after.keys()
    assert all(weight.dtype == torch.float32 for weight in after.values())
    layered = [name for name in after if "layers.0." in name or "layer.0." in name]
    assert any(not torch.equal(before[name], after[name]) for name in layered)


def test_prompts_are_read_before_texts_and_kept(tmp_path: Path, base: Path) -> None:
    prompts = {"query": "go to ", "document": "the dog "}
    pairs = word_pairs(32)
    asked = train_transformer(
        base, pairs=pairs, out=tmp_path / "asked", steps=2, prompts=prompts, **SHORT
    )
    assert dict(asked.prompts) == prompts
    written = [(f"go to {a}", f"the dog {b}") for a, b in pairs]
    train_transformer(base, pairs=written, out=tmp_path / "written", steps=2, **SHORT)
    assert same_bits(tmp_path / "asked", tmp_path / "written")
    # and a model that has prompts is trained with them
    train_transformer(tmp_path / "asked", pairs=pairs, out=tmp_path / "again", steps=2, **SHORT)
    train_transformer(
        tmp_path / "asked", pairs=written, out=tmp_path / "by hand", steps=2, prompts={}, **SHORT
    )
    assert same_bits(tmp_path / "again", tmp_path / "by hand")


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"dims": [32, 8]}, ValueError, "prefixes of at most 16: the model has no more"),
        ({"max_length": 1000}, ValueError, "max_length 1000, expected 3 to 512"),
        ({"max_length": 2}, ValueError, "max_length 2, expected 3 to 512"),
        ({"layers": [1]}, ValueError, r"layers \[1\], expected different depths from 1 to 2"),
        ({"layers": "half"}, ValueError, "variant 'half', expected one of"),
        ({"precision": "int8"}, ValueError, "compute_dtype 'int8', expected"),
        ({"mini_batch": -1}, ValueError, "mini_batch -1, expected 0 or more texts"),
        ({"dropout": 1.0}, ValueError, "dropout 1.0, expected a share"),
        ({"device": "abacus"}, ValueError, "device 'abacus', expected a torch device"),
        ({"loss": similarity_distillation}, ValueError, "asks for a teacher's vectors"),
        ({"lr": float("nan")}, ValueError, "lr nan, expected a number above 0"),
    ],
)
def test_a_mistake_is_told_before_anything_is_written(
    tmp_path: Path, base: Path, changes: dict[str, Any], kind: Any, message: str
) -> None:
    given: dict[str, Any] = {**SHORT, "steps": 1, "pairs": word_pairs(8), **changes}
    with pytest.raises(kind, match=message):
        train_transformer(base, out=tmp_path / "out", **given)
    assert list(tmp_path.iterdir()) == []


def test_what_would_be_lost_or_is_broken_is_refused(tmp_path: Path, base: Path) -> None:
    given: dict[str, Any] = {**SHORT, "steps": 1, "pairs": word_pairs(8)}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("", encoding="utf-8")
    with pytest.raises(FileExistsError, match=r"holds thesis.txt, which would be lost"):
        train_transformer(base, out=tmp_path / "mine", **given)
    with pytest.raises(ValueError, match="the folder of the model itself"):
        train_transformer(base, out=base, **given)
    broken = save_teacher(tmp_path / "broken", "bert")
    whole = (broken / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(whole[:5000])
    with pytest.raises(FormatError, match="could not be loaded"):
        train_transformer(broken, out=tmp_path / "out", **given)


def test_a_run_of_something_else_and_a_broken_checkpoint_are_refused(
    tmp_path: Path, base: Path
) -> None:
    class Interrupting(ProbeScore):
        n_calls = 0

        def __call__(self, encoder: Any) -> float:
            Interrupting.n_calls += 1
            if Interrupting.n_calls == 2:
                raise KeyboardInterrupt
            return super().__call__(encoder)

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        toy_run(out, base, score=Interrupting())
    assert not out.exists()
    with pytest.raises(ValueError, match=r"other settings \(seed was 7, is 8\)"):
        toy_run(out, base, seed=8)
    checkpoint = tmp_path / "out.run" / "checkpoint.safetensors"
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FormatError, match="checkpoint"):
        toy_run(out, base)


def test_a_loss_that_is_no_number_stops_the_run_with_its_step(tmp_path: Path, base: Path) -> None:
    def wild(queries: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        return info_nce(queries, candidates) * (float("nan") if len(queries) > 2 else 1.0)

    with pytest.raises(RunFailed, match="step 1, pairs 'rows': the loss is nan"):
        train_transformer(
            base, pairs={"rows": word_pairs(32)}, out=tmp_path / "out", steps=2, loss=wild, **SHORT
        )
    assert not (tmp_path / "out").exists()

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="torch is not installed (extra train)")
pytest.importorskip("transformers", reason="transformers is not installed (extra distill)")

import torch
import torch.nn.functional as F
import transformers

from tests.training.toy_runs import graded_pairs, word_pairs
from tests.training.toy_transformers import first_batch, gradients_of, opened
from tests.transformer.teachers import save_teacher
from vecsmith.training import cosent, info_nce, layered, matryoshka, transformer_student
from vecsmith.training.losses import BOTH_WAYS, EmbeddingLoss

PREFIXES = {16: 1.0, 4: 0.5}
NESTED = matryoshka(partial(info_nce, temperature=0.05, directions=BOTH_WAYS), PREFIXES)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_teacher(tmp_path_factory.mktemp("base") / "bert", "bert")


def assert_close(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    largest = max(float(gradient.abs().max()) for gradient in expected.values())
    for name, gradient in expected.items():
        error = float((found[name] - gradient).abs().max())
        assert error < 1e-6 * max(1.0, largest), (name, error, largest)


def rows_of(kind: str) -> list[Any]:
    if kind == "graded":
        return graded_pairs(24)
    pairs = word_pairs(24)
    if kind == "pairs":
        return pairs
    negatives = word_pairs(24, seed=5)
    return [
        {"anchor": a, "positive": b, "negative_1": f"{n} y", "negative_2": f"{m} z"}
        for (a, b), (n, m) in zip(pairs, negatives, strict=True)
    ]


@pytest.mark.parametrize(
    ("kind", "loss"),
    [
        ("pairs", NESTED),
        ("negatives", NESTED),
        ("graded", matryoshka(cosent, PREFIXES)),
        ("pairs", layered(NESTED, variant="all").for_layers(2)),
    ],
)
def test_a_gradient_cache_gives_the_gradients_of_the_whole_batch_dropout_and_all(
    tmp_path: Path, base: Path, kind: str, loss: EmbeddingLoss
) -> None:
    found = []
    for mini_batch in (0, 7):
        start, settings = opened(base, batch_size=24, mini_batch=7)
        batch = first_batch(start, settings, rows_of(kind), tmp_path / "run")
        if not mini_batch:  # the same blocks of texts, all held at once
            settings = settings.with_given({"mini_batch": 2**20})
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(transformer_student, "_CPU_TEXTS", 7)
                found.append(gradients_of(start, settings, batch, loss))
        else:
            found.append(gradients_of(start, settings, batch, loss))
    assert_close(found[1], found[0])


@pytest.mark.parametrize("mini_batch", [0, 5])
def test_a_step_has_the_gradients_of_one_padded_batch_in_plain_torch(
    tmp_path: Path, base: Path, mini_batch: int
) -> None:
    start, settings = opened(base, batch_size=20, mini_batch=mini_batch, dropout=0.0)
    batch = first_batch(start, settings, word_pairs(20), tmp_path / "run")
    found = gradients_of(start, settings, batch, NESTED)

    model = transformers.AutoModel.from_pretrained(base).eval()
    bags = [batch.columns[role] for role in ("anchor", "positive")]
    cls, sep = 3, 4  # of the tiny tokenizer
    texts = [
        [cls, *bag.ids[bag.offsets[i] : bag.offsets[i + 1]].tolist(), sep]
        for bag in bags
        for i in range(20)
    ]
    width = max(map(len, texts))
    ids = torch.tensor([[*text, *[0] * (width - len(text))] for text in texts])
    mask = torch.tensor([[1] * len(text) + [0] * (width - len(text)) for text in texts])
    states = model(input_ids=ids, attention_mask=mask).last_hidden_state
    vectors = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    total = torch.zeros(())
    for dim, weight in PREFIXES.items():
        unit = F.normalize(vectors[:, :dim], dim=-1)
        logits = unit[:20] @ unit[20:].T / 0.05
        target = torch.arange(20)
        both = F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)
        total = total + weight * both / 2
    total.backward()  # type: ignore[no-untyped-call]
    expected = {f"model.{n}": p.grad for n, p in model.named_parameters() if p.grad is not None}
    assert_close(found, expected)

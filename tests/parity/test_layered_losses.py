"""Losses over layers against those of sentence-transformers: values and all weights' gradients."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.transformer.teachers import save_teacher
from vecsmith.training import LayerVariant, info_nce, layered, matryoshka
from vecsmith.training.losses import EmbeddingLoss, cosent

pytest.importorskip("sentence_transformers")

from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import losses as theirs
from sentence_transformers.sentence_transformer.losses import adaptive_layer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

N_LAYERS = 4
DIMS = {16: 1.0, 8: 0.5, 4: 2.0}
QUERIES = ["the quick fox", "take this", "it is small", "alone to go"]
CANDIDATES = ["a brown fox", "it is dangerous to take", "the dog", "go"]


class Forced:
    """Draws that were settled before, for either library."""

    def __init__(self, draws: Sequence[Sequence[int]]) -> None:
        self._draws = [list(draw) for draw in draws]

    def choice(self, values: Sequence[int], size: int, replace: bool) -> Any:
        """As numpy's generator, of dims and layers."""
        draw = self._draws.pop(0)
        assert not replace
        assert len(draw) == size
        assert set(draw) <= set(values)
        return torch.tensor(draw)

    def sample(self, population: Sequence[int], k: int) -> list[int]:
        """As `random.sample`, of layers and of the places of dims, the longest first."""
        draw = self._draws.pop(0)
        assert len(draw) == k
        if len(population) == len(DIMS):
            return [sorted(DIMS, reverse=True).index(dim) for dim in draw]
        assert set(draw) <= set(population)
        return draw


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> SentenceTransformer:
    """Four tiny layers in float64, without dropout."""
    folder = save_teacher(tmp_path_factory.mktemp("base") / "bert", "bert", n_layers=N_LAYERS)
    pooling = Pooling(16, pooling_mode="mean")
    built = SentenceTransformer(modules=[Transformer(str(folder)), pooling], device="cpu")
    return built.double().eval()


def vectors_of(model: SentenceTransformer, layers: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Vectors after each of `layers` by the model's own transformer, [L, B, D] twice."""
    sides = []
    for texts in (QUERIES, CANDIDATES):
        features = model.preprocess(texts)
        inputs = {name: features[name] for name in ("input_ids", "attention_mask")}
        transformer: Any = model[0].auto_model
        states = transformer(**inputs, output_hidden_states=True).hidden_states
        mask = features["attention_mask"][..., None].double()
        sides.append(torch.stack([(states[i] * mask).sum(1) / mask.sum(1) for i in layers]))
    return sides[0], sides[1]


def gradients_of(model: SentenceTransformer, value: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    value.backward()  # type: ignore[no-untyped-call]
    return {
        name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
        for name, p in model.named_parameters()
    }


def assert_same(
    model: SentenceTransformer,
    ours: EmbeddingLoss,
    loss: torch.nn.Module,
    draws: Sequence[Sequence[int]],
    monkeypatch: pytest.MonkeyPatch,
    scores: Tensor | None = None,
) -> None:
    """That both give one value and one gradient to every weight under the same draws."""
    monkeypatch.setattr("random.sample", Forced(draws).sample)
    labels = torch.zeros(len(QUERIES)) if scores is None else scores
    expected = loss([model.preprocess(texts) for texts in (QUERIES, CANDIDATES)], labels)
    monkeypatch.undo()
    step = ours.for_step(Forced(draws))  # type: ignore[attr-defined]
    given = {} if scores is None else {"scores": scores}
    found = step(*vectors_of(model, step.layers), **given)
    assert found.item() == pytest.approx(expected.item(), abs=1e-10)
    theirs_by_name, ours_by_name = gradients_of(model, expected), gradients_of(model, found)
    assert sum(bool(g.any()) for g in ours_by_name.values()) > 30
    for name, gradient in theirs_by_name.items():
        torch.testing.assert_close(ours_by_name[name], gradient, atol=1e-10, rtol=1e-7)


@pytest.mark.parametrize("layer", range(N_LAYERS))
@pytest.mark.parametrize("weighting", ["uniform", "log", "linear"])
def test_a_sampled_layer_is_their_adaptive_layer_loss(
    model: SentenceTransformer, layer: int, weighting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = theirs.AdaptiveLayerLoss(
        model,
        theirs.MultipleNegativesRankingLoss(model),
        last_layer_weight=0.7,
        prior_layers_weight=1.3,
        kl_div_weight=0.9,
        kl_temperature=0.5,
        layer_weighting=weighting,
    )
    ours = layered(
        info_nce,
        variant="sentence-transformers-v6",
        first_layer=0,
        last_weight=0.7,
        prior_weight=1.3,
        kl_weight=0.9,
        kl_temperature=0.5,
        weighting=weighting,
    ).for_layers(N_LAYERS)
    assert_same(model, ours, loss, [[layer]], monkeypatch)


@pytest.mark.parametrize("n_layers_per_step", [2, 0])
def test_several_layers_a_step_are_their_adaptive_layer_loss(
    model: SentenceTransformer, n_layers_per_step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = theirs.MultipleNegativesRankingLoss(model)
    loss = theirs.AdaptiveLayerLoss(model, base, n_layers_per_step=n_layers_per_step or -1)
    ours = layered(
        partial(info_nce, temperature=0.05),
        variant="sentence-transformers-v6",
        first_layer=0,
        n_layers_per_step=n_layers_per_step,
    ).for_layers(N_LAYERS)
    assert_same(model, ours, loss, [[0, 2]] if n_layers_per_step else [], monkeypatch)


@pytest.mark.parametrize("draws", [([16], [3], [4]), ([8], [1], [16]), ([4], [0], [4])])
def test_a_nested_loss_of_sampled_layers_is_their_matryoshka_2d_loss(
    model: SentenceTransformer, draws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = theirs.Matryoshka2dLoss(
        model, theirs.MultipleNegativesRankingLoss(model), list(DIMS), list(DIMS.values())
    )
    nested = matryoshka(info_nce, DIMS, n_per_step=1, always=())
    ours = layered(nested, variant="sentence-transformers-v6", first_layer=0).for_layers(N_LAYERS)
    assert_same(model, ours, loss, draws, monkeypatch)


def test_graded_pairs_under_sampled_layers_are_their_matryoshka_2d_loss(
    model: SentenceTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = torch.tensor([0.1, 0.9, 0.4, 0.6], dtype=torch.float64)
    loss = theirs.Matryoshka2dLoss(
        model, theirs.CoSENTLoss(model), list(DIMS), list(DIMS.values()), n_dims_per_step=-1
    )
    ours = layered(matryoshka(cosent, DIMS), variant="sentence-transformers-v6", first_layer=0)
    assert_same(model, ours.for_layers(N_LAYERS), loss, [[2]], monkeypatch, scores)


def test_the_older_variant_is_theirs_without_the_detached_teacher(
    model: SentenceTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = textwrap.dedent(inspect.getsource(adaptive_layer.AdaptiveLayerLoss))
    older = source.replace("dim=-1).detach()", "dim=-1)")
    assert older != source
    namespace = dict(vars(adaptive_layer))
    exec(compile(f"from __future__ import annotations\n{older}", "older", "exec"), namespace)
    base = theirs.MatryoshkaLoss(
        model,
        theirs.MultipleNegativesRankingLoss(model),
        list(DIMS),
        list(DIMS.values()),
        n_dims_per_step=1,
    )
    loss = namespace["AdaptiveLayerLoss"](model, base, layer_weighting="linear")
    nested = matryoshka(info_nce, DIMS, n_per_step=1, always=())
    variant: LayerVariant = "sentence-transformers-v5"
    ours = layered(nested, variant=variant, first_layer=0).for_layers(N_LAYERS)
    assert_same(model, ours, loss, [[4], [2], [16]], monkeypatch)


def test_the_base_of_these_tests_is_really_there(model: SentenceTransformer) -> None:
    assert Path(adaptive_layer.__file__).is_file()
    queries, _ = vectors_of(model, [0, N_LAYERS])
    assert (queries[0] - queries[1]).abs().max() > 1e-2
    torch.testing.assert_close(
        queries[1], model.encode(QUERIES, convert_to_tensor=True).double(), atol=1e-6, rtol=0
    )

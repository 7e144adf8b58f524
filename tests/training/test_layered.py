"""Losses over layers against their formulas in float64, and against finite differences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from vecsmith.training import LAYER_VARIANTS, LayerVariant, info_nce, layered, matryoshka
from vecsmith.training.alignment import principal_components, soft_divergence
from vecsmith.training.layer_plans import diagonal
from vecsmith.training.layers import Layered
from vecsmith.training.losses import cosent, drawn, needs, triplet
from vecsmith.training.provenance import describe_loss

N, B, DIM = 4, 5, 8
TEMPERATURE = 0.7  # at a sharp one differences drown in rounding
BASE = partial(info_nce, temperature=TEMPERATURE)
DIMS = {2: 3.0, 4: 0.5, 8: 2.0}
Vectors = NDArray[np.float64]


class Settled:
    """Draws that were settled before, handed out in order."""

    def __init__(self, *draws: int) -> None:
        self._draws = list(draws)

    def choice(self, values: Sequence[int]) -> int:
        assert self._draws[0] in values
        return self._draws.pop(0)

    def integers(self, low: int, high: int) -> int:
        assert low <= self._draws[0] < high
        return self._draws.pop(0)


@pytest.fixture
def sides() -> tuple[Tensor, Tensor]:
    """Vectors of queries and of candidates after every layer, the first in the first row."""
    torch.manual_seed(0)
    queries, candidates = (torch.randn(N, B, DIM, dtype=torch.float64) for _ in range(2))
    return queries.requires_grad_(), candidates.requires_grad_()


def at(sides: tuple[Tensor, Tensor], layers: Sequence[int]) -> tuple[Tensor, Tensor]:
    index = [layer - 1 for layer in layers]
    return sides[0][index], sides[1][index]


def loss_by_hand(sides: tuple[Tensor, Tensor], layer: int, dim: int = DIM) -> float:
    q, c = (side.detach().numpy()[layer - 1, :, :dim] for side in sides)
    q = q / np.linalg.norm(q, axis=1, keepdims=True)
    c = c / np.linalg.norm(c, axis=1, keepdims=True)
    logits = q @ c.T / TEMPERATURE
    return float(np.mean(np.log(np.exp(logits).sum(axis=1)) - np.diag(logits)))


def softmax(values: Vectors) -> Vectors:
    powers = np.exp(values)
    shares: Vectors = powers / powers.sum(axis=-1, keepdims=True)
    return shares


def divergence(targets: Vectors, vectors: Vectors, temperature: float) -> float:
    p, q = softmax(targets / temperature), softmax(vectors / temperature)
    return float(temperature * (p * np.log(p / q)).sum() / len(p))


def kl_by_hand(
    sides: tuple[Tensor, Tensor], layer: int, dim: int = DIM, temperature: float = 0.3
) -> float:
    both = np.concatenate([side.detach().numpy() for side in sides], axis=1)
    return divergence(both[N - 1, :, :dim], both[layer - 1, :, :dim], temperature)


def compression_by_hand(sides: tuple[Tensor, Tensor], layer: int, dim: int) -> float:
    z = np.concatenate([side.detach().numpy()[layer - 1] for side in sides])
    u, s, _ = np.linalg.svd(softmax(z.T @ z / math.sqrt(DIM)))
    u, s = u[:, :dim], s[:dim]
    u = u * np.sign(u[np.abs(u).argmax(axis=0), np.arange(dim)])
    targets = z @ u @ np.diag(s)
    return float(((z[:, :dim] - targets) ** 2).mean()) + divergence(targets, z[:, :dim], 1.0)


def drawn_by(loss: Layered, *draws: int) -> Layered:
    return loss.for_layers(N).for_step(Settled(*draws))  # type: ignore[arg-type]


def value_of(loss: Layered, sides: tuple[Tensor, Tensor]) -> float:
    return float(loss(*at(sides, loss.layers)).item())


def test_all_layers_are_the_last_and_the_mean_of_the_others_in_every_step(
    sides: tuple[Tensor, Tensor],
) -> None:
    loss = layered(matryoshka(BASE, DIMS), variant="all").for_layers(N)
    assert loss.layers == (1, 2, 3, 4)

    def nested(layer: int) -> float:
        return sum(weight * loss_by_hand(sides, layer, dim) for dim, weight in DIMS.items())

    prior = [nested(layer) + kl_by_hand(sides, layer) for layer in (1, 2, 3)]
    assert value_of(loss, sides) == pytest.approx(nested(4) + np.mean(prior), abs=1e-12)
    weighted = layered(
        BASE, variant="all", last_weight=2.0, prior_weight=0.5, kl_weight=0.0, weighting="log"
    )
    prior = [0.5 * loss_by_hand(sides, i) / (1 + math.log(1 + i)) for i in (1, 2, 3)]
    expected = 2 * loss_by_hand(sides, 4) + np.mean(prior)
    assert value_of(weighted.for_layers(N), sides) == pytest.approx(expected, abs=1e-12)


def test_starbucks_sums_fixed_pairs_and_draws_their_prefixes_to_the_last_layers(
    sides: tuple[Tensor, Tensor],
) -> None:
    pairs = [(1, 2), (3, 4), (4, 8)]
    loss = layered(BASE, variant="starbucks", pairs=pairs, kl_temperature=0.9).for_layers(N)
    assert loss.layers == (1, 3, 4)
    expected = sum(loss_by_hand(sides, layer, dim) for layer, dim in pairs)
    expected += sum(kl_by_hand(sides, layer, dim, 0.9) for layer, dim in pairs[:2])
    assert value_of(loss, sides) == pytest.approx(expected, abs=1e-12)


def test_a_layer_may_have_several_prefixes(sides: tuple[Tensor, Tensor]) -> None:
    pairs = [(layer, dim) for layer in (2, 4) for dim in DIMS]
    loss = layered(matryoshka(BASE, DIMS), pairs=pairs).for_layers(N)
    expected = sum(DIMS[dim] * loss_by_hand(sides, layer, dim) for layer, dim in pairs)
    expected += sum(kl_by_hand(sides, 2, dim) for dim in DIMS)
    assert value_of(loss, sides) == pytest.approx(expected, abs=1e-12)


def test_starbucks_pairs_the_prefixes_of_a_matryoshka_with_evenly_deep_layers(
    sides: tuple[Tensor, Tensor],
) -> None:
    loss = layered(matryoshka(BASE, DIMS), kl_weight=2.0).for_layers(N)
    pairs = [(2, 2), (3, 4), (4, 8)]
    expected = sum(DIMS[dim] * loss_by_hand(sides, layer, dim) for layer, dim in pairs)
    expected += sum(2 * kl_by_hand(sides, layer, dim) for layer, dim in pairs[:2])
    assert value_of(loss, sides) == pytest.approx(expected, abs=1e-12)
    # the sizes of the paper, of BERT base
    published = ((2, 32), (4, 64), (6, 128), (8, 256), (10, 512), (12, 768))
    assert diagonal(12, [768, 512, 256, 128, 64, 32]) == published


def test_2dmse_adds_one_layer_and_one_prefix_of_both_layers_and_aligns_both(
    sides: tuple[Tensor, Tensor],
) -> None:
    loss = drawn_by(layered(matryoshka(BASE, DIMS), variant="2dmse"), 4, 3)
    assert loss.layers == (3, 4)
    expected = sum(
        DIMS[dim] * loss_by_hand(sides, layer, dim) for layer in (3, 4) for dim in (4, 8)
    )
    expected += sum(kl_by_hand(sides, 3, dim, 1.0) for dim in (4, 8))
    assert value_of(loss, sides) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("dim", "layer"), [(2, 1), (4, 3), (8, 2)])
def test_angle_divides_by_the_layer_and_aligns_whole_vectors(
    dim: int, layer: int, sides: tuple[Tensor, Tensor]
) -> None:
    loss = drawn_by(layered(matryoshka(BASE, DIMS), variant="angle"), dim, layer)
    expected = DIMS[8] * loss_by_hand(sides, 4) + DIMS[dim] * loss_by_hand(sides, 4, dim)
    shallow = DIMS[8] * loss_by_hand(sides, layer) + DIMS[dim] * loss_by_hand(sides, layer, dim)
    expected += shallow / layer
    expected += math.log(2 + layer) * kl_by_hand(sides, layer, temperature=1.0)
    assert value_of(loss, sides) == pytest.approx(expected, abs=1e-12)


def test_ese_compresses_each_layer_to_its_principal_components(
    sides: tuple[Tensor, Tensor],
) -> None:
    loss = layered(BASE, variant="ese", compressed_dim=3).for_layers(N)
    assert loss.layers == (1, 2, 3, 4)
    expected = loss_by_hand(sides, 4) + loss_by_hand(sides, 4, 3) + compression_by_hand(sides, 4, 3)
    for layer in (1, 2, 3):
        own = loss_by_hand(sides, layer, 3) + compression_by_hand(sides, layer, 3)
        expected += own / (1 + math.log(1 + layer)) / 3
    assert value_of(loss, sides) == pytest.approx(expected, abs=1e-11)


@pytest.mark.parametrize(("variant", "by_layer"), [
    ("sentence-transformers-v5", {1: 1 / 2, 2: 1 / 3, 3: 1 / 4}),
    ("sentence-transformers-v6", {1: 1.0, 2: 1.0, 3: 1.0}),
])  # fmt: skip
def test_sampled_layers_are_averaged_and_their_divergences_summed(
    variant: LayerVariant, by_layer: Mapping[int, float], sides: tuple[Tensor, Tensor]
) -> None:
    loss = layered(BASE, variant=variant, n_layers_per_step=2).for_layers(N)
    step = loss.for_step(np.random.default_rng(1))
    chosen = step.layers[:-1]
    assert len(chosen) == 2
    expected = loss_by_hand(sides, 4)
    expected += sum(by_layer[layer] * loss_by_hand(sides, layer) for layer in chosen) / 2
    expected += sum(kl_by_hand(sides, layer) for layer in chosen)
    assert value_of(step, sides) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("variant", LAYER_VARIANTS)
def test_gradients_are_those_of_finite_differences(variant: LayerVariant) -> None:
    # of the teacher too: differences are not blind to what is detached, so it stands still here
    torch.manual_seed(4)
    loss = layered(matryoshka(BASE, DIMS), variant=variant).for_layers(N)
    step = drawn(loss, np.random.default_rng(2))
    layers = step.layers  # type: ignore[attr-defined]
    moves_all = variant in ("angle", "sentence-transformers-v5")
    free = layers if moves_all else layers[:-1]
    shape = (len(layers), 3, DIM)
    q, c = (torch.randn(shape, dtype=torch.float64) for _ in range(2))
    targets = torch.randn(6, 2, dtype=torch.float64)
    q.requires_grad_(), c.requires_grad_()

    def of(queries: Tensor, candidates: Tensor) -> Tensor:
        rest = q.detach()[len(free) :], c.detach()[len(free) :]
        both = torch.cat([queries, rest[0]]), torch.cat([candidates, rest[1]])
        value: Tensor = step(*both)
        return value

    with pytest.MonkeyPatch.context() as patch:
        # principal components are targets: held still, as the formula has them
        patch.setattr(
            "vecsmith.training.alignment.principal_components", lambda vectors, dim: targets
        )
        start = [side.detach()[: len(free)].clone().requires_grad_() for side in (q, c)]
        assert torch.autograd.gradcheck(of, tuple(start), eps=1e-6, atol=1e-6, fast_mode=True)


@pytest.mark.parametrize("variant", LAYER_VARIANTS)
def test_the_last_layer_is_drawn_to_the_others_only_where_the_variant_is_like_that(
    variant: LayerVariant, sides: tuple[Tensor, Tensor]
) -> None:
    loss = layered(
        matryoshka(BASE, DIMS), variant=variant, last_weight=0.0, prior_weight=0.0
    ).for_layers(N)
    step = drawn(loss, np.random.default_rng(0))
    value = step(*at(sides, step.layers))  # type: ignore[attr-defined]
    if variant == "ese":  # whose alignments are weighted as the losses of their layers
        assert not value.requires_grad
        return
    value.backward()  # type: ignore[no-untyped-call]
    assert sides[0].grad is not None
    assert bool(sides[0].grad[:-1].any())
    assert bool(sides[0].grad[-1].any()) == (variant in ("angle", "sentence-transformers-v5"))


def test_principal_components_are_those_of_numpy_and_hold_more_than_a_prefix() -> None:
    rng = np.random.default_rng(3)
    mixed = rng.normal(size=(40, DIM)) @ rng.normal(size=(DIM, DIM))
    z = mixed / np.linalg.norm(mixed, axis=1, keepdims=True)
    found = principal_components(torch.tensor(z), 3).numpy()
    u, s, _ = np.linalg.svd(softmax(z.T @ z / math.sqrt(DIM)))
    np.testing.assert_allclose(np.abs(found), np.abs(z @ u[:, :3] * s[:3]), atol=1e-12)
    again = principal_components(torch.tensor(z), 3).numpy()
    np.testing.assert_array_equal(found, again)


def test_a_divergence_from_itself_is_0_and_autocast_does_not_round_it() -> None:
    vectors = torch.randn(6, DIM)
    assert soft_divergence(vectors, vectors, temperature=0.3).item() == pytest.approx(0, abs=1e-6)
    other = torch.randn(6, DIM)
    plain = soft_divergence(vectors, other, temperature=0.3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(soft_divergence(vectors, other, temperature=0.3), plain)


def test_layers_and_prefixes_are_drawn_evenly_and_again_from_the_same_seed() -> None:
    nested = matryoshka(BASE, {2: 1.0, 4: 1.0, 8: 1.0}, n_per_step=1, always=())
    loss = layered(nested, variant="sentence-transformers-v6").for_layers(N)

    def drawn_in(step: int) -> tuple[int, ...]:
        of_step: Any = drawn(loss, np.random.default_rng([7, step]))
        dims = [dim for part in of_step.plan[0] for dim in part.loss.weights]
        return (*of_step.layers, *dims)

    steps = [drawn_in(step) for step in range(1200)]
    assert steps == [drawn_in(step) for step in range(1200)]
    counts = np.unique([step[0] for step in steps], return_counts=True)
    assert counts[0].tolist() == [1, 2, 3]
    assert (np.abs(counts[1] - 400) < 4 * math.sqrt(1200 * 2 / 9)).all()
    # the last layer's prefix and the other's are drawn on their own
    same = np.mean([step[2] == step[3] for step in steps])
    assert abs(same - 1 / 3) < 4 * math.sqrt(2 / 9 / 1200)


def test_a_model_of_one_layer_has_the_loss_of_its_layer(sides: tuple[Tensor, Tensor]) -> None:
    q, c = sides[0][:1], sides[1][:1]
    for variant in ("all", "2dmse", "angle", "sentence-transformers-v5"):
        loss = layered(BASE, variant=variant).for_layers(1)
        step = drawn(loss, np.random.default_rng(0))
        torch.testing.assert_close(step(q, c), BASE(q[0], c[0]))


def test_tensors_of_a_loss_are_passed_on_to_each_layer(sides: tuple[Tensor, Tensor]) -> None:
    scores = torch.rand(B, dtype=torch.float64)
    loss = layered(cosent, variant="all", kl_weight=0.0).for_layers(N)
    assert needs(loss) == {"scores"}
    q, c = sides
    one = [cosent(q[i], c[i], scores=scores) for i in range(N)]
    torch.testing.assert_close(loss(q, c, scores=scores), one[3] + sum(one[:3]) / 3)


def test_hard_negatives_count_in_every_layer() -> None:
    q = torch.randn(2, 3, DIM, dtype=torch.float64)
    c = torch.randn(2, 9, DIM, dtype=torch.float64)
    loss = layered(triplet, variant="all", kl_weight=0.0).for_layers(2)
    torch.testing.assert_close(loss(q, c), triplet(q[1], c[1]) + triplet(q[0], c[0]))


def test_float32_on_the_engine_is_float64_by_torch(sides: tuple[Tensor, Tensor]) -> None:
    for variant in ("all", "starbucks", "ese"):
        loss = layered(matryoshka(BASE, DIMS), variant=variant).for_layers(N)
        exact = at(sides, loss.layers)
        rounded = [side.detach().float().requires_grad_() for side in exact]
        value, other = loss(*exact), loss(*rounded)
        torch.testing.assert_close(other.double(), value, atol=1e-5, rtol=1e-6)
        (expected,) = torch.autograd.grad(value, exact[0])
        (found,) = torch.autograd.grad(other, rounded[0])
        torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-4)


def test_a_description_names_what_differs() -> None:
    nested = matryoshka(info_nce, {8: 1.0, 4: 1.0}, n_per_step=0)
    assert describe_loss(nested) == "matryoshka(info_nce, {4: 1, 8: 1}, n_per_step=0, always=(8,))"
    first = layered(nested, variant="all")
    second = layered(nested, variant="all", kl_weight=0.5)
    assert describe_loss(first) != describe_loss(second)
    assert "kl_weight=0.5" in describe_loss(second)


@pytest.mark.parametrize(("options", "message"), [
    ({"variant": "2d"}, r"variant '2d', expected one of \['all'"),
    ({"variant": "all", "pairs": [(1, 2)]}, "'all' has no use for it, expected .* 'starbucks'"),
    ({"variant": "ese", "first_layer": 0}, "first_layer is 0 and variant 'ese'"),
    ({"variant": "starbucks"}, "expected a matryoshka loss, or pairs"),
    ({"variant": "all", "kl_temperature": 0.0}, "kl_weight=0 leaves the divergence out"),
    ({"variant": "all", "prior_weight": -1.0}, "prior_weight is -1.0"),
    ({"pairs": [(0, 4)]}, "layers and prefix lengths of 1 or more"),
    ({"pairs": [(4, 8), (2, 4), (4, 8)]}, "expected each once"),
    ({"variant": "all", "weighting": "foo"}, r"weighting is 'foo', expected .* 'log', 'linear'"),
    ({"variant": "sentence-transformers-v6", "first_layer": 2}, "expected 0 or 1"),
    ({"variant": "sentence-transformers-v6", "n_layers_per_step": -1}, "expected 1 or more"),
])  # fmt: skip
def test_settings_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        layered(BASE, **options)


def test_what_is_not_known_yet_is_asked_for(sides: tuple[Tensor, Tensor]) -> None:
    loss = layered(BASE, variant="all")
    with pytest.raises(ValueError, match=r"for_layers\(n_layers\)"):
        loss.layers  # noqa: B018
    with pytest.raises(ValueError, match=r"for_step\(rng\)"):
        layered(BASE, variant="2dmse").for_layers(N)(*sides)
    with pytest.raises(ValueError, match=r"\[4, texts, dims\]"):
        loss.for_layers(N)(sides[0][:2], sides[1][:2])
    with pytest.raises(ValueError, match="of a model of 6 layers"):
        layered(BASE, pairs=[(2, 4), (4, 8)]).for_layers(6)
    with pytest.raises(ValueError, match=r"\[16\] do not fit embeddings of 8"):
        layered(BASE, pairs=[(2, 16), (4, 8)]).for_layers(N)(*at(sides, (2, 4)))
    weightless = layered(BASE, pairs=[(2, 16), (4, 8)], last_weight=0.0, prior_weight=0.0)
    with pytest.raises(ValueError, match="prefix length 16 does not fit"):
        weightless.for_layers(N)(*at(sides, (2, 4)))
    with pytest.raises(ValueError, match="chooses its own"):
        layered(matryoshka(BASE, DIMS, n_per_step=1), variant="2dmse")

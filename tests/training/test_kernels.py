"""The engine's loops against torch's operations, which are their specification, at every level."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vecsmith.tokenizer import cpu_level
from vecsmith.training import _kernels
from vecsmith.training.bag import Bag
from vecsmith.training.exclusion import Direction, Exclusions, make_keys
from vecsmith.training.nested_info_nce import engine_can, info_nce_of_prefixes
from vecsmith.training.optimizer import RowAdam, plain_adam
from vecsmith.training.prefix_blocks import Contrast, blocked_info_nce
from vecsmith.training.token_table import RowGradients, TokenTable, plain_gradients, plain_means

LEVELS = ("baseline", "neon", "sse4", "avx2", "avx512", "amx")
BOTH_WAYS: tuple[Direction, ...] = ("query_to_candidate", "candidate_to_query")


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("VECSMITH_CPU", request.param)
    try:
        return cpu_level()
    except ValueError:
        pytest.skip(f"this machine has no {request.param}")


def random_bag(rng: np.random.Generator, n_texts: int, n_tokens: int, longest: int) -> Bag:
    lengths = rng.integers(0, longest + 1, n_texts)
    ids = (n_tokens * rng.random(int(lengths.sum())) ** 3).astype(np.uint32)
    return Bag(ids, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


def random_table(rng: np.random.Generator, n: int, dim: int, *, weighted: bool) -> TokenTable:
    rows = torch.from_numpy(rng.standard_normal((n, dim), dtype=np.float32))
    weights = torch.from_numpy(rng.random(n, dtype=np.float32)) if weighted else None
    return TokenTable(rows, weights)


def both_losses(
    queries: Tensor, candidates: Tensor, contrast: Contrast, keys: tuple[Tensor, Tensor] | None
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Loss and gradients by the engine in float32 and by the specification in float64."""
    exclusions = Exclusions(
        n_queries=len(queries),
        n_candidates=len(candidates),
        device=queries.device,
        keys=None if keys is None else make_keys(*keys),
    )
    loss, *gradients = _kernels.nested_info_nce(
        queries,
        candidates,
        list(contrast.weights),
        list(contrast.weights.values()),
        contrast.temperature,
        excluded=keys,
        both_directions=len(contrast.directions) == 2,
        bfloat16=contrast.bfloat16,
    )
    plain = blocked_info_nce(
        queries.double(), candidates.double(), contrast, exclusions, with_gradients=True
    )
    return (torch.tensor(loss, dtype=torch.float64), *gradients), plain


def random_contrast(
    rng: np.random.Generator, dim: int, *, both_ways: bool, bfloat16: bool, temperature: float
) -> Contrast:
    lengths = sorted({dim, *(int(d) for d in rng.integers(2, dim + 1, 3))})
    weights = {length: float(rng.uniform(0.2, 2.0)) for length in lengths}
    return Contrast(
        weights=weights,
        temperature=temperature,
        directions=BOTH_WAYS if both_ways else BOTH_WAYS[:1],
        joint=False,
        bfloat16=bfloat16,
    )


def assert_near(found: tuple[Tensor, ...], expected: tuple[Tensor, ...], tolerance: float) -> None:
    torch.testing.assert_close(found[0], expected[0], rtol=tolerance, atol=tolerance)
    for mine, theirs in zip(found[1:], expected[1:], strict=True):
        atol = tolerance * float(theirs.abs().max())
        torch.testing.assert_close(mine.double(), theirs, rtol=0, atol=atol)


@pytest.mark.parametrize("both_ways", [False, True])
@pytest.mark.parametrize("bfloat16", [False, True])
def test_the_nested_loss_is_the_specification_at_random_sizes(
    level: str, both_ways: bool, bfloat16: bool
) -> None:
    rng = np.random.default_rng(len(level) + 2 * both_ways)
    for n_queries, n_more, dim in ((1, 0, 5), (7, 30, 33), (100, 0, 64), (97, 70, 130)):
        queries = torch.from_numpy(rng.standard_normal((n_queries, dim), dtype=np.float32))
        candidates = torch.from_numpy(
            rng.standard_normal((n_queries + n_more, dim), dtype=np.float32)
        )
        contrast = random_contrast(
            rng, dim, both_ways=both_ways, bfloat16=bfloat16, temperature=0.2
        )
        keys = (
            torch.from_numpy(rng.integers(0, 150, n_queries)),
            torch.from_numpy(rng.integers(0, 150, n_queries + n_more)),
        )
        for excluded in (None, keys):
            found, expected = both_losses(queries, candidates, contrast, excluded)
            if n_queries == 1 and n_more == 0:
                assert [float(x.abs().max()) for x in found] == [0.0, 0.0, 0.0]
            else:
                assert_near(found, expected, 2e-2 if bfloat16 else 2e-5)


def exact_gradients(
    queries: Tensor, candidates: Tensor, contrast: Contrast, keys: tuple[Tensor, Tensor] | None
) -> list[Tensor]:
    """Of log(1 + sum of exp(other - own)), in float64: no probability near 1 is rounded."""
    sides = [side.double().requires_grad_() for side in (queries, candidates)]
    n = len(queries)
    out = torch.eye(n, len(candidates), dtype=torch.bool)
    if keys is not None:
        of_queries, of_candidates = keys
        for own in (of_queries, of_candidates[:n]):
            out |= own[:, None] == of_candidates
            out[:, :n] |= own[:, None] == of_queries
    loss = torch.zeros((), dtype=torch.float64)
    for length, weight in contrast.weights.items():
        x, y = (torch.nn.functional.normalize(side[:, :length], dim=1) for side in sides)
        logits = x @ y.T / contrast.temperature
        own_N1 = logits.diagonal()[:, None]
        ways = [(logits - own_N1).masked_fill(out, -torch.inf)]
        if len(contrast.directions) == 2:
            ways.append((logits[:, :n].T - own_N1).masked_fill(out[:, :n].T, -torch.inf))
        losses = [torch.logaddexp(w.logsumexp(1), w.new_zeros(n)).mean() for w in ways]
        loss = loss + weight * torch.stack(losses).mean()
    torch.autograd.backward(loss)
    return [side.grad for side in sides if side.grad is not None]


@pytest.mark.parametrize("both_ways", [False, True])
@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("keyed", [False, True])
def test_gradients_of_pairs_that_are_learnt_already_keep_their_digits(
    level: str, both_ways: bool, bfloat16: bool, keyed: bool
) -> None:
    """Row by row: Adam makes full steps of the smallest gradient, so of its rounding as well."""
    rng = np.random.default_rng(7)
    queries = torch.from_numpy(rng.standard_normal((200, 256), dtype=np.float32))
    noise = torch.from_numpy(rng.standard_normal((200, 256), dtype=np.float32))
    more = torch.from_numpy(rng.standard_normal((60, 256), dtype=np.float32))
    candidates = torch.cat([queries + 0.05 * noise, more])
    if bfloat16:  # numbers that it holds: only gradients are rounded, not what they are of
        queries, candidates = queries.bfloat16().float(), candidates.bfloat16().float()
    keys = (torch.arange(200) % 150, torch.arange(260) % 170) if keyed else None
    for weights in ({256: 1.0}, {32: 1.0, 64: 0.5, 256: 1.0}):
        contrast = Contrast(
            weights=weights,
            temperature=0.02,
            directions=BOTH_WAYS if both_ways else BOTH_WAYS[:1],
            joint=False,
            bfloat16=bfloat16,
        )
        (_, *found), _ = both_losses(queries, candidates, contrast, keys)
        for mine, exact in zip(
            found, exact_gradients(queries, candidates, contrast, keys), strict=True
        ):
            assert float(exact.norm(dim=1).median()) < 1e-9
            off = (mine.double() - exact).norm(dim=1) / exact.norm(dim=1)
            assert float(off.median()) < (1e-2 if bfloat16 else 5e-5)
            # factors rounded by 2^-9 have parts along the vector, 20 times and more what is left
            assert float(off.max()) < (0.2 if bfloat16 else 1e-4)


@pytest.mark.parametrize("both_ways", [False, True])
@pytest.mark.parametrize("bfloat16", [False, True])
def test_pairs_whose_negatives_are_all_excluded_move_nothing(
    level: str, both_ways: bool, bfloat16: bool
) -> None:
    rng = np.random.default_rng(8)
    for n_queries, n_candidates in ((1, 1), (20, 20), (130, 170)):
        queries = torch.from_numpy(rng.standard_normal((n_queries, 64), dtype=np.float32))
        candidates = torch.from_numpy(rng.standard_normal((n_candidates, 64), dtype=np.float32))
        loss, *gradients = _kernels.nested_info_nce(
            queries,
            candidates,
            [16, 32, 64],
            [1.0, 1.0, 1.0],
            0.05,
            excluded=(torch.arange(n_queries), torch.full((n_candidates,), n_queries)),
            both_directions=both_ways,
            bfloat16=bfloat16,
        )
        assert loss == 0.0
        assert not any(bool(gradient.any()) for gradient in gradients)


def test_vectors_too_long_for_their_products_make_a_loss_that_is_none(level: str) -> None:
    queries, candidates = torch.randn(3, 8), torch.randn(4, 8)
    candidates[3] *= 1e19
    loss, *_ = _kernels.nested_info_nce(queries, candidates, [8], [1.0], 0.05)
    assert np.isnan(loss)


@settings(max_examples=25, deadline=None)
@given(
    n_queries=st.integers(1, 40),
    n_more=st.integers(0, 40),
    dim=st.integers(2, 90),
    seed=st.integers(0, 2**20),
    both_ways=st.booleans(),
)
def test_whatever_the_shape_the_engine_agrees_with_the_specification(
    n_queries: int, n_more: int, dim: int, seed: int, both_ways: bool
) -> None:
    rng = np.random.default_rng(seed)
    queries = torch.from_numpy(rng.standard_normal((n_queries, dim), dtype=np.float32))
    candidates = torch.from_numpy(rng.standard_normal((n_queries + n_more, dim), dtype=np.float32))
    contrast = random_contrast(rng, dim, both_ways=both_ways, bfloat16=False, temperature=1.0)
    found, expected = both_losses(queries, candidates, contrast, None)
    torch.testing.assert_close(found[0], expected[0], rtol=1e-5, atol=1e-5)
    for mine, theirs in zip(found[1:], expected[1:], strict=True):
        atol = 2e-5 * max(1e-2, float(theirs.abs().max()))
        torch.testing.assert_close(mine.double(), theirs, rtol=0, atol=atol)


def test_bfloat16_factors_leave_logits_near_one_apart() -> None:
    """Sums rounded to bfloat16 as well would be 0.08 apart at this temperature."""
    rng = np.random.default_rng(0)
    queries = torch.from_numpy(rng.standard_normal((64, 256), dtype=np.float32))
    noise = torch.from_numpy(rng.standard_normal((64, 256), dtype=np.float32))
    candidates = queries + 0.05 * noise  # cosines of pairs near 0.999
    losses = [
        _kernels.nested_info_nce(queries, candidates, [256], [1.0], 0.01, bfloat16=rounded)[0]
        for rounded in (False, True)
    ]
    exact = torch.nn.functional.cosine_similarity(queries, candidates) / 0.01
    found = [
        _kernels.nested_info_nce(
            queries[i : i + 1],
            torch.stack([candidates[i], candidates[i - 1]]),
            [256],
            [1.0],
            0.01,
            bfloat16=True,
        )[0]
        for i in range(64)
    ]
    assert abs(losses[0] - losses[1]) < 1e-3
    assert max(found) < 1e-6
    assert float(exact.std()) > 0


def test_the_loss_function_takes_the_engine_for_what_it_can_and_torch_for_the_rest() -> None:
    rng = np.random.default_rng(1)
    queries = torch.from_numpy(rng.standard_normal((6, 8), dtype=np.float32))
    none = Exclusions(n_queries=6, n_candidates=6, device=queries.device)

    def contrast(n_ways: int, *, joint: bool) -> Contrast:
        return Contrast(
            weights={8: 1.0},
            temperature=1.0,
            directions=BOTH_WAYS[:n_ways],
            joint=joint,
            bfloat16=False,
        )

    assert engine_can(queries, contrast(1, joint=False), none)
    assert engine_can(queries, contrast(1, joint=True), none)
    assert engine_can(queries, contrast(2, joint=False), none)
    assert not engine_can(queries, contrast(2, joint=True), none)
    assert not engine_can(queries.double(), contrast(1, joint=False), none)
    single = info_nce_of_prefixes(queries, queries.flip(1), {4: 1.0, 8: 2.0})
    double = info_nce_of_prefixes(queries.double(), queries.flip(1).double(), {4: 1.0, 8: 2.0})
    assert float(single) == pytest.approx(float(double), rel=1e-6)


def test_gradients_survive_a_second_loss_before_the_first_goes_back() -> None:
    rng = np.random.default_rng(2)
    sides = [torch.from_numpy(rng.standard_normal((32, 16), dtype=np.float32)) for _ in range(2)]
    alone = [side.clone().requires_grad_() for side in sides]
    info_nce_of_prefixes(alone[0], alone[1], {16: 1.0}).backward()  # type: ignore[no-untyped-call]
    kept = [side.clone().requires_grad_() for side in sides]
    first = info_nce_of_prefixes(kept[0], kept[1], {16: 1.0})
    for _ in range(5):
        info_nce_of_prefixes(sides[1], sides[0], {8: 3.0})
    torch.autograd.backward(first * 2.0)
    for mine, other in zip(kept, alone, strict=True):
        assert mine.grad is not None
        assert other.grad is not None
        torch.testing.assert_close(mine.grad, 2.0 * other.grad)


def test_vectors_are_used_again_once_nobody_reads_them() -> None:
    first = _kernels.vectors(1000, 70)
    address = first.data_ptr()
    view = first[10:]
    del first
    assert _kernels.vectors(1000, 70).data_ptr() != address
    del view
    assert _kernels.vectors(1000, 70).data_ptr() == address
    _kernels.release_memory()


@pytest.mark.parametrize("weighted", [False, True])
def test_means_and_gradients_are_the_specification(level: str, weighted: bool) -> None:
    rng = np.random.default_rng(3)
    for n_rows, dim, longest in ((40, 20, 60), (3000, 300, 4), (300, 515, 90)):
        table = random_table(rng, n_rows, dim, weighted=weighted)
        bags = [random_bag(rng, n, n_rows, longest) for n in (50, 3)]
        for bag in bags:
            torch.testing.assert_close(
                table.embed(bag), plain_means(table, bag), rtol=1e-5, atol=1e-5
            )
        pairs = [(bag, torch.randn(len(bag.offsets) - 1, dim)) for bag in bags]
        found, expected = table.gradients(pairs), plain_gradients(table, pairs)
        assert torch.equal(found.ids, expected.ids)
        torch.testing.assert_close(found.rows, expected.rows, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found.squares, expected.squares, rtol=1e-4, atol=1e-8)
        if weighted:
            torch.testing.assert_close(found.weights, expected.weights, rtol=1e-3, atol=1e-4)


def test_the_number_of_threads_changes_no_bit_of_a_step() -> None:
    n_before = torch.get_num_threads()
    results = []
    try:
        for n_threads in (1, 3):
            torch.set_num_threads(n_threads)
            rng = np.random.default_rng(4)
            table = random_table(rng, 500, 130, weighted=True)
            adam = RowAdam(table, lr=0.1, clip_norm=0.5)
            bag = random_bag(rng, 200, 500, 50)
            vectors = table.embed(bag)
            loss = _kernels.nested_info_nce(vectors[:100], vectors[100:], [64, 130], [1, 1], 0.05)
            adam.step(table.gradients([(bag, torch.cat(loss[1:]))]))
            results.append((vectors, *loss[1:], table.rows, table.token_weights))
    finally:
        torch.set_num_threads(n_before)
    for one, other in zip(*results, strict=True):
        assert one is not None
        assert other is not None
        assert torch.equal(one, other)


def test_a_step_of_the_engine_is_that_of_torch(level: str) -> None:
    rng = np.random.default_rng(5)
    for dim in (1, 17, 300):
        values = torch.from_numpy(rng.standard_normal((9, dim), dtype=np.float32))
        moments = [torch.rand(9, dim), torch.rand(9, dim)]
        ids = torch.tensor([1, 4, 8])
        gradients = torch.randn(3, dim)
        touched = torch.tensor([0, 3, 0, 0, 0, 0, 0, 0, 6])
        results = []
        for move in (plain_adam, _kernels.adam_rows):
            v, m1, m2 = values.clone(), moments[0].clone(), moments[1].clone()
            move(
                v,
                (m1, m2),
                ids,
                gradients,
                touched,
                betas=(0.9, 0.99),
                eps=1e-8,
                lr=0.1,
                weight_decay=0.02,
                scale=0.7,
                step=9,
            )
            results.append((v, m1, m2))
        for mine, other in zip(*results, strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-6)


def test_an_optimiser_refuses_rows_that_are_not_there() -> None:
    table = TokenTable(torch.zeros(4, 8))
    adam = RowAdam(table)

    def gradients(*ids: int) -> RowGradients:
        rows = torch.ones(len(ids), 8)
        return RowGradients(
            ids=torch.tensor(ids), rows=rows, weights=None, squares=rows.double().square().sum(1)
        )

    for ids in ((1, 1), (2, 1), (0, 4), (-1,)):
        with pytest.raises(IndexError, match="rising rows below 4"):
            adam.step(gradients(*ids))


def test_threads_may_train_tables_of_their_own_at_once() -> None:
    def train(seed: int, found: dict[int, Tensor]) -> None:
        rng = np.random.default_rng(seed)
        table = random_table(rng, 200, 64, weighted=False)
        adam = RowAdam(table, lr=0.1)
        for _ in range(10):
            bag = random_bag(rng, 64, 200, 20)
            vectors = table.embed(bag)
            _, *gradients = _kernels.nested_info_nce(vectors[:32], vectors[32:], [64], [1.0], 0.1)
            adam.step(table.gradients([(bag, torch.cat(gradients))]))
        found[seed] = table.rows

    alone: dict[int, Tensor] = {}
    together: dict[int, Tensor] = {}
    for seed in range(4):
        train(seed, alone)
    threads = [threading.Thread(target=train, args=(seed, together)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in range(4):
        assert torch.equal(alone[seed], together[seed])

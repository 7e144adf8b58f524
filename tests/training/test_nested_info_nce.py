"""InfoNCE over prefixes in one pass against its definition with whole matrices, and its bounds."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.training.dense_info_nce import dense_info_nce
from vecsmith.training import nested_info_nce, prefix_blocks
from vecsmith.training.exclusion import Direction, Exclusions, make_guide
from vecsmith.training.losses import BOTH_WAYS, FOUR_WAYS, ONE_WAY, Partition, info_nce
from vecsmith.training.nested_info_nce import info_nce_of_prefixes
from vecsmith.training.prefix_blocks import Contrast, blocked_info_nce

WEIGHTS = {3: 0.5, 5: 1.0, 8: 2.0}
WAYS: list[tuple[tuple[Direction, ...], Partition]] = [
    (ONE_WAY, "per_direction"),
    (BOTH_WAYS, "per_direction"),
    (BOTH_WAYS, "joint"),
    (FOUR_WAYS, "joint"),
]


def draw(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64).to(dtype)


def value_and_gradients(value: Tensor, *leaves: Tensor) -> list[Tensor]:
    return [value.detach(), *torch.autograd.grad(value, leaves)]


def assert_equal_to_dense(
    queries: Tensor, candidates: Tensor, options: dict[str, Any], tolerance: float
) -> None:
    leaves = queries.requires_grad_(), candidates.requires_grad_()
    ours = info_nce_of_prefixes(*leaves, WEIGHTS, **options)
    dense = sum(
        (w * dense_info_nce(queries[:, :d], candidates[:, :d], **options))
        for d, w in WEIGHTS.items()
    )
    assert isinstance(dense, Tensor)
    for mine, other in zip(
        value_and_gradients(ours, *leaves), value_and_gradients(dense, *leaves), strict=True
    ):
        atol = tolerance * max(1.0, float(other.abs().max()))
        torch.testing.assert_close(mine, other, rtol=0, atol=atol)


@pytest.mark.parametrize(("directions", "partition"), WAYS)
@pytest.mark.parametrize("guide_margin_kind", [None, "absolute", "relative"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_one_pass_is_the_sum_over_prefixes_of_the_definition(
    directions: tuple[Direction, ...],
    partition: Partition,
    guide_margin_kind: str | None,
    dtype: torch.dtype,
    tolerance: float,
) -> None:
    torch.manual_seed(4)
    options: dict[str, Any] = {"directions": directions, "partition": partition}
    if guide_margin_kind:
        options |= {
            "guide_queries": draw(7, 3),
            "guide_candidates": draw(21, 3),
            "guide_margin": 0.1,
            "guide_margin_kind": guide_margin_kind,
            "query_keys": torch.tensor([0, 1, 2, 3, 0, 4, 5]),
            "candidate_keys": torch.tensor([9, 9, 3, *range(20, 36), 1, 2]),
        }
    queries, candidates = draw(7, 8, dtype=dtype), draw(21, 8, dtype=dtype)
    assert_equal_to_dense(queries, candidates, options, tolerance)


@given(
    keys=st.lists(st.integers(0, 6), min_size=3, max_size=24),
    ways=st.sampled_from(WAYS),
    block_rows=st.integers(1, 5),
)
@settings(max_examples=60, deadline=None)
def test_whatever_texts_are_equal_and_however_pairs_are_cut_into_blocks_it_is_the_definition(
    keys: list[int], ways: tuple[tuple[Direction, ...], Partition], block_rows: int
) -> None:
    n_pairs = len(keys) // 3
    drawn = torch.tensor(keys[: 3 * n_pairs])
    options: dict[str, Any] = {
        "temperature": 0.3,
        "directions": ways[0],
        "partition": ways[1],
        "query_keys": drawn[:n_pairs],
        "candidate_keys": drawn[n_pairs:],
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefix_blocks, "_rows_that_fit", lambda *_: block_rows)
        assert_equal_to_dense(draw(n_pairs, 8), draw(2 * n_pairs, 8), options, 1e-12)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("directions", [ONE_WAY, BOTH_WAYS])
@pytest.mark.parametrize(("n_pairs", "n_columns", "dim"), [(3, 1, 8), (130, 2, 200), (400, 1, 64)])
def test_the_engine_and_the_blocks_of_torch_say_the_same(
    directions: tuple[Direction, ...],
    precision: Any,
    n_pairs: int,
    n_columns: int,
    dim: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(6)
    queries = draw(n_pairs, dim, dtype=torch.float32).requires_grad_()
    candidates = draw(n_pairs * n_columns, dim, dtype=torch.float32).requires_grad_()
    options: dict[str, Any] = {
        "directions": directions,
        "precision": precision,
        "query_keys": torch.randint(0, 3 * n_pairs, (n_pairs,)),
        "candidate_keys": torch.randint(0, 3 * n_pairs, (n_pairs * n_columns,)),
    }
    weights = {5: 0.5, dim // 2 + 1: 2.0, dim - 1: 1.0}
    answers = []
    for knows in (nested_info_nce.engine_can, lambda *_: False):
        monkeypatch.setattr(nested_info_nce, "engine_can", knows)
        value = info_nce_of_prefixes(queries, candidates, weights, **options)
        answers.append(value_and_gradients(value, queries, candidates))
    tolerance = 2e-6 if precision == "float32" else 0.02
    for mine, other in zip(*answers, strict=True):
        atol = tolerance * max(1.0, float(other.abs().max()))
        torch.testing.assert_close(mine, other, rtol=0, atol=atol)


def test_the_engine_is_given_what_it_has_and_nothing_else() -> None:
    def given_to_engine(dtype: torch.dtype, guided: bool = False, **changes: Any) -> bool:
        fields: dict[str, Any] = {"directions": ONE_WAY, "joint": False, "bfloat16": False}
        contrast = Contrast(weights={8: 1.0}, temperature=0.05, **fields | changes)
        vectors = draw(4, 8, dtype=dtype)
        guide = make_guide(vectors, vectors, margin=0.0, margin_kind="absolute") if guided else None
        exclusions = Exclusions(n_queries=4, n_candidates=4, device=vectors.device, guide=guide)
        return nested_info_nce.engine_can(vectors, contrast, exclusions)

    assert given_to_engine(torch.float32)
    assert given_to_engine(torch.float32, directions=BOTH_WAYS, bfloat16=True)
    assert not given_to_engine(torch.float64)
    assert not given_to_engine(torch.float32, guided=True)
    assert not given_to_engine(torch.float32, directions=BOTH_WAYS, joint=True)
    assert not given_to_engine(torch.float32, directions=FOUR_WAYS, joint=True)


def test_a_large_batch_of_one_text_only_has_nothing_to_learn() -> None:
    same = torch.zeros(5000, dtype=torch.int64)
    vectors = draw(5000, 2, dtype=torch.float32)
    value = info_nce_of_prefixes(
        vectors, vectors.flip(1), {2: 1.0}, query_keys=same, candidate_keys=same
    )
    assert value.item() == 0


def test_a_copy_of_a_positive_is_no_negative_when_its_key_says_so() -> None:
    queries, candidates = draw(3, 8), draw(3, 8)
    copied = torch.cat([candidates, candidates[1:2]])
    keys = torch.tensor([1, 2, 3]), torch.tensor([4, 5, 6, 5])
    masked = info_nce(queries, copied, query_keys=keys[0], candidate_keys=keys[1])
    rest = dense_info_nce(queries[[0, 2]], candidates[[0, 2, 1, 1]])  # for them it is one
    alone = dense_info_nce(queries[[1]], candidates[[1, 0, 2]])
    torch.testing.assert_close(masked, (2 * rest + alone) / 3)


def test_equal_pairs_alone_have_nothing_to_learn() -> None:
    queries, candidates = draw(5, 8).requires_grad_(), draw(5, 8).requires_grad_()
    same = torch.zeros(5, dtype=torch.int64)
    value = info_nce(queries, candidates, query_keys=same, candidate_keys=same)
    assert value.item() == 0
    for gradient in torch.autograd.grad(value, (queries, candidates)):
        assert gradient.abs().max() < 1e-15


def test_gradients_are_at_right_angles_to_every_vector() -> None:
    queries, candidates = draw(6, 8).requires_grad_(), draw(6, 8).requires_grad_()
    info_nce_of_prefixes(queries, candidates, WEIGHTS).backward()  # type: ignore[no-untyped-call]
    for leaf in (queries, candidates):
        assert leaf.grad is not None
        assert (leaf.grad * leaf).sum(1).abs().max() < 1e-14


def test_a_side_that_learns_nothing_gets_no_gradient_and_none_are_made_for_nobody() -> None:
    queries, candidates = draw(4, 8).requires_grad_(), draw(4, 8)
    info_nce(queries, candidates).backward()  # type: ignore[no-untyped-call]
    assert queries.grad is not None
    assert candidates.grad is None
    with torch.no_grad():
        value = info_nce(queries, candidates)
    assert not value.requires_grad
    torch.testing.assert_close(value, dense_info_nce(queries, candidates).detach())


def test_the_gradient_follows_what_the_loss_is_multiplied_by() -> None:
    queries, candidates = draw(4, 8).requires_grad_(), draw(4, 8)
    once = torch.autograd.grad(info_nce(queries, candidates), queries)[0]
    thrice = torch.autograd.grad(3 * info_nce(queries, candidates), queries)[0]
    torch.testing.assert_close(thrice, 3 * once)


def test_bfloat16_products_are_near_and_are_rounded_nowhere_else() -> None:
    torch.manual_seed(5)
    queries = draw(64, 256, dtype=torch.float32)
    candidates = (queries + 2 * draw(64, 256)).float()
    leaves = queries.requires_grad_(), candidates.requires_grad_()
    weights = {32: 1.0, 256: 1.0}
    exact = value_and_gradients(info_nce_of_prefixes(*leaves, weights), *leaves)
    rounded = value_and_gradients(
        info_nce_of_prefixes(*leaves, weights, precision="bfloat16"), *leaves
    )
    for mine, other in zip(rounded, exact, strict=True):
        assert mine.dtype == torch.float32
        torch.testing.assert_close(mine, other, rtol=0, atol=0.02 * float(other.abs().max()))


@pytest.mark.parametrize("precision", ["auto", "bfloat16"])
def test_autocast_is_bfloat16_products_and_no_bfloat16_sums(precision: Any) -> None:
    queries, candidates = draw(32, 64, dtype=torch.float32), draw(32, 64, dtype=torch.float32)
    asked = info_nce(queries, candidates, precision="bfloat16")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = info_nce(queries, candidates, precision=precision)
    assert cast.dtype == torch.float32
    assert torch.equal(asked, cast)


def test_asking_for_float32_holds_under_autocast() -> None:
    queries, candidates = draw(32, 64, dtype=torch.float32), draw(32, 64, dtype=torch.float32)
    plain = info_nce(queries, candidates)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(plain, info_nce(queries, candidates, precision="float32"))


def test_bfloat16_embeddings_get_bfloat16_gradients_and_a_float32_loss() -> None:
    queries = draw(16, 32, dtype=torch.bfloat16).requires_grad_()
    candidates = draw(16, 32, dtype=torch.bfloat16)
    value = info_nce(queries, candidates)
    assert value.dtype == torch.float32
    assert torch.autograd.grad(value, queries)[0].dtype == torch.bfloat16
    wide = info_nce(queries.detach().float(), candidates.float())
    torch.testing.assert_close(value.detach(), wide, rtol=0.01, atol=0.01)


@pytest.mark.gpu
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("bfloat16", 0.02)])
@pytest.mark.parametrize(("directions", "partition"), WAYS)
def test_a_gpu_says_what_the_cpu_says_in_float64(
    directions: tuple[Direction, ...], partition: Partition, precision: Any, tolerance: float
) -> None:
    options: dict[str, Any] = {
        "directions": directions,
        "partition": partition,
        "precision": precision,
    }
    queries, candidates = draw(300, 256), draw(600, 256)
    keys = {"query_keys": torch.arange(300) // 2, "candidate_keys": torch.arange(600)}
    guides = {"guide_queries": draw(300, 8), "guide_candidates": draw(600, 8)}
    answers = []
    for device, dtype in (("cpu", torch.float64), ("cuda", torch.float32)):
        left = queries.to(device, dtype).requires_grad_()
        right = candidates.to(device, dtype).requires_grad_()
        there = options | {name: tensor.to(device) for name, tensor in (keys | guides).items()}
        value = info_nce_of_prefixes(left, right, {64: 1.0, 256: 1.0}, **there)
        answers.append([part.cpu() for part in value_and_gradients(value, left, right)])
    for exact, other in zip(*answers, strict=True):
        atol = tolerance * float(exact.abs().max())
        torch.testing.assert_close(other.double(), exact, rtol=0, atol=atol)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_an_embedding_that_is_no_number_makes_a_loss_that_is_none(bad: float) -> None:
    queries = draw(4, 8)
    queries[2, 5] = bad
    assert info_nce(queries, draw(4, 8)).isnan()
    assert info_nce(queries.float(), draw(4, 8).float()).isnan()


def test_blocks_give_the_same_bits_each_time() -> None:
    queries, candidates = draw(300, 64, dtype=torch.float32), draw(600, 64, dtype=torch.float32)
    contrast = Contrast(
        weights={16: 1.0, 64: 1.0},
        temperature=0.05,
        directions=BOTH_WAYS,
        joint=False,
        bfloat16=False,
    )
    nothing = Exclusions(n_queries=300, n_candidates=600, device=queries.device)
    first, second = (
        blocked_info_nce(queries, candidates, contrast, nothing, with_gradients=True)
        for _ in range(2)
    )
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


MEMORY_SCRIPT = """
import resource
import torch
from vecsmith.training.losses import info_nce
from vecsmith.training.prefixes import halved_prefixes, matryoshka

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

torch.set_num_threads(1)
loss = matryoshka(info_nce, halved_prefixes(64, 2))
def step(n):
    queries, candidates = (torch.randn(n, 64, requires_grad=True) for _ in range(2))
    loss(queries, candidates).backward()
step(64)
before = peak()
step(4096)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is told in kilobytes on Linux")
def test_a_batch_of_4096_takes_less_memory_than_one_matrix_of_its_cosines() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", MEMORY_SCRIPT], capture_output=True, text=True, check=True
    )
    assert (
        float(ran.stdout) < 4096 * 4096 * 4 / 2**20
    )  # 64 MiB; plainly, six prefixes keep a dozen such


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"candidates": torch.ones(2, 8)}, "3 queries, 2 candidates"),
        ({"candidates": torch.ones(3, 7)}, "equally many columns"),
        ({"candidates": torch.ones(3, 8)}, "float32: expected one type"),
        ({"queries": torch.ones(0, 8)}, "at least one pair"),
        ({"weights": {9: 1.0}}, r"prefix lengths \[9\] do not fit embeddings of 8"),
        ({"temperature": 0.0}, r"temperature 0\.0"),
        ({"directions": ("candidate_to_query",)}, "query_to_candidate first"),
        ({"directions": ("query_to_candidate", "doc_to_query")}, "each once"),
        ({"directions": FOUR_WAYS}, 'partition="joint"'),
        ({"partition": "all"}, "partition 'all'"),
        (
            {"directions": FOUR_WAYS, "partition": "joint", "candidates": draw(4, 8)},
            "4 candidates of 3 queries",
        ),
        ({"query_keys": torch.arange(3)}, "keys of one side only"),
        (
            {"query_keys": torch.arange(3), "candidate_keys": torch.arange(2)},
            "keys of 3 queries and 2 candidates, expected 3 and 3",
        ),
        ({"guide_candidates": torch.ones(3, 2)}, "guide vectors of one side only"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    call: dict[str, Any] = {"queries": draw(3, 8), "candidates": draw(3, 8), "weights": {8: 1.0}}
    with pytest.raises(ValueError, match=message):
        info_nce_of_prefixes(**{**call, **change})

"""Rows of a table in training: vectors of bags and gradients, against torch and by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from vecsmith.compression.rounding import with_dtype
from vecsmith.formats import Checkpoint
from vecsmith.training.bag import Bag
from vecsmith.training.token_table import TokenTable, drop_tokens


def random_bag(rng: np.random.Generator, n_texts: int, n_tokens: int, longest: int) -> Bag:
    lengths = rng.integers(0, longest + 1, n_texts)
    # few ids come often, most seldom: what text is like
    ids = (n_tokens * rng.random(int(lengths.sum())) ** 3).astype(np.uint32)
    return Bag(ids, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


def random_table(rng: np.random.Generator, n: int, dim: int, *, weighted: bool) -> TokenTable:
    rows = torch.from_numpy(rng.standard_normal((n, dim), dtype=np.float32))
    weights = torch.from_numpy(rng.random(n, dtype=np.float32)) if weighted else None
    return TokenTable(rows, weights)


def numpy_means(table: TokenTable, bag: Bag) -> np.ndarray:
    rows = table.rows.double().numpy()
    if table.token_weights is not None:
        rows = rows * table.token_weights.double().numpy()[:, None]
    means = np.zeros((len(bag.offsets) - 1, table.dim))
    for i, (begin, end) in enumerate(zip(bag.offsets[:-1], bag.offsets[1:], strict=True)):
        if end > begin:
            means[i] = rows[bag.ids[begin:end]].mean(0)
    return means


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dim", [1, 16, 77, 256])
def test_a_text_is_the_mean_of_its_rows(weighted: bool, dim: int) -> None:
    rng = np.random.default_rng(dim)
    table = random_table(rng, 50, dim, weighted=weighted)
    bag = random_bag(rng, 30, 50, 40)
    np.testing.assert_allclose(table.embed(bag).numpy(), numpy_means(table, bag), atol=2e-6)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dim", [1, 16, 77, 256])
def test_gradients_are_those_of_autograd_in_float64(weighted: bool, dim: int) -> None:
    rng = np.random.default_rng(dim)
    table = random_table(rng, 50, dim, weighted=weighted)
    bags = [random_bag(rng, n, 50, 25) for n in (20, 7)]
    upstream = [torch.from_numpy(rng.standard_normal((n, dim))) for n in (20, 7)]
    rows = table.rows.double().requires_grad_()
    weights = None if table.token_weights is None else table.token_weights.double()
    if weights is not None:
        weights.requires_grad_()
    loss = torch.zeros((), dtype=torch.float64)
    for bag, d_vectors in zip(bags, upstream, strict=True):
        factored = rows if weights is None else rows * weights[:, None]
        ids = torch.from_numpy(bag.ids.astype(np.int64))
        means = torch.nn.functional.embedding_bag(
            ids, factored, torch.from_numpy(bag.offsets[:-1]), mode="mean"
        )
        loss = loss + (means * d_vectors).sum()
    torch.autograd.backward(loss)
    found = table.gradients([(b, d.float()) for b, d in zip(bags, upstream, strict=True)])
    touched = sorted({int(i) for bag in bags for i in bag.ids})
    assert found.ids.tolist() == touched
    assert rows.grad is not None
    np.testing.assert_allclose(found.rows.numpy(), rows.grad[touched].numpy(), atol=5e-6)
    squares = rows.grad[touched].square().sum(1)
    if weights is not None:
        assert found.weights is not None
        assert weights.grad is not None
        np.testing.assert_allclose(found.weights.numpy(), weights.grad[touched].numpy(), atol=2e-5)
        squares += weights.grad[touched].square()
    np.testing.assert_allclose(found.squares.numpy(), squares.numpy(), rtol=1e-4)
    assert found.norm() == pytest.approx(float(squares.sum()) ** 0.5, rel=1e-5)


def test_no_bags_and_empty_texts_touch_nothing() -> None:
    table = random_table(np.random.default_rng(0), 5, 8, weighted=False)
    empty = Bag(np.zeros(0, np.uint32), np.zeros(4, np.int64))
    assert table.embed(empty).tolist() == torch.zeros(3, 8).tolist()
    for pairs in ([], [(empty, torch.ones(3, 8))]):
        found = table.gradients(pairs)
        assert found.ids.tolist() == []
        assert found.rows.shape == (0, 8)
        assert found.norm() == 0.0


def test_ids_and_offsets_that_point_nowhere_are_refused() -> None:
    table = random_table(np.random.default_rng(0), 5, 8, weighted=False)
    ids = np.array([0, 4], np.uint32)
    for bad_ids, offsets, message in (
        (np.array([0, 5], np.uint32), [0, 2], "token id 5 but the table has 5 rows"),
        (ids, [0, 3], "offsets"),
        (ids, [1, 2], "offsets"),
        (ids, [0, 2, 1, 2], "offsets"),
        (ids, [-1, 2], "offsets"),
        (ids, [0, 1], "offsets"),
        (ids, [], "offsets"),
    ):
        bag = Bag(bad_ids, np.array(offsets, np.int64))
        with pytest.raises(IndexError, match=message):
            table.embed(bag)
        with pytest.raises(IndexError, match=message):
            table.gradients([(bag, torch.zeros(max(len(offsets) - 1, 0), 8))])
    with pytest.raises(TypeError, match="ids are int64"):
        table.embed(Bag(ids.astype(np.int64), np.array([0, 2])))


def test_a_gradient_of_another_shape_is_refused() -> None:
    table = random_table(np.random.default_rng(0), 5, 8, weighted=False)
    bag = Bag(np.array([1], np.uint32), np.array([0, 1]))
    with pytest.raises(ValueError, match=r"gradient has shape \[1, 7\], expected \[1, 8\]"):
        table.gradients([(bag, torch.zeros(1, 7))])


def test_a_table_of_a_checkpoint_gives_its_vectors(tiny_checkpoint: Checkpoint) -> None:
    from dataclasses import replace

    from vecsmith.model import StaticModel

    rng = np.random.default_rng(4)
    n = tiny_checkpoint.n_tokens
    weights = rng.random(n, dtype=np.float32)
    mapping = rng.integers(0, 7, n).astype(np.uint32)
    rows = rng.standard_normal((7, 12)).astype(np.float16)
    checkpoint = replace(
        tiny_checkpoint, table=rows, weights=weights, mapping=mapping, unknown="keep"
    )
    model = StaticModel(checkpoint)
    texts = ["cat dog", "dog dog cat", "", "cat"]
    lists = model.tokenize(texts)
    bag = Bag(
        np.array([i for ids in lists for i in ids], np.uint32),
        np.cumsum([0, *(len(ids) for ids in lists)]),
    )
    expected = model.encode(texts, normalize=False)
    for train_weights in (False, True):
        table = TokenTable.from_checkpoint(checkpoint, train_weights=train_weights)
        assert (table.token_weights is not None) == train_weights
        np.testing.assert_allclose(table.embed(bag).numpy(), expected, atol=1e-6)
    table.rows.zero_()
    assert rows.any()  # the model it came from is left as it was


def test_random_tables_follow_their_seed_and_scale() -> None:
    table = TokenTable.from_random(400, 64, seed=3, scale=0.5)
    assert torch.equal(table.rows, TokenTable.from_random(400, 64, seed=3, scale=0.5).rows)
    assert not torch.equal(table.rows, TokenTable.from_random(400, 64, seed=4, scale=0.5).rows)
    assert float(table.rows.std()) == pytest.approx(0.5, rel=0.02)


def test_tokens_spelled_alike_start_near_each_other() -> None:
    tokens = ["training", "trainings", "##banana", "한국어", "한국", "x"] + [
        f"filler{i}" for i in range(300)
    ]
    table = TokenTable.from_spellings(tokens, 256, seed=1, scale=2.0)
    unit = torch.nn.functional.normalize(table.rows)
    assert float(unit[0] @ unit[1]) > 0.5 > 0.3 > abs(float(unit[0] @ unit[2]))
    assert float(table.rows.std()) == pytest.approx(2.0, rel=0.1)
    assert torch.equal(table.rows, TokenTable.from_spellings(tokens, 256, seed=1, scale=2.0).rows)


def test_dropout_keeps_the_order_and_a_token_of_each_text() -> None:
    rng = np.random.default_rng(0)
    bag = random_bag(rng, 2000, 50, 12)
    dropped = drop_tokens(bag, 0.7, np.random.default_rng(1))
    before, after = np.diff(bag.offsets), np.diff(dropped.offsets)
    assert np.array_equal(after > 0, before > 0)
    assert np.all(after <= before)
    long = before > 8
    assert abs(after[long].sum() / before[long].sum() - 0.3) < 0.02
    for i in range(200):
        left = iter(bag.ids[bag.offsets[i] : bag.offsets[i + 1]].tolist())
        kept = dropped.ids[dropped.offsets[i] : dropped.offsets[i + 1]].tolist()
        assert all(token in left for token in kept)  # a subsequence
    again = drop_tokens(bag, 0.7, np.random.default_rng(1))
    assert np.array_equal(dropped.ids, again.ids)
    assert drop_tokens(bag, 0.0, rng).ids is bag.ids
    with pytest.raises(ValueError, match="dropout is 1"):
        drop_tokens(bag, 1.0, rng)


def test_a_state_comes_back_bit_for_bit_and_no_other_shape_does() -> None:
    rng = np.random.default_rng(2)
    table = random_table(rng, 9, 4, weighted=True)
    other = random_table(rng, 9, 4, weighted=True)
    other.restore({name: value.clone() for name, value in table.state_tensors().items()})
    assert torch.equal(other.rows, table.rows)
    assert other.token_weights is not None
    assert table.token_weights is not None
    assert torch.equal(other.token_weights, table.token_weights)
    with pytest.raises(ValueError, match=r"saved rows is of shape \[9, 5\]"):
        table.restore({"rows": torch.zeros(9, 5)})
    with pytest.raises(ValueError, match="saved token_weights is missing"):
        table.restore({"rows": torch.zeros(9, 4)})


def test_tensors_that_do_not_fit_are_refused() -> None:
    with pytest.raises(TypeError, match="float64"):
        TokenTable(torch.zeros(3, 4, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"\[0, 4\]"):
        TokenTable(torch.zeros(0, 4))
    with pytest.raises(ValueError, match=r"\[2\] on cpu, expected \[3\]"):
        TokenTable(torch.zeros(3, 4), torch.zeros(2))


def test_int8_rows_are_of_real_size_and_train_as_float32_ones_do(
    tiny_checkpoint: Checkpoint,
) -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((len(tiny_checkpoint.table), 16)).astype(np.float32) / 10
    exact = replace(tiny_checkpoint, table=rows, weights=None, mapping=None, normalize=True)
    scaled = with_dtype(exact, "int8")
    for train_weights in (False, True):
        table = TokenTable.from_checkpoint(scaled, train_weights=train_weights)
        np.testing.assert_allclose(table.rows, rows, atol=0.003)
    # as model2vec rounds: one scale for all, which is not kept
    rounded = np.rint(127 * rows / np.abs(rows).max()).astype(np.int8)
    sif = rng.random(len(rows)).astype(np.float32)
    for weights in (None, sif):
        table = TokenTable.from_checkpoint(replace(exact, table=rounded, weights=weights))
        expected = rows / np.abs(rows).max() * (1 if weights is None else sif[:, None])
        np.testing.assert_allclose(table.rows, expected, atol=0.005)
    plain = replace(exact, table=rounded, normalize=False)
    np.testing.assert_array_equal(TokenTable.from_checkpoint(plain).rows, rounded)

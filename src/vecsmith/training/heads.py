"""Linear heads on nested prefixes, trained together with the encoder beneath them.

Source: Kusupati et al., "Matryoshka Representation Learning", NeurIPS 2022, equation 1; the one
rule: `PrefixHeads` and `classification.LinearHeads` of the same numbers say the same.

Shapes: B rows, D dimensions, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from vecsmith.classification.heads import HeadKind, LinearHeads, Scaling


class PrefixHeads(nn.Module):
    """Scores of the classes from each prefix of embeddings.

    Args:
        dims: Prefix lengths, in any order.
        n_classes: C.
        tied: One matrix for all prefixes, of which each uses the first columns (MRL-E), instead of
            a matrix for each (MRL).
        bias: Whether classes have a bias; one for all prefixes if tied.
        scaling: "none": prefixes as they are, as in the paper; "normalize": each brought to unit
            length first.

    Raises:
        ValueError: If dims repeat or are not positive, or there is no class.

    Example:
        >>> import torch
        >>> heads = PrefixHeads([4, 8], n_classes=3)
        >>> {dim: tuple(logits.shape) for dim, logits in heads(torch.zeros(2, 8)).items()}
        {4: (2, 3), 8: (2, 3)}
    """

    def __init__(
        self,
        dims: Sequence[int],
        n_classes: int,
        *,
        tied: bool = False,
        bias: bool = True,
        scaling: Scaling = "none",
    ) -> None:
        super().__init__()
        if not dims or min(dims) < 1 or len(set(dims)) < len(dims):
            raise ValueError(f"dims are {list(dims)}, expected different positive prefix lengths")
        if n_classes < 1:
            raise ValueError(f"n_classes is {n_classes}, expected at least 1")
        if scaling not in ("normalize", "none"):
            raise ValueError(f'scaling is {scaling!r}, expected "normalize" or "none"')
        self.dims = tuple(sorted(dims))
        self.n_classes = n_classes
        self.tied = tied
        self.scaling: Scaling = scaling
        widths = self.dims[-1:] if tied else self.dims
        self.heads = nn.ModuleList(nn.Linear(width, n_classes, bias=bias) for width in widths)

    def forward(self, vectors: Tensor) -> dict[int, Tensor]:
        """Logits [B, C] of each prefix length, ascending, from embeddings [B, D].

        Raises:
            ValueError: If the embeddings are shorter than the longest prefix.
        """
        if vectors.shape[-1] < self.dims[-1]:
            raise ValueError(
                f"embeddings have {vectors.shape[-1]} dimensions, expected {self.dims[-1]} at least"
            )
        logits = {}
        for dim, (weight, bias) in zip(self.dims, self._parameters_of_prefixes(), strict=True):
            prefix = vectors[:, :dim]
            if self.scaling == "normalize":
                prefix = F.normalize(prefix, dim=-1)
            logits[dim] = F.linear(prefix, weight, bias)
        return logits

    def to_linear(
        self, classes: Sequence[Any] | None = None, *, kind: HeadKind = "softmax"
    ) -> LinearHeads:
        """The same heads as plain arrays.

        Args:
            classes: Labels of the classes, C; None: 0, 1, and so on.
            kind: How the heads were trained.

        Raises:
            ValueError: If the number of classes differs.
        """
        heads = self._linears()
        biases = [dict(head.named_parameters()).get("bias") for head in heads]
        return LinearHeads(
            dims=self.dims,
            tied=self.tied,
            weights=np.concatenate([_array(head.weight) for head in heads], axis=1),
            biases=np.stack(
                [np.zeros(self.n_classes, np.float32) if b is None else _array(b) for b in biases]
            ),
            classes=np.arange(self.n_classes) if classes is None else np.asarray(classes),
            kind=kind,
            scaling=self.scaling,
        )

    @classmethod
    def from_linear(cls, heads: LinearHeads) -> PrefixHeads:
        """Heads to go on training, from fitted ones; temperatures are left behind."""
        made = cls(heads.dims, len(heads.classes), tied=heads.tied, scaling=heads.scaling)
        with torch.no_grad():
            for dim, head in zip(heads.dims[-len(made.heads) :], made._linears(), strict=True):
                weight, bias = heads.head(dim)
                head.weight.copy_(torch.tensor(weight))
                head.bias.copy_(torch.tensor(bias))
        return made

    def _parameters_of_prefixes(self) -> list[tuple[Tensor, Tensor | None]]:
        heads = self._linears() * (len(self.dims) if self.tied else 1)
        return [
            (head.weight[:, :dim], head.bias) for dim, head in zip(self.dims, heads, strict=True)
        ]

    def _linears(self) -> list[nn.Linear]:
        return [head for head in self.heads if isinstance(head, nn.Linear)]


def prefix_cross_entropy(
    logits: Mapping[int, Tensor],
    labels: Tensor,
    weights: Mapping[int, float] | None = None,
    *,
    class_weight: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """The sum over prefixes of c_m times the mean cross entropy of rows, a scalar.

    Args:
        logits: [B, C] by prefix length, from `PrefixHeads`.
        labels: Class of each row, int64 [B].
        weights: c_m by prefix length; None: 1 each, as in the paper.
        class_weight: How much rows of each class count, [C]; the mean is weighted.
        label_smoothing: Share of the target spread over all classes.

    Raises:
        ValueError: If weights are for other prefixes.
    """
    return _weighted_sum(
        {
            dim: F.cross_entropy(
                scores, labels, weight=class_weight, label_smoothing=label_smoothing
            )
            for dim, scores in logits.items()
        },
        weights,
    )


def prefix_binary_cross_entropy(
    logits: Mapping[int, Tensor],
    labels: Tensor,
    weights: Mapping[int, float] | None = None,
    *,
    positive_weight: Tensor | None = None,
) -> Tensor:
    """The same where a row has any number of labels: summed over labels, mean over rows.

    Args:
        logits: [B, C] by prefix length, from `PrefixHeads`.
        labels: Whether each row has each label, [B, C].
        weights: c_m by prefix length; None: 1 each.
        positive_weight: How much the rows that have each label count, [C].

    Raises:
        ValueError: If weights are for other prefixes.
    """
    return _weighted_sum(
        {
            dim: F.binary_cross_entropy_with_logits(
                scores, labels.to(scores.dtype), pos_weight=positive_weight, reduction="sum"
            )
            / len(scores)
            for dim, scores in logits.items()
        },
        weights,
    )


def _weighted_sum(losses: Mapping[int, Tensor], weights: Mapping[int, float] | None) -> Tensor:
    if weights is not None and set(weights) != set(losses):
        raise ValueError(f"weights are for dims {sorted(weights)}, expected {sorted(losses)}")
    return torch.stack(
        [loss * (1.0 if weights is None else weights[dim]) for dim, loss in losses.items()]
    ).sum()


def _array(tensor: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.detach().float().cpu().numpy()
    return array

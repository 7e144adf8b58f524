"""The last touch to a fitted table: large numbers pulled in, and the texts' mean added to each row.

Neither is on by default: dev rows liked both, test rows did not confirm it (figures in
docs/guides/distillation.md). Neither changes the cost of encoding.

A number e becomes sign(e) |e|^p. Least squares gives a few tokens numbers so large that one of
them decides the vector of a text; with p below 1 the others are heard (the same power is known
from Fisher vectors: Perronnin et al., "Improving the Fisher Kernel", ECCV 2010, section 3.2).

The mean m of the vectors of texts, added c times to every row, is added c times to every vector of
a text, since that is a mean of rows. The mean of a few tokens is a noisy estimate, and all the more
so where they disagree and their mean is short; c m pulls it towards what all texts share in just
that measure, as a shrinkage estimator does.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vecsmith._typing import FloatArray
from vecsmith.distillation.teacher_pass import Shard


def finish(
    table: FloatArray, shares: NDArray[np.float64], *, power: float, shift: float
) -> FloatArray:
    """The finished table, float32 [V, K], its root mean square as before but for the shift.

    Args:
        table: Rows of tokens, [V, K].
        shares: Of each token in the mean text, [V]; see `text_shares`.
        power: p above; 1 leaves the numbers as they are.
        shift: c above; 0 adds nothing.
    """
    finished = np.array(table, dtype=np.float32)
    if power != 1:
        np.abs(finished, out=finished)
        np.power(finished, np.float32(power), out=finished)
        np.copysign(finished, table, out=finished)
        before = np.square(table, dtype=np.float64).mean()
        after = np.square(finished, dtype=np.float64).mean()
        if after > 0:
            finished *= np.float32(np.sqrt(before / after))
    if shift:
        finished += (shift * (shares @ finished)).astype(np.float32)
    return finished


def text_shares(shards: Iterator[Shard], n_tokens: int) -> NDArray[np.float64]:
    """Share of each token in the mean of the texts, each a mean of its tokens: float64 [V].

    `text_shares @ table` is the mean of the vectors that `table` gives to the texts. Texts without
    tokens do not count.
    """
    shares = np.zeros(n_tokens)
    n_texts = 0
    for shard in shards:
        lengths = np.diff(shard.offsets)
        each = np.repeat(1.0 / np.maximum(lengths, 1), lengths)
        shares += np.bincount(shard.ids, weights=each, minlength=n_tokens)
        n_texts += int(np.count_nonzero(lengths))
    shares /= max(1, n_texts)
    return shares

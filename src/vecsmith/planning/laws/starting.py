"""Where fits begin: variable projection over a grid of exponents.

With the exponents fixed a form is linear in its heights, so each point of the grid is a small
least-squares problem with bounds (Open-Athena 2026, arXiv 2603.22339); no start is guessed.
"""

from __future__ import annotations

import itertools

import numpy as np

from vecsmith._extras import require
from vecsmith.planning.laws.forms import Floats
from vecsmith.planning.laws.surface import Points, Surface

__all__ = ["starts"]

_EXPONENTS = np.geomspace(0.05, 2.0, 12)
_SHARE_EXPONENTS = np.geomspace(0.2, 12.0, 6)


def starts(surface: Surface, points: Points, log_loss: Floats, n_starts: int) -> Floats:
    """The best points of the grid, best first: parameters [n_starts, P].

    Raises:
        MissingExtraError: If scipy is not installed.
    """
    optimize = require("scipy.optimize", extra="plan", purpose="fit scaling laws")
    grids = [_EXPONENTS, _EXPONENTS, _SHARE_EXPONENTS][: surface.n_exponents]
    logs = np.log(np.array(list(itertools.product(*grids))))
    # Dividing both sides by the loss makes squares of relative errors, which are those of its log.
    columns = surface.terms(logs, points) / np.exp(log_loss)
    ones = np.ones_like(log_loss)
    solved = [optimize.nnls(np.ascontiguousarray(terms.T), ones) for terms in columns]
    best = np.argsort([error for _, error in solved], kind="stable")[:n_starts]
    return np.stack([np.concatenate([solved[i][0], logs[i]]) for i in best])

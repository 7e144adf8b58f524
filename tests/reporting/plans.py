"""Plans and laws of known figures, for the tests of their pages and pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from vecsmith.planning.accounting.flops import cost_per_token, n_trained, trained_share
from vecsmith.planning.catalogue.models import load_catalogue
from vecsmith.planning.choosing.budget import Budget
from vecsmith.planning.choosing.candidates import PredictedLoss
from vecsmith.planning.choosing.plan import Plan
from vecsmith.planning.choosing.planner import make_plan
from vecsmith.planning.choosing.serving import Serving
from vecsmith.results.tuning import Tuning
from vecsmith.results.tuning_runs import TuningRun, key_of

SIZES = ("14m", "31m", "70m", "160m", "410m")
BUDGETS = (1.5e15, 6e15, 2.4e16, 9.6e16, 3.8e17)
# C, a_d, b_d, a_s, b_s, c_s of each method's law, with alpha .35 and beta .37
COEFFICIENTS = {
    "full": (0.30, 2.0, 20.0, 0.0, 1.0, 900.0),
    "lora": (0.27, 2.0, 20.0, 300.0, 6.0, 800.0),
}
NOISE = 0.01


def served_plan(flops: float = 1e17) -> Plan:
    """By the published recipe, with serving."""
    return make_plan(Budget(flops=flops), serving=Serving(queries_per_month=1e8, documents=1e7))


def predicted_plan(flops: float = 1e17) -> Plan:
    """The same with a loss for each candidate, 1 % more from place to place."""
    plan = make_plan(Budget(flops=flops))
    ranked = tuple(
        replace(
            each,
            predicted=PredictedLoss(
                loss=1.01**place,
                low=0.95 * 1.01**place,
                high=1.05 * 1.01**place,
                run_low=0.9 * 1.01**place,
                run_high=1.1 * 1.01**place,
                level=0.9,
                extrapolates="parameters above the runs" * (place == 1),
            ),
        )
        for place, each in enumerate(plan.ranked)
    )
    assert plan.runner_up is not None
    runner_up = ranked[plan.ranked.index(plan.runner_up)]
    return replace(plan, ranked=ranked, chosen=ranked[0], runner_up=runner_up)


def true_loss(method: str, n: float, tokens: float, share: float) -> float:
    """Loss of the law that `law_runs` are drawn from."""
    floor, a_d, b_d, a_s, b_s, c_s = COEFFICIENTS[method]
    of_size = (a_d * np.log(tokens) + b_d) / n**0.35
    return float(floor + of_size + (a_s * (1 - share) ** b_s + c_s) / tokens**0.37)


def law_runs(seed: int = 0) -> Iterator[TuningRun]:
    """Runs of two methods on the shapes of Pythia, their losses from a known law with 1 % noise."""
    rng = np.random.default_rng(seed)
    entries = {entry.name: entry for entry in load_catalogue()}
    tunings = [Tuning(), Tuning(method="lora", rank=8), Tuning(method="lora", rank=128)]
    for size in SIZES:
        entry = entries[f"EleutherAI/pythia-{size}"]
        shape = entry.shape
        for tuning in tunings:
            for flops in BUDGETS:
                cost, share = cost_per_token(shape, tuning), trained_share(shape, tuning)
                n, tokens = shape.n_non_embedding, int(flops / cost)
                noisy = true_loss(tuning.method, n, tokens, share) * np.exp(rng.normal(0, NOISE))
                yield TuningRun(
                    key=key_of({"cell": f"{size} {tuning} {flops}"}),
                    status="done",
                    model=entry.name,
                    fingerprint="0" * 64,
                    shape={
                        "family": shape.family,
                        "n_layers": shape.n_layers,
                        "dim": shape.dim,
                        "vocab_size": shape.vocab_size,
                        "n_non_embedding": n,
                        "n_embedding": shape.n_embedding,
                    },
                    tuning=tuning,
                    flops=flops,
                    counted_flops=tokens // 79_872 * 79_872 * cost,  # to the last whole step
                    n_params=n,
                    n_trained=n_trained(shape, tuning),
                    share=share,
                    cost_per_token=cost,
                    tokens=tokens,
                    pairs=tokens // 78,
                    steps=tokens // 78 // 1024,
                    epochs=tokens / 78 / 2e8,
                    batch_size=1024,
                    max_length=75,
                    seed=0,
                    loss=float(noisy),
                    train_loss=float(noisy),
                    settings={"temperature": 0.025},
                )

"""What the runs of the ladder say: of the laws, of the plans, of the methods; and as tables."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from vecsmith.planning import Budget, make_plan
from vecsmith.planning.accounting.shapes import ModelShape
from vecsmith.planning.catalogue.models import CatalogueEntry
from vecsmith.planning.laws.fitted import FittedLaws, fit_laws
from vecsmith.planning.laws.forms import Form
from vecsmith.planning.laws.unseen import predict_unseen
from vecsmith.results.tuning_runs import TuningRun

FORMS: tuple[Form, ...] = ("nds", "hoffmann")
_TOKENS_PER_PARAMETER = 20
Cell = tuple[str, str]


def report_of(runs: Sequence[TuningRun], unseen: Sequence[TuningRun]) -> dict[str, Any]:
    """All figures: `runs` are what laws are fitted to, `unseen` what plans are held against."""
    sigma = noise_of(runs)
    return {
        "runs": {"fitted to": len(runs), "held against": len(unseen)},
        "budgets": {
            "fitted to": sorted({run.flops for run in runs}),
            "held against": sorted({run.flops for run in unseen}),
        },
        "sizes": {run.model: run.n_params for run in sorted(runs, key=lambda run: run.n_params)},
        "seconds": sum(float(run.timing["seconds"]) for run in (*runs, *unseen)),
        "counted_flops": sum(run.counted_flops for run in (*runs, *unseen)),
        "noise": sigma,
        "held_out": {form: _held_out(runs, form) for form in FORMS},
        "plans": {form: _plans(fit_laws(runs, form), runs, unseen, sigma) for form in FORMS},
        "best": _best_by_method([*runs, *unseen]),
        "ranks": _effect([*runs, *unseen], "lora", lambda run: f"rank {run.tuning.rank}"),
        "freezing": _effect(
            [*runs, *unseen],
            "freeze",
            lambda run: "half of the blocks" if run.tuning.frozen_blocks else "no block",
        ),
        "spearman": _spearman([*runs, *unseen]),
    }


def noise_of(runs: Iterable[TuningRun]) -> dict[str, Any]:
    """Standard deviation of ln loss between seeds, pooled over the cells with several."""
    cells = defaultdict(list)
    for run in runs:
        cells[(*_cell(run), run.flops)].append(math.log(_loss(run)))
    several = [values for values in cells.values() if len(values) > 1]
    squares = sum(float(np.var(values, ddof=0)) * len(values) for values in several)
    degrees = sum(len(values) - 1 for values in several)
    return {"ln_loss": math.sqrt(squares / degrees), "cells": len(several), "degrees": degrees}


def _held_out(runs: Sequence[TuningRun], form: Form) -> dict[str, Any]:
    """Laws fitted without the largest size and the highest budget, held against both."""
    size, budget = max(run.n_params for run in runs), max(run.flops for run in runs)
    seen = [run for run in runs if run.n_params < size and run.flops < budget]
    sets = {
        "largest size": [run for run in runs if run.n_params == size],
        "highest budget": [run for run in runs if run.flops == budget],
        "largest size on the highest budget": [
            run for run in runs if run.n_params == size and run.flops == budget
        ],
    }
    laws = fit_laws(seen, form)
    return {
        what: {
            method: {
                "runs": each.n_runs,
                "mean_error": each.mean_error,
                "max_error": each.max_error,
                "inside": each.inside,
            }
            for method, each in predict_unseen(laws, part).items()
        }
        for what, part in sets.items()
    }


def _plans(
    laws: FittedLaws,
    runs: Sequence[TuningRun],
    unseen: Sequence[TuningRun],
    sigma: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """For each budget what the plan chose, what came of it, and what the rules of thumb give."""
    return [
        _plan_at(budget, laws, runs, [run for run in unseen if run.flops == budget])
        for budget in sorted({run.flops for run in unseen})
    ]


def _plan_at(
    budget: float, laws: FittedLaws, runs: Sequence[TuningRun], there: Sequence[TuningRun]
) -> dict[str, Any]:
    plan = make_plan(Budget(flops=budget), laws=laws, catalogue=_catalogue(runs))
    chosen = (plan.chosen.model, str(plan.chosen.tuning))
    losses = {_cell(run): _loss(run) for run in there}
    best = min(losses, key=lambda cell: losses[cell])
    full = [run for run in there if run.tuning.method == "full"]
    rules: dict[str, Callable[[TuningRun], float]] = {
        "largest that fits": lambda run: -run.n_params,
        "smallest": lambda run: run.n_params,
        "20 tokens per parameter": lambda run: abs(
            math.log(run.tokens / (_TOKENS_PER_PARAMETER * run.n_params))
        ),
    }
    predicted = plan.chosen.predicted
    return {
        "flops": budget,
        "runs": len(there),
        "chosen": list(chosen),
        "predicted": None if predicted is None else predicted.loss,
        "loss": losses[chosen],
        "best": list(best),
        "best_loss": losses[best],
        "regret": losses[chosen] / losses[best] - 1,
        "rules": {
            name: {
                "model": (run := min(full, key=rule)).model,
                "loss": _loss(run),
                "regret": _loss(run) / losses[best] - 1,
            }
            for name, rule in rules.items()
        },
    }


def _catalogue(runs: Iterable[TuningRun]) -> list[CatalogueEntry]:
    """The models of the runs, from the shapes that their records hold."""
    shapes = {run.model: run.shape for run in runs}
    return [
        CatalogueEntry(name=name, shape=_shape(shape), provenance="recipes/tuning_ladder.py")
        for name, shape in shapes.items()
    ]


def _shape(shape: Mapping[str, Any]) -> ModelShape:
    return ModelShape.from_config(
        {
            "model_type": shape["family"],
            "num_hidden_layers": shape["n_layers"],
            "hidden_size": shape["dim"],
            "num_attention_heads": shape.get("n_heads", 1),
            "intermediate_size": 4 * int(shape["dim"]),
            "vocab_size": shape["vocab_size"],
        }
    )


def _best_by_method(runs: Iterable[TuningRun]) -> list[dict[str, Any]]:
    """The least loss of each method on each budget, and the model it takes.

    Of the first seed alone: the best of several would be a lucky one.
    """
    rows = []
    runs = [run for run in runs if run.seed == 0]
    for budget in sorted({run.flops for run in runs}):
        row: dict[str, Any] = {"flops": budget}
        for method in ("full", "freeze", "bias", "lora"):
            of_method = [r for r in runs if r.flops == budget and r.tuning.method == method]
            if of_method:
                best = min(of_method, key=_loss)
                row[method] = {
                    "loss": _loss(best),
                    "model": best.model,
                    "tuning": str(best.tuning),
                }
        rows.append(row)
    return rows


def _effect(
    runs: Iterable[TuningRun], method: str, kind: Callable[[TuningRun], str]
) -> dict[str, Any]:
    """Mean ln loss above the best choice in a cell, by choice, over cells with all choices."""
    cells: dict[tuple[str, float], dict[str, float]] = defaultdict(dict)
    for run in runs:
        if run.tuning.method == method and run.seed == 0:
            cells[run.model, run.flops][kind(run)] = math.log(_loss(run))
    most = max(map(len, cells.values()))
    found: dict[str, list[float]] = defaultdict(list)
    for choices in cells.values():
        if len(choices) >= min(most, 2):
            for name, value in choices.items():
                found[name].append(value - min(choices.values()))
    return {
        name: {"above_best": float(np.mean(values)), "cells": len(values)}
        for name, values in sorted(found.items())
    }


def _spearman(runs: Sequence[TuningRun]) -> dict[str, float]:
    from scipy.stats import spearmanr

    losses = [_loss(run) for run in runs]
    return {
        name: float(spearmanr(losses, [run.metrics[name] for run in runs]).statistic)
        for name in ("recall@1", "mrr")
    }


def tables_of(found: Mapping[str, Any]) -> str:
    """The figures as Markdown."""
    blocks = [_held_out_table(found), _plan_table(found), _method_table(found), _facts(found)]
    return "\n\n".join(blocks)


def _held_out_table(found: Mapping[str, Any]) -> str:
    lines = [
        "| law | predicted, not fitted to | " + " | ".join(_METHODS) + " |",
        "|---|---|" + "--:|" * len(_METHODS),
    ]
    for form, sets in found["held_out"].items():
        for what, methods in sets.items():
            cells = [
                f"{methods[name]['mean_error']:.1%} (at most {methods[name]['max_error']:.1%})"
                if name in methods
                else ""
                for name in _METHODS
            ]
            lines.append(f"| {form} | {what} | {' | '.join(cells)} |")
    return "\n".join(lines)


_METHODS = ("full", "freeze", "bias", "lora")


def _plan_table(found: Mapping[str, Any]) -> str:
    lines = [
        "| FLOP | law | the plan | its loss | the best of all runs | regret | largest that fits | "
        "smallest | 20 tokens per parameter |",
        "|--:|---|---|--:|---|--:|--:|--:|--:|",
    ]
    for form, plans in found["plans"].items():
        for row in plans:
            rules = [f"{each['regret']:+.1%}" for each in row["rules"].values()]
            lines.append(
                f"| {row['flops']:.2g} | {form} | {', '.join(row['chosen'])} | {row['loss']:.3f} | "
                f"{', '.join(row['best'])} {row['best_loss']:.3f} | {row['regret']:+.1%} | "
                f"{' | '.join(rules)} |"
            )
    return "\n".join(lines)


def _method_table(found: Mapping[str, Any]) -> str:
    lines = [
        "| FLOP | " + " | ".join(_METHODS) + " |",
        "|--:|" + "---|" * len(_METHODS),
    ]
    for row in found["best"]:
        cells = [
            f"{row[name]['loss']:.3f} ({row[name]['model'].removeprefix('neox-')}, "
            f"{row[name]['tuning']})"
            if name in row
            else ""
            for name in _METHODS
        ]
        lines.append(f"| {row['flops']:.2g} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _facts(found: Mapping[str, Any]) -> str:
    effects = [
        ", ".join(f"{name} {each['above_best']:.1%}" for name, each in found[what].items())
        for what in ("ranks", "freezing")
    ]
    return (
        f"Seeds alone move a loss by {found['noise']['ln_loss']:.1%} (standard deviation, "
        f"{found['noise']['cells']} cells). Above the best choice for the same model and budget, "
        f"in the mean: LoRA's {effects[0]}; frozen {effects[1]}. Spearman's correlation of loss "
        f"and MRR {found['spearman']['mrr']:.3f}, of loss and recall@1 "
        f"{found['spearman']['recall@1']:.3f}. {sum(found['runs'].values())} runs, "
        f"{found['counted_flops']:.2g} FLOP, {found['seconds'] / 60:.0f} minutes of one thread."
    )


def _cell(run: TuningRun) -> Cell:
    return run.model, str(run.tuning)


def _loss(run: TuningRun) -> float:
    assert run.loss is not None
    return run.loss

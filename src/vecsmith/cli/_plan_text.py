"""A plan as text for a terminal: what to do first, then why, then what else there was."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from vecsmith.planning.wording import (
    amount,
    flops_text,
    hours_text,
    n_bytes_text,
)

if TYPE_CHECKING:
    from vecsmith.planning.choosing.candidates import Candidate
    from vecsmith.planning.choosing.plan import Plan

_MOST_CANDIDATES: Final = 8


def plan_text(plan: Plan, *, width: int = 100) -> str:
    """The plan as lines of at most `width` columns, tables apart."""
    return "\n".join(_lines(plan, width)).rstrip()


def _lines(plan: Plan, width: int) -> Iterator[str]:
    from vecsmith.results.rendering import align, visible

    yield f"Plan for {_budget_words(plan)}, by {plan.evidence}"
    yield ""
    for name, value in _facts(plan):
        yield from _wrapped(f"{name:<14}{visible(value)}", width, indent=2, hang=16)
    yield from ("", "Why")
    for line in plan.explanation:
        yield from _wrapped(f"- {visible(line)}", width, indent=2, hang=4)
    if plan.cautions:
        yield from ("", "Mind")
        for line in plan.cautions:
            yield from _wrapped(f"- {visible(line)}", width, indent=2, hang=4)
    yield from ("", f"Time on {plan.accelerator}, {plan.settings.precision}")
    yield _indented(align(_spending_rows(plan)))
    yield from ("", f"Candidates by {plan.ranked_by}, the best of {len(plan.ranked)}")
    yield _indented(align(_candidate_rows(plan)))
    if plan.refused:
        yield from ("", f"Refused: {len(plan.refused)}")
        for line in _refusals(plan):
            yield from _wrapped(visible(line), width, indent=2, hang=4)
    marks = Counter(constant.mark for constant in plan.constants)
    counted = ", ".join(f"{number} {mark}" for mark, number in marks.most_common())
    yield from ("", *_wrapped(f"Rests on {len(plan.constants)} numbers, {counted}: --json has "
                              "each with its source", width, hang=0))  # fmt: skip


def _budget_words(plan: Plan) -> str:
    budget = plan.budget
    if budget.gpu_hours is None:
        return f"{flops_text(budget.flops)} FLOP"
    money = "" if budget.money is None else f" for {budget.money:g}"
    return (
        f"{budget.gpu_hours:.3g} GPU-hours{money}: {flops_text(budget.flops)} FLOP of the device "
        f"at {budget.mfu:g} of its peak ({budget.mfu_mark})"
    )


def _facts(plan: Plan) -> Iterator[tuple[str, str]]:
    chosen, settings = plan.chosen, plan.settings
    yield "model", f"{chosen.model}, {amount(chosen.n_params)} parameters besides embeddings"
    yield "method", _method_words(chosen)
    epochs = "" if chosen.epochs is None else f", {chosen.epochs:.3g} epochs"
    yield (
        "data",
        f"{amount(chosen.tokens)} tokens: {chosen.steps:,} steps of {settings.batch_size:,} "
        f"pairs{epochs}",
    )
    yield (
        "rate",
        f"{chosen.learning_rate:.3g}, warm-up {100 * settings.warmup:g} %, {settings.schedule} to "
        f"{settings.final_lr:g}, weight decay {settings.weight_decay:g}",
    )
    yield (
        "loss",
        f"InfoNCE both ways at temperature {settings.temperature:g}, {settings.pooling} pooling, "
        f"{settings.max_length} tokens a text",
    )
    if chosen.memory is not None:
        yield "memory", _memory_words(chosen)
    if chosen.predicted is not None:
        law = chosen.predicted
        yield "predicted", f"{law.loss:.4f} ({law.low:.4f} to {law.high:.4f}, {law.level:.0%})"
    if plan.runner_up is not None:
        yield "runner-up", f"{plan.runner_up}{_loss_words(plan.runner_up)}"


def _method_words(candidate: Candidate) -> str:
    tuning = candidate.tuning
    trained = f"{amount(candidate.n_trained)} parameters trained"
    if tuning.method == "lora":
        return f"LoRA, rank {tuning.rank}, alpha {tuning.alpha:g}, {trained}"
    if tuning.method == "freeze":
        return f"first {tuning.frozen_blocks} of {candidate.n_layers} blocks frozen, {trained}"
    return f"{'full fine-tuning' if tuning.method == 'full' else 'biases alone'}, {trained}"


def _memory_words(candidate: Candidate) -> str:
    assert candidate.memory is not None
    ways = []
    if candidate.mini_batch is not None:
        ways.append(f"{candidate.mini_batch:,} texts at a time (gradient cache)")
    if candidate.gradient_checkpointing:
        ways.append("gradient checkpoints")
    how = ", ".join(ways) or "the whole batch at once"
    return f"about {n_bytes_text(candidate.memory['total'])}, {how}"


def _loss_words(candidate: Candidate) -> str:
    return "" if candidate.predicted is None else f", predicted {candidate.predicted.loss:.4f}"


def _spending_rows(plan: Plan) -> list[list[str]]:
    rows = plan.spending
    by_hours = plan.budget.gpu_hours is not None and len(rows) > 1
    head = ["of peak", "", "FLOP", "GPU-hours", "by the clock"]
    head += ["kWh"] if any(row.energy_kwh is not None for row in rows) else []
    head += ["money"] if any(row.money is not None for row in rows) else []
    head += ["kg CO2"] if any(row.co2_kg is not None for row in rows) else []
    head += ["best"] if by_hours else []
    table = [head]
    for row in rows:
        line = [f"{row.mfu:.3g}", row.mark, flops_text(row.flops), f"{row.gpu_hours:.3g}"]
        line += [hours_text(row.hours)]
        line += [
            f"{value:.3g}" for value in (row.energy_kwh, row.money, row.co2_kg) if value is not None
        ]
        line += [f"{row.tuning} of {row.model}"] if by_hours else []
        table.append(line)
    return table


def _candidate_rows(plan: Plan) -> list[list[str]]:
    with_loss = any(each.predicted is not None for each in plan.ranked)
    head = ["model", "tuning", "N", "tokens", "steps", "epochs"]
    table = [head + (["loss"] if with_loss else [])]
    for each in plan.ranked[:_MOST_CANDIDATES]:
        line = [each.model, str(each.tuning), amount(each.n_params), amount(each.tokens)]
        line += [f"{each.steps:,}", "" if each.epochs is None else f"{each.epochs:.3g}"]
        if with_loss:
            line.append("" if each.predicted is None else f"{each.predicted.loss:.4f}")
        table.append(line)
    return table


def _refusals(plan: Plan) -> list[str]:
    """The first refusal of each model."""
    first = {refusal.model: refusal for refusal in reversed(plan.refused)}
    counted = Counter(refusal.model for refusal in plan.refused)
    return [
        f"{model} ({counted[model]}), as {refusal.tuning}: {refusal.reason}"
        for model, refusal in reversed(first.items())
    ]


def _wrapped(text: str, width: int, *, indent: int = 0, hang: int = 0) -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=" " * indent,
        subsequent_indent=" " * hang,
        drop_whitespace=True,
    )


def _indented(table: str) -> str:
    return textwrap.indent(table, "  ")

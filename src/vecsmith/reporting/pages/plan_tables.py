"""The tables of a plan as plain cells.

The one rule: nothing is counted here; every cell is a field of the plan, in words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from vecsmith.planning.choosing.candidates import best_of_each
from vecsmith.planning.wording import amount, flops_text, hours_text, n_bytes_text
from vecsmith.reporting.pages.tables import Cell, Column, Line, Table
from vecsmith.reporting.pictures.scales import method_words
from vecsmith.reporting.quantities import figure_words, size_words
from vecsmith.reporting.wording import number, points, signed

if TYPE_CHECKING:
    from vecsmith.planning.choosing.candidates import Candidate
    from vecsmith.planning.choosing.plan import Plan
    from vecsmith.planning.choosing.presets import Constant
    from vecsmith.planning.choosing.statics import StaticAlternative
    from vecsmith.results.tuning import Tuning

_NONE: Final = "\N{EN DASH}"
_SPACE: Final = "\N{NARROW NO-BREAK SPACE}"
_MAX_CANDIDATES: Final = 16
_MAX_REFUSALS: Final = 40
_MEMORY_WORDS: Final = {
    "weights": "weights",
    "gradients": "gradients",
    "optimizer": "optimiser",
    "activations": "activations",
    "cached_vectors": "vectors of the gradient cache",
}
# Names of settings whose constants are called otherwise
_CONSTANT_NAMES: Final = {"rank": "ranks", "alpha": "lora_alpha"}


def tuning_words(tuning: Tuning) -> str:
    """How a model is tuned, as a person says it: "LoRA of rank 32"."""
    if tuning.method == "lora":
        return f"LoRA of rank {tuning.rank}"
    if tuning.method == "freeze":
        return f"the first {tuning.frozen_blocks} blocks frozen"
    return method_words(tuning.method)


def settings_table(plan: Plan) -> Table:
    """What is run, setting by setting, and where each comes from."""
    lines = []
    for name, words, value in _settings(plan):
        constant = _constant_of(name, plan)
        mark = "" if constant is None else constant.mark
        source = "" if constant is None else constant.source
        lines.append(_line(words, value, mark, Cell(text=source, is_note=True)))
    return Table(
        caption="All that a run takes from the plan.",
        columns=_columns("setting", "value", "mark", "source", n_words=4),
        lines=tuple(lines),
    )


def _settings(plan: Plan) -> Iterator[tuple[str, str, str]]:
    """Name, words and value of each setting."""
    chosen, settings = plan.chosen, plan.settings
    yield "model", "base model", chosen.model
    yield "method", "tuning", tuning_words(chosen.tuning)
    if chosen.tuning.method == "lora":
        yield "rank", "rank", f"{chosen.tuning.rank}"
        yield "alpha", "alpha, the adapters' product times alpha / rank", f"{chosen.tuning.alpha:g}"
    yield "tokens", "tokens, padding not counted", number(chosen.tokens)
    yield "steps", "steps", number(chosen.steps)
    yield "batch_size", "pairs in a step", number(settings.batch_size)
    yield "pairs_read", "pairs, with repetition", number(chosen.pairs)
    if chosen.epochs is not None:
        yield "epochs", "passes over the pairs", figure_words(chosen.epochs)
    yield "max_length", "tokens of a text that count", number(settings.max_length)
    yield "learning_rate", "highest learning rate", figure_words(chosen.learning_rate)
    yield "warmup", "share of steps with a rising rate", figure_words(settings.warmup)
    yield "schedule", "schedule after it", settings.schedule
    yield "final_lr", "share of the rate left at the end", figure_words(settings.final_lr)
    yield "weight_decay", "weight decay", figure_words(settings.weight_decay)
    yield "temperature", "temperature", figure_words(settings.temperature)
    yield "pooling", "pooling", settings.pooling
    yield "precision", "precision of the products", settings.precision
    cache = "no" if chosen.mini_batch is None else f"{number(chosen.mini_batch)} texts at a time"
    yield "mini_batch", "gradient cache", cache
    checkpoints = "yes" if chosen.gradient_checkpointing else "no"
    yield "gradient_checkpointing", "activations computed twice", checkpoints


def _constant_of(name: str, plan: Plan) -> Constant | None:
    """The constant that a setting was taken from; None where it has another value than that."""
    constants = {constant.name: constant for constant in plan.constants}
    if name == "learning_rate":
        return _constant_of_rate(plan, constants)
    found = constants.get(_CONSTANT_NAMES.get(name, name))
    if found is None:
        return None
    tuning = plan.chosen.tuning
    value = getattr(plan.settings, name, getattr(tuning, name, None))
    # LoRA's alpha of 0 stands for twice the rank
    is_rule = name == "alpha" and not found.value and tuning.alpha == 2 * tuning.rank
    values = found.value if isinstance(found.value, tuple) else (found.value,)
    return found if value in values or is_rule else None


def _constant_of_rate(plan: Plan, constants: Mapping[str, Constant]) -> Constant | None:
    """That of the method, that of the laws' runs, or the share of a pre-training peak."""
    own = constants.get("learning_rate")
    own = constants.get(f"learning_rate_{plan.chosen.tuning.method}", own)
    if own is not None:
        return own if own.value == plan.chosen.learning_rate else None
    return constants.get("learning_rate_divisor")


def spending_table(plan: Plan) -> Table | None:
    """Time, energy and money; None where no accelerator is known."""
    rows = plan.spending
    if not rows:
        return None
    is_by_hours = plan.budget.gpu_hours is not None
    columns = [
        ("counted FLOP", [flops_text(row.flops) for row in rows]),
        ("GPU-hours", [figure_words(row.gpu_hours) for row in rows]),
        ("by the clock", [hours_text(row.hours) for row in rows]),
        ("kWh", [_figure(row.energy_kwh) for row in rows]),
        ("money", [_figure(row.money) for row in rows]),
        ("CO2, kg", [_figure(row.co2_kg) for row in rows]),
    ]
    shown = [(heading, cells) for heading, cells in columns if set(cells) != {_NONE}]
    best = [[f"{row.tuning} of {row.model}"] if is_by_hours else [] for row in rows]
    device = plan.accelerator or "the accelerator"
    n_devices = plan.limits.n_devices
    several = device if n_devices == 1 else f"{n_devices} of {device}"
    question = (
        f"What these hours of {several} buy, and what is best then, if so much of its peak is "
        "reached."
        if is_by_hours
        else f"{flops_text(plan.chosen.device_flops)} FLOP on {several}, recompute and attention "
        "among them, if so much of its peak is reached."
    )
    headings = ["share of peak", "mark", *["best"] * is_by_hours, *(name for name, _ in shown)]
    n_words = 2 + is_by_hours
    return Table(
        caption=question,
        columns=_columns(*headings, n_words=n_words),
        lines=tuple(
            _line(
                f"{100 * row.mfu:.3g} %", row.mark, *best[place],
                *(cells[place] for _, cells in shown), n_words=n_words,
            )
            for place, row in enumerate(rows)
        ),
    )  # fmt: skip


def memory_table(plan: Plan) -> Table | None:
    """Memory of one accelerator, part by part; None where it was not estimated."""
    memory = plan.chosen.memory
    if not memory:
        return None
    parts = {name: memory[name] for name in memory if name != "total" and memory[name] > 0}
    total = memory.get("total", sum(parts.values()))
    lines = [
        _line(_MEMORY_WORDS.get(name, name.replace("_", " ")), n_bytes_text(n_bytes),
              f"{100 * n_bytes / total:.0f} %" if total else _NONE, n_words=1)
        for name, n_bytes in parts.items()
    ]  # fmt: skip
    limit = plan.limits.memory
    room = "" if limit is None else f" of {n_bytes_text(limit)}"
    return Table(
        caption=f"About {n_bytes_text(total)}{room} on one accelerator, estimated.",
        columns=_columns("what", "bytes", "share", n_words=1),
        lines=(*lines, _line("in all", n_bytes_text(total), "", n_words=1)),
    )


def candidates_table(plan: Plan) -> Table:
    """The best of each model and method, the best first."""
    best = best_of_each(plan.ranked)
    shown = best[:_MAX_CANDIDATES]
    more = f"; {len(best) - len(shown)} more are in the plan's file" * (len(best) > len(shown))
    has_loss = any(each.predicted is not None for each in shown)
    has_serving = any(each.serving is not None for each in shown)
    has_memory = any(each.memory for each in shown)
    headings = [
        "model", "tuning", "parameters", "trained", "tokens", "steps", "passes",
        *["predicted loss"] * has_loss, *["memory"] * has_memory, "training FLOP",
        *["serving FLOP"] * has_serving,
    ]  # fmt: skip
    lines = []
    for each in shown:
        cells: list[Cell | str] = [
            Cell(text=each.model, range=_place_words(each, plan)), tuning_words(each.tuning),
            size_words(each.n_params),
            f"{100 * each.share:.3g}{_SPACE}%", size_words(each.tokens), number(each.steps),
            _NONE if each.epochs is None else figure_words(each.epochs),
        ]  # fmt: skip
        cells += [_loss_cell(each)] * has_loss
        cells += [n_bytes_text(each.memory["total"]) if each.memory else _NONE] * has_memory
        cells.append(flops_text(each.device_flops))
        cells += [_NONE if each.serving is None else flops_text(each.serving.flops)] * has_serving
        lines.append(_line(*cells, n_words=2))
    return Table(
        caption=f"The best of each model and method, by {plan.ranked_by}{more}. Parameters without "
        "embeddings; the share of them that is trained.",
        columns=_columns(*headings, n_words=2),
        lines=tuple(lines),
    )


def _place_words(candidate: Candidate, plan: Plan) -> str:
    if candidate == plan.chosen:
        return "chosen"
    return "runner-up" if candidate == plan.runner_up else ""


def _loss_cell(candidate: Candidate) -> Cell:
    predicted = candidate.predicted
    if predicted is None:
        return Cell(text=_NONE)
    outside = " (beyond the runs)" if predicted.extrapolates else ""
    return Cell(
        text=f"{predicted.loss:.4f}{outside}",
        range=f"{predicted.low:.4f} to {predicted.high:.4f}",
    )


def serving_table(plan: Plan) -> Table | None:
    """Training and serving side by side for a few models; None where nobody said how it is used."""
    shown = [each for each in _compared(plan) if each.serving is not None]
    if plan.serving is None or not shown:
        return None
    serving = plan.serving
    lines = []
    for each in shown:
        cost = each.serving
        assert cost is not None
        lines.append(
            _line(
                Cell(text=each.model, range=_place_words(each, plan)), number(each.dim),
                flops_text(each.device_flops), flops_text(cost.query_flops),
                *(flops_text(part) if part else _NONE for part in (
                    cost.queries_flops, cost.documents_flops, cost.search_flops)),
                flops_text(each.device_flops + cost.flops),
                n_bytes_text(cost.index_bytes) if cost.index_bytes else _NONE, n_words=1,
            )
        )  # fmt: skip
    return Table(
        caption=f"FLOP of {amount(serving.queries_per_month)} queries a month for "
        f"{serving.months:g} months and of {amount(serving.documents)} documents.",
        columns=_columns(
            "model", "dims", "training", "one query", "all queries", "documents", "search",
            "training and serving", "index", n_words=1,
        ),
        lines=tuple(lines),
    )  # fmt: skip


def statics_table(plan: Plan) -> Table | None:
    """Static models beside the plan's: what they cost, and their score where there is one."""
    if not plan.statics:
        return None
    cost = plan.chosen.serving
    lines = [
        _line(
            static.model, _verdict_cell(static),
            _NONE if static.score is None else points(static.score),
            _tuned_cell(static), number(static.dim), n_bytes_text(static.n_bytes),
            flops_text(static.serving.query_flops),
            n_bytes_text(static.serving.index_bytes) if static.serving.index_bytes else _NONE,
            n_words=2,
        )
        for static in plan.statics
    ]  # fmt: skip
    beside = "" if cost is None else f" The plan's model takes {flops_text(cost.query_flops)}."
    return Table(
        caption="Almost no training, and microseconds a text. Scores are times 100, on the same "
        f"items as a tuned model's; FLOP are those of one query.{beside}",
        columns=_columns(
            "model", "against a tuned model", "its score", "the tuned one's", "dims", "size",
            "FLOP", "index", n_words=2,
        ),
        lines=tuple(lines),
    )  # fmt: skip


def _verdict_cell(static: StaticAlternative) -> Cell:
    if static.low is None or static.high is None:
        return Cell(text=f"{static.verdict}: {static.reason}", is_note=True)
    ends = f"{signed(static.low)} to {signed(static.high)} over {number(static.n_items)} items"
    return Cell(text=static.verdict, range=ends, is_text=True)


def _tuned_cell(static: StaticAlternative) -> Cell:
    if static.tuned_score is None:
        return Cell(text=_NONE)
    return Cell(text=points(static.tuned_score), range=static.tuned_model)


def _compared(plan: Plan) -> list[Candidate]:
    """The chosen one, the runner-up, and the smallest and largest models that make sense."""
    by_size = sorted(plan.ranked, key=lambda each: each.n_params)
    several = [plan.chosen, plan.runner_up, by_size[0], by_size[-1]] if by_size else [plan.chosen]
    models: dict[str, Candidate] = {}
    for each in several:
        if each is not None:
            models.setdefault(each.model, each)
    return list(models.values())


def refused_table(plan: Plan) -> Table | None:
    """What was put aside and why, ways of tuning that fail alike on one line; None with nothing."""
    groups: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for refusal in plan.refused:
        kind = re.sub(r"[\d.,e+]+", "", refusal.reason)
        groups.setdefault((refusal.model, kind), []).append((str(refusal.tuning), refusal.reason))
    if not groups:
        return None
    lines = [
        _line(model, ", ".join(tuning for tuning, _ in alike), Cell(text=alike[0][1], is_note=True))
        for (model, _), alike in list(groups.items())[:_MAX_REFUSALS]
    ]
    more = f" {len(groups) - len(lines)} more lines are in its file." * (len(groups) > len(lines))
    return Table(
        caption=f"{len(plan.refused)} of {len(plan.refused) + len(plan.ranked)} candidates; the "
        f"reason is that of the first named.{more}",
        columns=_columns("model", "tuning", "why", n_words=3),
        lines=tuple(lines),
    )


def constants_table(constants: Sequence[Constant]) -> Table:
    """Every number that the plan rests on."""
    return Table(
        caption="printed: in the paper or its code; derived: by arithmetic from printed ones; "
        "assumed: our choice; given: yours; measured: on a machine; fitted: to runs.",
        columns=_columns("what", "value", "mark", "source", n_words=4),
        lines=tuple(
            _line(
                (constant.meaning or constant.name).replace("_", " "), _value_words(constant.value),
                constant.mark, Cell(text=constant.source, is_note=True),
            )
            for constant in constants
        ),
    )  # fmt: skip


def _value_words(value: Any) -> str:
    """A constant's value on one line."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, int) and abs(value) < 1_000_000:
        return number(value)
    if isinstance(value, (int, float)):
        return figure_words(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_value_words(inner)}" for key, inner in value.items())
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ", ".join(
            f"({_value_words(inner)})" if isinstance(inner, tuple) else _value_words(inner)
            for inner in value
        )
    return str(value).replace("EleutherAI/", "")


def _figure(value: float | None) -> str:
    return _NONE if value is None else figure_words(value)


def _columns(*headings: str, n_words: int) -> tuple[Column, ...]:
    """Columns of which the first `n_words` hold words."""
    return tuple(
        Column(heading=heading, is_text=place < n_words) for place, heading in enumerate(headings)
    )


def _line(*cells: Cell | str, n_words: int = 4) -> Line:
    """A line of which the first `n_words` cells are set left."""
    return Line(
        cells=tuple(
            cell if isinstance(cell, Cell) else Cell(text=cell, is_text=place < n_words)
            for place, cell in enumerate(cells)
        )
    )

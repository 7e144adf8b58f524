"""Why a plan is what it is, in plain words; and what it does not know.

The one rule: every sentence names its number and how sure it is: printed, derived or assumed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import NormalDist, fmean

from vecsmith.planning.choosing.candidates import Candidate
from vecsmith.planning.choosing.presets import Preset
from vecsmith.planning.choosing.problem import Problem
from vecsmith.planning.choosing.ranking import Ranking, active_share, middle_steps, total_flops
from vecsmith.planning.wording import (
    amount,
    factor_text,
    flops_text,
    n_bytes_text,
    percent_text,
    probability_text,
)

METHOD_WORDS = {
    "full": "full fine-tuning",
    "freeze": "freezing the first blocks",
    "bias": "bias-only tuning",
    "lora": "LoRA",
}


def explain_preset(problem: Problem, ranking: Ranking) -> tuple[str, ...]:
    """Why the published recipe leads to the first of the ranking."""
    chosen = ranking.candidates[0]
    return (
        _method_line(problem, ranking),
        *_doubt_lines(problem.preset, chosen),
        *_size_lines(problem, ranking),
        *_hyper_lines(problem.preset, chosen),
        run_line(chosen),
        *memory_lines(chosen),
        *serving_lines(ranking),
        "no loss is predicted: the coefficients of the paper's laws are not published",
    )


def preset_cautions(problem: Problem, ranking: Ranking) -> tuple[str, ...]:
    """What to know before one relies on the plan."""
    return tuple(_cautions(problem, ranking.candidates[0]))


def padding_caution(problem: Problem) -> Iterator[str]:
    """How far off times may be for the tokens that nobody counts."""
    longest, real = 2 * problem.settings.max_length, problem.data.tokens_per_pair
    if longest > 1.05 * real:
        yield (
            "time, energy and money are those of real tokens: texts of a batch are padded to the "
            f"longest of them, at most to {longest:,} tokens a pair where {real:.3g} are real, so "
            f"they may be up to {longest / real:.2g} times as much"
        )


def crossover_probability(flops: float, preset: Preset) -> float:
    """P(LoRA is better at this budget), as far as two lines through noisy runs tell.

    Each line goes through one run at each of the budgets, so at x = ln C its height has the
    variance noise^2 (1/n + (x - mean x)^2 / Sxx): less doubt between the budgets than beyond them.
    """
    x, logs = math.log(flops), [math.log(budget) for budget in preset["budgets"]]
    mean = fmean(logs)
    squares = sum((each - mean) ** 2 for each in logs)
    variance = 2 * preset["noise"] ** 2 * (1 / len(logs) + (x - mean) ** 2 / squares)
    gap = preset["slope_difference"] * (x - math.log(preset["threshold_flops"]))
    return NormalDist(sigma=math.sqrt(variance)).cdf(gap)


def loss_gap(flops: float, preset: Preset) -> float:
    """By how much, as a share, the better method's loss is below the other's at this budget."""
    distance = abs(math.log(flops / preset["threshold_flops"]))
    return math.expm1(preset["slope_difference"] * distance)


def _method_line(problem: Problem, ranking: Ranking) -> str:
    chosen, preset = ranking.candidates[0], problem.preset
    threshold = preset["threshold_flops"]
    asked = "full" if chosen.flops <= threshold else "lora"
    side = "not above" if asked == "full" else "above"
    said = (
        f"{flops_text(chosen.flops)} FLOP is {side} {flops_text(threshold)}, up to which full "
        f"fine-tuning is best and above which LoRA is (printed, section 4.4)"
    )
    if chosen.tuning.method == asked:
        return f"{said}: {METHOD_WORDS[asked]}"
    return (
        f"{said}; no candidate with {METHOD_WORDS[asked]} makes sense here, so the next method "
        f"is taken: {METHOD_WORDS[chosen.tuning.method]}"
    )


def _doubt_lines(preset: Preset, chosen: Candidate) -> Iterator[str]:
    if chosen.tuning.method not in ("full", "lora"):
        return
    flops = chosen.flops
    chance = crossover_probability(flops, preset)
    spread = math.exp(preset["crossover_spread"] * preset["noise"])
    gap = loss_gap(flops, preset)
    yield (
        f"the two methods' losses differ by {percent_text(gap)} here (derived from the crossing), "
        f"and one seed a run leaves the crossing uncertain by a factor {factor_text(spread)} "
        f"(derived, with {percent_text(preset['noise'])} noise assumed): LoRA is the better one "
        f"with probability {probability_text(chance)}"
    )


def _size_lines(problem: Problem, ranking: Ranking) -> Iterator[str]:
    chosen = ranking.candidates[0] if ranking.unserved is None else ranking.unserved
    alike = [each for each in ranking.candidates if each.tuning.method == chosen.tuning.method]
    sizes = sorted({(each.n_params, each.model) for each in alike})
    if len(sizes) == 1:
        yield f"{chosen.model} is the only model that makes sense with this budget and method"
        return
    span = (
        f"models from {sizes[0][1]} to {sizes[-1][1]} make sense with "
        f"{METHOD_WORDS[chosen.tuning.method]}: at least {problem.limits.min_steps} steps, at "
        f"most {problem.limits.max_epochs:g} epoch"
    )
    yield f"{span}; the paper's line of best sizes is a figure without numbers"
    yield f"{chosen.model} by the size rule {problem.size_rule!r} ({_rule_words(problem, chosen)})"


def _rule_words(problem: Problem, chosen: Candidate) -> str:
    if problem.size_rule != "middle":
        return "assumed"
    middle = middle_steps(problem.data, problem.settings, problem.limits)
    most = problem.limits.max_epochs * (problem.data.pairs or 0) / problem.settings.batch_size
    return (
        f"assumed: {chosen.steps:,} steps are nearest to {middle:,.0f}, the geometric mean of "
        f"{problem.limits.min_steps:,} and the {most:,.0f} of {problem.limits.max_epochs:g} epoch"
    )


def _hyper_lines(preset: Preset, chosen: Candidate) -> Iterator[str]:
    tuning = chosen.tuning
    if tuning.method == "lora":
        if tuning.rank in preset["preferred_ranks"]:
            why = "printed, section 4.2: the optimum is around 128, 32 or 128 are good defaults"
        else:
            why = "the nearest that makes sense to the printed 128"
        yield (
            f"rank {tuning.rank} ({why}); alpha {tuning.alpha:g}, so adapters are scaled by "
            f"{tuning.alpha / tuning.rank:.3g}"
        )
    if tuning.method == "freeze":
        share = active_share(chosen.n_params, preset)
        yield (
            f"{tuning.frozen_blocks} of {chosen.n_layers} blocks and the token embedding frozen: "
            f"at this size the best share of trained blocks is about {percent_text(share)} "
            f"(section 4.2)"
        )


def run_line(chosen: Candidate) -> str:
    """What the budget pays for."""
    pairs = f"{amount(chosen.pairs)} pairs"
    epochs = "" if chosen.epochs is None else f", {chosen.epochs:.3g} of an epoch"
    return (
        f"{flops_text(chosen.flops)} FLOP at {flops_text(chosen.cost_per_token)} a token pay for "
        f"{amount(chosen.tokens)} tokens: {pairs} in {chosen.steps:,} steps{epochs}"
    )


def memory_lines(chosen: Candidate) -> Iterator[str]:
    """What a step takes, and how it is made to fit."""
    if chosen.memory is None:
        return
    ways = []
    if chosen.mini_batch is not None:
        ways.append(f"a gradient cache over {chosen.mini_batch:,} texts at a time")
    if chosen.gradient_checkpointing:
        ways.append("gradient checkpoints")
    how = f", with {' and '.join(ways)}" if ways else ", the whole batch at once"
    yield f"about {n_bytes_text(chosen.memory['total'])} of memory (estimated){how}"


def serving_lines(ranking: Ranking) -> Iterator[str]:
    """What serving takes, and what it changed."""
    chosen = ranking.candidates[0]
    if chosen.serving is None:
        return
    yield (
        f"serving takes {flops_text(chosen.serving.flops)} FLOP, training "
        f"{flops_text(chosen.device_flops)}; vectors of the documents take "
        f"{n_bytes_text(chosen.serving.index_bytes)}"
    )
    other = ranking.unserved
    if other is not None and other.serving is not None:
        saved = 1 - total_flops(chosen) / total_flops(other)
        yield (
            f"{chosen.model} instead of {other.model}: as good as the evidence can tell (assumed), "
            f"and {percent_text(saved)} cheaper with serving"
        )


def _cautions(problem: Problem, chosen: Candidate) -> Iterator[str]:
    budgets = problem.preset["budgets"]
    if not budgets[0] <= chosen.flops <= budgets[-1]:
        yield (
            f"{flops_text(chosen.flops)} FLOP is outside the paper's budgets, "
            f"{flops_text(budgets[0])} to {flops_text(budgets[-1])}: the threshold is extrapolated"
        )
    if chosen.model not in problem.preset["models"]:
        yield f"{chosen.model} is none of the paper's models: its findings are taken over"
    if problem.data.pairs == problem.preset["pairs"]:
        yield (
            f"{amount(problem.preset['pairs'])} pairs are taken to be there, as in the paper; "
            "say how many you have, fewer call for a larger model"
        )
    attention = chosen.device_flops / chosen.flops - 1
    if attention > 0.1:
        yield (
            f"the device does {percent_text(attention)} more FLOP than are counted: attention and "
            "recompute"
        )
    yield from chosen.notes

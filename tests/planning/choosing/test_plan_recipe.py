"""Plans by the published recipe, checked against what it prints and against arithmetic by hand.

Printed numbers are those of Ziarko et al. 2024, arXiv 2406.04165.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vecsmith.planning import Budget, Data, Limits, Settings, load_catalogue, load_preset, make_plan
from vecsmith.planning.choosing.candidates import cost_candidate, frozen_choices
from vecsmith.planning.choosing.explaining import crossover_probability, loss_gap
from vecsmith.planning.choosing.presets import MARKS
from vecsmith.results.tuning import Tuning

PRESET = load_preset()
THRESHOLD = 9.06e16
ENTRIES = {entry.name.removeprefix("EleutherAI/pythia-"): entry for entry in load_catalogue()}
BUDGETS = (1.5e15, 6e15, 2.4e16, 9.6e16, 3.8e17, 1.5e18)
# Steps of 1024 pairs of 78 tokens in full fine-tuning, by size and budget
STEPS = {
    "14m": (2631, 10.5e3, 42e3, 168e3, None, None),
    "31m": (660, 2.6e3, 10.6e3, 42e3, 167e3, None),
    "70m": (165, 662, 2.6e3, 10.6e3, 42e3, 166e3),
    "160m": (37, 147, 589, 2.4e3, 9.3e3, 37e3),
    "410m": (10, 41, 166, 663, 2.6e3, 10e3),
    "1b": (4, 16, 62, 249, 984, 3.9e3),
    "1.4b": (2.6, 10, 41, 166, 656, 2.6e3),
    "2.8b": (1.2, 5, 20, 80, 315, 1.2e3),
}


def full_of(size: str, flops: float) -> Any:
    return cost_candidate(
        ENTRIES[size],
        Tuning(),
        Budget(flops=flops),
        data=Data(pairs=200_000_000),
        settings=Settings.of_preset(PRESET),
        learning_rate=1e-4,
    )


def test_the_threshold_itself_is_full_fine_tuning_and_the_next_number_is_lora() -> None:
    assert make_plan(THRESHOLD).chosen.tuning.method == "full"
    assert make_plan(math.nextafter(THRESHOLD, math.inf)).chosen.tuning.method == "lora"


def test_the_printed_slopes_cross_at_3e23_so_the_threshold_is_shipped_and_not_computed() -> None:
    rise = PRESET["intercept_lora"] - PRESET["intercept_full"]
    computed = math.exp(rise / (PRESET["slope_full"] - PRESET["slope_lora"]))
    assert computed == pytest.approx(2.8e23, rel=0.02)
    assert PRESET["threshold_flops"] == THRESHOLD
    assert PRESET.constants["threshold_flops"].mark == "printed"
    # by the two-digit lines LoRA would lose at each budget of the paper
    for flops in BUDGETS:
        lora = PRESET["slope_lora"] * math.log(flops) + PRESET["intercept_lora"]
        assert lora > PRESET["slope_full"] * math.log(flops) + PRESET["intercept_full"]


def test_the_slopes_that_do_cross_at_the_threshold_round_to_the_printed_ones() -> None:
    difference = (8.93 - 8.39) / math.log(THRESHOLD)
    assert PRESET["slope_difference"] == pytest.approx(difference, rel=1e-3)
    fits = [
        full
        for full in np.arange(0.205, 0.215, 1e-4)
        if round(full, 2) == 0.21 and round(full + difference, 2) == 0.22
    ]
    assert fits


@pytest.mark.parametrize(
    ("flops", "gap"), [(4 * THRESHOLD, 0.019), (1.5e15, 0.058), (1.5e18, 0.040), (THRESHOLD, 0.0)]
)
def test_the_methods_differ_by_what_the_slopes_say(flops: float, gap: float) -> None:
    assert loss_gap(flops, PRESET) == pytest.approx(gap, abs=6e-4)


def test_the_doubt_about_the_crossing_is_that_of_simulated_runs() -> None:
    noise = 1e-4  # small, so that the crossing moves in proportion
    slope, height = simulated_lines(noise)
    crossings = (height[1] - height[0]) / (slope[0] - slope[1])
    assert crossings.std() / noise == pytest.approx(PRESET["crossover_spread"], rel=0.02)
    assert crossover_probability(THRESHOLD, PRESET) == pytest.approx(0.5)


@pytest.mark.parametrize("flops", [1e14, 1.5e15, 2.4e16, THRESHOLD, 3.8e17, 1.22e18, 1.5e18, 1e20])
def test_the_probability_of_a_method_is_that_of_simulated_runs(flops: float) -> None:
    slope, height = simulated_lines(PRESET["noise"])
    full, lora = slope * math.log(flops) + height
    assert crossover_probability(flops, PRESET) == pytest.approx(np.mean(lora < full), abs=0.01)


def simulated_lines(noise: float) -> tuple[Any, Any]:
    """Slopes and heights of two lines fitted to six noisy budgets each, twenty thousand times."""
    random = np.random.default_rng(0)
    logs = np.log(BUDGETS)
    slopes = np.array([-0.21, -0.21 - 0.54 / math.log(THRESHOLD)])
    lines = slopes[:, None] * logs + np.array([[8.39], [8.93]])
    seen = lines[:, None] + noise * random.standard_normal((2, 20_000, 6))
    centred = logs - logs.mean()
    slope = seen @ centred / (centred @ centred)
    return slope, seen.mean(axis=2) - slope * logs.mean()


@pytest.mark.parametrize("size", list(STEPS))
def test_steps_of_the_grid_are_those_of_the_table(size: str) -> None:
    for flops, expected in zip(BUDGETS, STEPS[size], strict=True):
        candidate = full_of(size, flops)
        exact = flops / (6 * ENTRIES[size].shape.n_non_embedding) / (78 * 1024)
        assert candidate.steps == int(exact)
        if expected is not None:
            assert exact == pytest.approx(expected, rel=0.05)


def test_the_smallest_models_would_repeat_texts_at_the_largest_budgets() -> None:
    assert full_of("14m", 3.8e17).epochs == pytest.approx(3.4, rel=0.02)
    assert full_of("14m", 1.5e18).epochs == pytest.approx(13, rel=0.05)
    assert full_of("31m", 1.5e18).epochs == pytest.approx(3.4, rel=0.02)
    assert full_of("70m", 1.5e18).epochs == pytest.approx(0.85, rel=0.01)
    plan = make_plan(1.5e18)
    refused = {(each.model, str(each.tuning)): each.reason for each in plan.refused}
    assert "3.38 passes over the pairs" in refused["EleutherAI/pythia-31m", "full"]
    assert ("EleutherAI/pythia-70m", "full") not in refused


def test_the_largest_models_would_take_a_handful_of_steps_at_the_smallest_budget() -> None:
    refused = {(each.model, str(each.tuning)): each.reason for each in make_plan(1.5e15).refused}
    assert refused["EleutherAI/pythia-2.8b", "full"].startswith("1 steps of 1,024 pairs")


@pytest.mark.parametrize(
    ("size", "rate"),
    [("14m", 1e-4), ("160m", 6e-5), ("410m", 3e-5), ("1b", 3e-5), ("1.4b", 2e-5), ("2.8b", 1.6e-5)],
)
def test_full_fine_tuning_takes_a_tenth_of_the_pre_training_peak(size: str, rate: float) -> None:
    plan = make_plan(
        Budget(flops=6 * ENTRIES[size].shape.n_non_embedding * 78 * 1024 * 300.0),
        catalogue=[ENTRIES[size]],
        menu={"methods": ("full",)},
    )
    assert plan.chosen.learning_rate == pytest.approx(rate)


def test_lora_takes_rank_128_and_the_rate_and_alpha_of_the_authors_code() -> None:
    peft = pytest.importorskip("peft")
    chosen = make_plan(1e18).chosen
    assert chosen.tuning.rank == 128
    assert chosen.learning_rate == 1e-3
    assert chosen.tuning.alpha == peft.LoraConfig().lora_alpha == 8


def test_the_settings_are_the_printed_ones() -> None:
    plan = make_plan(1e16).plain()
    expected = {
        "batch_size": 1024, "max_length": 75, "temperature": 1 / 40, "pooling": "mean",
        "warmup": 0.1, "schedule": "cosine", "weight_decay": 0.1,
    }  # fmt: skip
    assert {name: plan[name] for name in expected} == expected


def test_no_loss_is_predicted_as_no_coefficient_is_printed() -> None:
    plan = make_plan(1e17)
    assert plan.plain()["predicted_loss"] is None
    assert any("not published" in line for line in plan.explanation)


def test_every_constant_has_a_mark_a_source_and_a_meaning() -> None:
    for constant in PRESET:
        assert constant.mark in MARKS
        assert constant.source
        assert constant.meaning


def test_the_size_is_that_whose_steps_are_nearest_to_the_middle() -> None:
    plan = make_plan(1.5e18)
    middle = math.sqrt(200 * 200e6 / 1024)
    alike = [each for each in plan.ranked if str(each.tuning) == str(plan.chosen.tuning)]
    nearest = min(alike, key=lambda each: abs(math.log(each.steps / middle)))
    assert plan.chosen == nearest
    assert middle == pytest.approx(6250)


def test_fewer_pairs_call_for_a_larger_model() -> None:
    sizes = [
        make_plan(1e17, data={"pairs": pairs}).chosen.n_params for pairs in (2e8, 2e7, 5e6, 1e6)
    ]
    assert sizes == sorted(sizes)
    assert sizes[-1] > sizes[0]


@pytest.mark.parametrize("rule", ["largest", "smallest", "tokens-per-parameter"])
def test_another_rule_gives_the_size_that_its_name_says(rule: Any) -> None:
    plan = make_plan(1e16, size_rule=rule)
    alike = [each for each in plan.ranked if each.tuning == plan.chosen.tuning]
    expected = {
        "largest": max(alike, key=lambda each: each.n_params),
        "smallest": min(alike, key=lambda each: each.n_params),
        "tokens-per-parameter": min(
            alike, key=lambda each: abs(math.log(each.tokens / each.n_params / 20))
        ),
    }
    assert plan.chosen == expected[rule]


def test_large_models_freeze_more_blocks_than_small_ones() -> None:
    plan = make_plan(1e18, menu={"methods": ("freeze",)}, limits={"max_epochs": 100})
    shares: dict[str, float] = {}
    for each in plan.ranked:  # the best of each model comes first
        shares.setdefault(each.model, 1 - each.tuning.frozen_blocks / each.n_layers)
    assert shares["EleutherAI/pythia-70m"] == 1.0
    assert 0.3 <= shares["EleutherAI/pythia-1b"] <= 0.5


def test_frozen_shares_are_sixths_and_eighths_as_the_blocks_divide() -> None:
    assert frozen_choices(6, (6, 8)) == [0, 1, 2, 3, 4, 5]
    assert frozen_choices(16, (6, 8)) == [0, 2, 4, 6, 8, 10, 12, 14]
    assert frozen_choices(24, (6, 8)) == [0, 3, 4, 6, 8, 9, 12, 15, 16, 18, 20, 21]
    assert frozen_choices(22, (6, 8)) == [0, 4, 7, 11, 15, 18]  # 22 k / 6, rounded


def test_bias_only_is_refused_for_a_model_without_biases() -> None:
    entry = next(each for each in load_catalogue() if each.name.endswith("SmolLM2-135M"))
    plan = make_plan(1e17, catalogue=[entry])
    reasons = {str(refusal.tuning): refusal.reason for refusal in plan.refused}
    assert "no biases" in reasons["bias"]


def test_a_model_of_unknown_peak_takes_pythias_at_its_size_and_says_so() -> None:
    entry = next(each for each in load_catalogue() if each.name.endswith("SmolLM2-135M"))
    assert entry.peak_lr is None
    plan = make_plan(1e17, catalogue=[entry], menu={"methods": ("full",)})
    assert 3e-5 < plan.chosen.learning_rate < 6e-5  # between pythia-160m and pythia-410m
    assert any("assumed" in note for note in plan.cautions)


@settings(max_examples=20, deadline=None)
@given(st.floats(1e15, 1e19), st.integers(100_000, 10**9))
def test_a_plan_spends_its_budget_to_within_a_step_and_keeps_to_its_limits(
    flops: float, pairs: int
) -> None:
    fewest, most = (6 * ENTRIES[size].shape.n_non_embedding for size in ("14m", "2.8b"))
    if pairs < 200 * 1024 or flops > most * pairs * 78 or flops < fewest * 200 * 1024 * 78:
        with pytest.raises(ValueError, match="fits a budget of"):
            make_plan(flops, data={"pairs": pairs}, menu={"methods": ("full",)})
        return
    assume(pairs >= 5 * 200 * 1024)  # sizes are up to a factor 4.5 apart: fewer pairs may suit none
    plan = make_plan(flops, data={"pairs": pairs})
    for each in (plan.chosen, *plan.ranked):
        per_step = each.cost_per_token * 78 * 1024
        assert each.steps * per_step <= flops * (1 + 1e-9)
        assert flops < (each.steps + 1) * per_step * (1 + 1e-9)
        assert each.steps >= 200
        assert each.pairs <= pairs


def test_limits_that_are_given_are_kept_to() -> None:
    plan = make_plan(1e17, limits=Limits(min_steps=5000, max_epochs=0.05))
    assert all(each.steps >= 5000 and (each.epochs or 0) <= 0.05 for each in plan.ranked)

"""Budgets, memory, time and serving of plans, checked against arithmetic by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from vecsmith.planning import (
    Accelerator,
    Budget,
    Data,
    Limits,
    Menu,
    Serving,
    Settings,
    find_accelerator,
    load_catalogue,
    load_preset,
    make_plan,
)
from vecsmith.planning.cells import RecipeSettings
from vecsmith.planning.choosing.feasibility import MemoryFit, fit_memory
from vecsmith.planning.choosing.serving import cost_serving
from vecsmith.planning.choosing.spending import Device, spend
from vecsmith.results.tuning import Tuning

A100 = find_accelerator("a100")
ENTRIES = {entry.name: entry for entry in load_catalogue()}
SMALL = ENTRIES["EleutherAI/pythia-70m"].shape
SETTINGS = Settings.of_preset(load_preset())


def test_hours_are_the_peak_times_the_share_reached() -> None:
    budget = Budget.from_hours(8, A100, mfu=0.2)
    assert budget.flops == pytest.approx(8 * 3600 * 312e12 * 0.2)
    assert budget.kind == "device"


def test_money_is_hours_at_their_price() -> None:
    bought = Budget.from_money(20, A100, price_per_hour=2.5, mfu=0.2)
    assert bought.flops == Budget.from_hours(8, A100, mfu=0.2).flops
    assert (bought.gpu_hours, bought.money) == (8, 20)


@pytest.mark.parametrize("flops", [0, -1e17, math.nan, math.inf, 10**400])
def test_a_budget_of_no_flop_is_refused(flops: float) -> None:
    with pytest.raises(ValueError, match="expected a finite number, more than zero"):
        Budget(flops=flops)


def test_a_budget_that_python_cannot_write_out_is_refused_all_the_same() -> None:
    with pytest.raises(ValueError, match="flops is a number of thousands of digits, expected"):
        Budget(flops=10**9999)


@pytest.mark.parametrize("flops", ["1e17", True, None])
def test_a_budget_that_is_no_number_is_refused(flops: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="flops is"):
        Budget(flops=flops)


def test_a_share_of_the_peak_above_one_is_refused() -> None:
    with pytest.raises(ValueError, match="mfu is 40"):
        Budget.from_hours(1, A100, mfu=40)


def test_an_accelerator_without_the_precision_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="has no peak in bfloat16, expected one of"):
        Budget.from_hours(1, find_accelerator("v100"), mfu=0.2)


def test_the_threshold_takes_a_fifth_of_an_hour_of_an_a100_at_two_fifths_of_its_peak() -> None:
    plan = make_plan(9.06e16)
    candidate = replace(plan.chosen, device_flops=9.06e16)
    row = spend(candidate, Device(accelerator=A100, precision="bfloat16"), mfu=0.4, mark="given")
    assert row.gpu_hours == pytest.approx(0.20, abs=0.005)


def test_energy_money_and_carbon_follow_from_the_hours() -> None:
    plan = make_plan(
        1e18, accelerator=A100, mfu=0.25, price_per_hour=3, carbon_intensity=400,
        limits={"n_devices": 8},
    )  # fmt: skip
    (row,) = plan.spending
    hours = plan.chosen.device_flops / (312e12 * 0.25) / 3600
    assert row.gpu_hours == pytest.approx(hours)
    assert row.hours == pytest.approx(hours / 8)
    assert row.energy_kwh == pytest.approx(hours * 0.4)
    assert row.money == pytest.approx(hours * 3)
    assert row.co2_kg == pytest.approx(hours * 0.4 * 0.4)
    assert row.mark == "given"


def test_without_a_share_of_the_peak_three_assumed_ones_are_shown() -> None:
    rows = make_plan(1e17).spending
    assert [row.mfu for row in rows] == [0.05, 0.2, 0.4]
    assert {row.mark for row in rows} == {"assumed"}
    assert rows[0].gpu_hours == pytest.approx(8 * rows[2].gpu_hours)


def test_hours_at_another_share_of_the_peak_buy_another_plan() -> None:
    plan = make_plan(Budget.from_hours(1, A100, mfu=0.2, mfu_mark="assumed"))
    assert [row.gpu_hours for row in plan.spending] == pytest.approx([1, 1, 1])
    flops = [row.flops for row in plan.spending]
    assert flops == sorted(flops)
    for row in plan.spending:
        alone = make_plan(Budget.from_hours(1, A100, mfu=row.mfu))
        assert (row.model, row.tuning) == (alone.chosen.model, str(alone.chosen.tuning))


def test_hours_pay_for_recompute_and_attention_too() -> None:
    budget = Budget.from_hours(8, A100, mfu=0.2)
    roomy, tight = make_plan(budget), make_plan(budget, memory=16e9)
    assert roomy.chosen.device_flops == pytest.approx(budget.flops)
    assert tight.chosen.mini_batch is not None
    same = next(each for each in tight.ranked if each.model == roomy.chosen.model)
    ratio = (same.device_flops / same.flops) / (roomy.chosen.device_flops / roomy.chosen.flops)
    assert 1.3 < ratio < 1.6  # a second forward pass over a forward and a backward of LoRA
    assert same.tokens < roomy.chosen.tokens


def test_counted_flop_pay_for_the_same_tokens_whatever_the_memory() -> None:
    roomy, tight = make_plan(1e17), make_plan(1e17, memory=8e9)
    assert tight.chosen.tokens == roomy.chosen.tokens
    assert tight.chosen.device_flops > roomy.chosen.device_flops


def test_less_memory_means_a_cache_then_checkpoints_then_a_refusal() -> None:
    ways = []
    for gigabytes in (80, 8, 2, 0.3):
        fit = fit_memory(SMALL, Tuning(), SETTINGS, Limits(memory=gigabytes * 1e9))
        ways.append(fit)
    whole, cached, smaller, refused = ways
    assert isinstance(whole, MemoryFit)
    assert isinstance(cached, MemoryFit)
    assert isinstance(smaller, MemoryFit)
    assert (whole.mini_batch, whole.gradient_checkpointing) == (None, False)
    assert cached.mini_batch is not None
    assert smaller.mini_batch is not None
    assert smaller.mini_batch < cached.mini_batch
    assert isinstance(refused, str)
    assert "expected at most 0.3 GB, 90 % of what is there" in refused
    for fit, gigabytes in ((whole, 80), (cached, 8), (smaller, 2)):
        assert fit.memory.total <= 0.9 * gigabytes * 1e9


def test_memory_that_holds_no_full_fine_tuning_leads_to_another_method() -> None:
    entry = ENTRIES["EleutherAI/pythia-1b"]
    plan = make_plan(5e16, catalogue=[entry], memory=14e9, limits={"min_steps": 100})
    assert plan.chosen.tuning.method != "full"
    reasons = {str(refusal.tuning): refusal.reason for refusal in plan.refused}
    assert "GB" in reasons["full"]
    assert any("next method" in line for line in plan.explanation)


def test_devices_that_share_a_step_hold_a_share_of_the_batch() -> None:
    limits = Limits(memory=16e9)
    alone = fit_memory(SMALL, Tuning(), SETTINGS, limits)
    shared = fit_memory(SMALL, Tuning(), SETTINGS, replace(limits, n_devices=8))
    assert isinstance(alone, MemoryFit)
    assert isinstance(shared, MemoryFit)
    assert alone.mini_batch is not None
    assert shared.mini_batch is None


def test_serving_costs_two_flop_a_parameter_and_token_and_four_bytes_a_number() -> None:
    serving = Serving(
        queries_per_month=1e6, months=12, documents=1e5, tokens_per_query=10,
        tokens_per_document=50,
    )  # fmt: skip
    cost = cost_serving(SMALL, serving)
    n, width = 18_915_328, 512
    query = 10 * (2 * n + 4 * 6 * width * 10)
    assert cost.query_flops == pytest.approx(query)
    assert cost.queries_flops == pytest.approx(12e6 * query)
    assert cost.documents_flops == pytest.approx(1e5 * 50 * (2 * n + 4 * 6 * width * 50))
    assert cost.search_flops == pytest.approx(12e6 * 1e5 * 2 * width)
    assert cost.index_bytes == 1e5 * width * 4


def test_much_serving_leads_to_a_smaller_model_and_little_changes_nothing() -> None:
    plain = make_plan(1e18, data={"pairs": 5e7})
    little = make_plan(1e18, data={"pairs": 5e7}, serving=Serving(queries_per_month=1e3))
    much = make_plan(1e18, data={"pairs": 5e7}, serving=Serving(queries_per_month=1e9))
    assert little.chosen.model == plain.chosen.model
    assert much.chosen.n_params < plain.chosen.n_params
    assert much.chosen.steps <= 4 * plain.chosen.steps  # among sizes that the rule takes for equal
    assert any("cheaper with serving" in line for line in much.explanation)


def test_a_budget_too_small_or_too_large_is_refused_with_what_could_be_spent() -> None:
    for flops in (1e12, 1e24):
        with pytest.raises(ValueError, match=r"budgets from 1\.14e14 to 2\.36e20 counted FLOP"):
            make_plan(flops)
    # the least: 200 steps of 1024 pairs of 78 tokens with full fine-tuning of the smallest
    least = 6 * 1_189_888 * 78 * 1024 * 200
    assert least == pytest.approx(1.14e14, rel=0.002)
    assert make_plan(least * 1.001, menu={"methods": ("full",)}).chosen.steps == 200


def test_pairs_too_few_for_the_fewest_steps_are_named() -> None:
    with pytest.raises(ValueError, match="100,000 pairs are fewer than 200 steps of 1,024 take"):
        make_plan(1e17, data={"pairs": 1e5})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data": {"pairs": 0}}, "pairs is 0"),
        ({"data": {"pairs": 10.5}}, "expected a whole number"),
        ({"data": {"tokens_per_pair": -1}}, "tokens_per_pair is -1"),
        ({"settings": {"batch_size": 0}}, "batch_size is 0"),
        ({"settings": {"warmup": 2}}, "warmup is 2"),
        ({"settings": {"pooling": "sum"}}, "pooling is 'sum', expected one of"),
        ({"limits": {"max_epochs": 0}}, "max_epochs is 0"),
        ({"memory": -1}, "memory is -1"),
        ({"menu": {"methods": ("qlora",)}}, "method 'qlora', expected some of"),
        ({"menu": {"ranks": ()}}, "without ranks"),
        ({"size_rule": "big"}, "size rule 'big', expected one of"),
        ({"accelerator": "abacus"}, "accelerator 'abacus', expected one of"),
        ({"mfu": 0}, "mfu is 0"),
        ({"price_per_hour": -2}, "price_per_hour is -2"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(changes: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make_plan(1e17, **changes)


def test_without_a_number_of_pairs_no_epoch_is_counted_and_the_middle_has_no_end() -> None:
    with pytest.raises(ValueError, match="'middle' without a number of pairs"):
        make_plan(1e17, data=Data())
    plan = make_plan(1e17, data=Data(), size_rule="largest")
    assert plan.chosen.epochs is None


def test_a_machine_of_ones_own_is_an_accelerator_too() -> None:
    laptop = Accelerator(name="laptop", peak_flops={"float32": 1e11})
    plan = make_plan(1e15, accelerator=laptop, mfu=1.0)
    (row,) = plan.spending
    assert plan.settings.precision == "float32"
    assert row.gpu_hours == pytest.approx(plan.chosen.device_flops / 1e11 / 3600)
    assert row.energy_kwh is None


def test_a_menu_is_all_that_is_considered() -> None:
    plan = make_plan(1e17, menu=Menu(methods=("lora",), ranks=(16,)))
    found = {str(each.tuning) for each in plan.ranked} | {str(each.tuning) for each in plan.refused}
    assert found == {"lora 16"}


def test_what_decides_is_among_the_constants_where_it_does() -> None:
    plain = {each.name for each in make_plan(1e17).constants}
    of_serving = {"least_saving", "months", "tokens_per_query", "tokens_per_document"}
    assert plain.isdisjoint({*of_serving, "least_pairs", "memory_share", "loss_tolerance"})
    served = make_plan(
        1e17, serving=Serving(queries_per_month=1, months=24), memory=40e9,
        size_rule="tokens-per-parameter",
    )  # fmt: skip
    known = {each.name: each for each in served.constants}
    assert known.keys() >= {*of_serving, "least_pairs", "memory_share", "tokens_per_parameter"}
    assert (known["months"].value, known["months"].mark) == (24, "given")
    assert known["tokens_per_query"].mark == "printed"
    assert known["least_saving"].mark == known["least_pairs"].mark == "assumed"


def test_rates_that_nobody_takes_are_no_constants() -> None:
    plan = make_plan(1e17, menu={"methods": ("lora", "full")}, learning_rates={"full": 1e-5})
    rates = {each.name: each.mark for each in plan.constants if "learning_rate" in each.name}
    assert rates == {"learning_rate_lora": "printed", "learning_rate_full": "given"}


def test_defaults_of_the_python_interface_are_those_of_the_preset() -> None:
    preset = load_preset()
    cells = RecipeSettings()
    for name in ("months", "tokens_per_query", "tokens_per_document"):
        assert getattr(Serving(), name) == preset[name]
    for name in Settings.__slots__:
        if name != "precision":  # a sweep repeats the authors', a plan takes what is fast
            assert getattr(cells, name) == preset[name]
    for name in ("min_steps", "min_warmup_steps", "max_epochs", "memory_share"):
        assert getattr(Limits(), name) == preset[name]


def test_what_nothing_is_said_of_in_the_paper_is_marked_as_assumed() -> None:
    silent = ("lora_alpha", "dropout", "clip_norm", "precision", "noise", "mfu")
    ours = ("active_share_between", "active_share_large", "size_rule", "size_tolerance")
    for name in (*silent, *ours):
        assert load_preset().constants[name].mark == "assumed"


def test_times_say_how_much_padding_may_add_to_them() -> None:
    plan = make_plan(1e17)  # 2 x 75 tokens at most where 78 are real
    (said,) = [line for line in plan.cautions if "padded" in line]
    assert "150 tokens a pair where 78 are real, so they may be up to 1.9 times as much" in said
    full = make_plan(1e17, data={"tokens_per_pair": 150.0})
    assert not any("padded" in line for line in full.cautions)


def test_an_accelerator_brings_its_memory_unless_another_is_given() -> None:
    assert make_plan(1e17).limits.memory is None
    assert make_plan(1e17, accelerator="a100").limits.memory == 80e9
    assert make_plan(1e17, accelerator=A100, memory=4e10).limits.memory == 4e10
    assert make_plan(1e17, accelerator=A100, limits={"memory": 3e10}).limits.memory == 3e10
    assert make_plan(1e17, accelerator=A100, limits=Limits(memory=2e10)).limits.memory == 2e10
    own = make_plan(1e17, accelerator=A100, limits={"min_steps": 300}).limits
    assert (own.memory, own.min_steps) == (80e9, 300)

"""Plans by fitted laws, checked against the laws that made the runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.planning.laws.synthetic import FULL, LORA, SHAPES, sweep
from tests.reporting.html_checks import take_apart
from vecsmith.errors import FormatError
from vecsmith.planning import (
    CatalogueEntry,
    FittedLaws,
    ModelShape,
    Plan,
    Serving,
    fit_laws,
    make_plan,
)
from vecsmith.planning.choosing.experience import experience_of, read_experience
from vecsmith.planning.choosing.predicting import probability_better
from vecsmith.planning.laws.model_offsets import ModelScatter
from vecsmith.reporting import plan_page
from vecsmith.results.tuning_runs import TuningRun

pytest.importorskip("scipy")


def entry_of(layers: int, dim: int) -> CatalogueEntry:
    config = {
        "model_type": "gpt_neox", "num_hidden_layers": layers, "hidden_size": dim,
        "num_attention_heads": 8, "intermediate_size": 4 * dim, "vocab_size": 50304,
        "tie_word_embeddings": False,
    }  # fmt: skip
    return CatalogueEntry(name=f"gpt-{dim}x{layers}", shape=ModelShape.from_config(config))


CATALOGUE = [entry_of(*shape) for shape in SHAPES]
WIDE = {"pairs": 10**9}


def lived(run: TuningRun) -> TuningRun:
    """The run, long enough to be one, with a rate that depends on its method and size."""
    rate = 1e-4 if run.tuning.method == "full" else 2e-3
    rate /= 1 + (run.n_params > 1e8)
    settings = {"temperature": 0.05, "batch_size": 256, "max_length": 40, "lr": rate}
    return replace(
        run, settings=settings, pairs=run.tokens // 50, steps=max(run.tokens // 50 // 256, 1),
        epochs=run.tokens / 50 / 1e9, batch_size=256,
    )  # fmt: skip


@pytest.fixture(scope="module")
def laws() -> FittedLaws:
    return fit_laws(map(lived, sweep()), "nds", n_bootstrap=20)


def stats() -> Any:
    import scipy.stats

    return scipy.stats


def true_loss(candidate: Any) -> float:
    law = FULL if candidate.tuning.method == "full" else LORA
    return float(law.loss(candidate.n_params, candidate.tokens, candidate.share))


@pytest.mark.parametrize("flops", [4e15, 5e16, 7e17])
def test_the_plan_of_a_budget_not_run_is_within_a_percent_of_the_best(
    laws: FittedLaws, flops: float
) -> None:
    plan = make_plan(flops, laws=laws, catalogue=CATALOGUE, data=WIDE)
    best = min(map(true_loss, plan.ranked))
    assert true_loss(plan.chosen) <= 1.01 * best
    predicted = plan.chosen.predicted
    assert predicted is not None
    assert predicted.loss == pytest.approx(true_loss(plan.chosen), rel=0.02)
    assert predicted.run_low < predicted.low < predicted.loss < predicted.high < predicted.run_high


def test_candidates_are_in_the_order_of_their_predicted_losses(laws: FittedLaws) -> None:
    plan = make_plan(1e17, laws=laws, catalogue=CATALOGUE, data=WIDE)
    losses = [each.predicted.loss for each in plan.ranked if each.predicted is not None]
    assert len(losses) == len(plan.ranked)
    assert losses == sorted(losses)
    assert plan.runner_up is not None
    assert (plan.runner_up.model, plan.runner_up.tuning.method) != (
        plan.chosen.model,
        plan.chosen.tuning.method,
    )


def test_the_plan_keeps_to_what_the_runs_did(laws: FittedLaws) -> None:
    plan = make_plan(1e17, laws=laws, catalogue=CATALOGUE)
    assert (plan.settings.batch_size, plan.settings.max_length) == (256, 40)
    assert plan.settings.temperature == 0.05
    assert plan.data.tokens_per_pair == pytest.approx(50, rel=0.01)
    assert plan.data.pairs == pytest.approx(10**9, rel=0.01)
    ranks = {each.tuning.rank for each in plan.ranked if each.tuning.method == "lora"}
    assert ranks <= {8, 32, 128, 512}
    for each in plan.ranked:
        expected = (1e-4 if each.tuning.method == "full" else 2e-3) / (1 + (each.n_params > 1e8))
        assert each.learning_rate == pytest.approx(expected)
        if each.tuning.method == "lora":
            assert each.tuning.alpha == 2 * each.tuning.rank


def test_a_rate_from_the_runs_is_a_constant_and_the_papers_are_none(laws: FittedLaws) -> None:
    plan = make_plan(1e17, laws=laws, catalogue=CATALOGUE, data=WIDE)
    rates = {each.name: each for each in plan.constants if "learning_rate" in each.name}
    assert rates.keys() == {"learning_rate", "learning_rates"}
    assert rates["learning_rate"].value == plan.chosen.learning_rate
    assert rates["learning_rate"].mark == "measured"
    page = take_apart(plan_page(plan, pictures={}))
    assert page.row("highest learning rate")[2:] == ["measured", rates["learning_rate"].source]
    asked = make_plan(
        1e17, laws=laws, catalogue=CATALOGUE, data=WIDE,
        learning_rates={plan.chosen.tuning.method: 3e-4},
    )  # fmt: skip
    assert take_apart(plan_page(asked, pictures={})).row("highest learning rate")[2] == "given"


def test_a_method_without_a_law_is_refused_and_said(laws: FittedLaws) -> None:
    plan = make_plan(
        1e17, laws=laws, catalogue=CATALOGUE, data=WIDE, menu={"methods": ("full", "bias")}
    )
    assert {each.tuning.method for each in plan.ranked} == {"full"}
    assert all(
        "no law of 'bias'" in refusal.reason
        for refusal in plan.refused
        if refusal.tuning.method == "bias"
    )


def test_another_setting_than_the_runs_had_is_told(laws: FittedLaws) -> None:
    plan = make_plan(
        1e17, laws=laws, catalogue=CATALOGUE, data=WIDE, settings={"temperature": 0.02}
    )
    assert any("temperature 0.02 and 0.05" in line for line in plan.cautions)
    marks = {constant.name: constant.mark for constant in plan.constants}
    assert (marks["temperature"], marks["batch_size"]) == ("given", "measured")
    assert marks["full.alpha"] == "fitted"
    assert "threshold_flops" not in marks


def test_a_prediction_far_from_the_runs_is_told(laws: FittedLaws) -> None:
    near = make_plan(1e17, laws=laws, catalogue=CATALOGUE, data=WIDE)
    far = make_plan(3e20, laws=laws, catalogue=CATALOGUE, data={"pairs": 10**13})
    assert not any("extrapolated" in line for line in near.cautions)
    assert any("extrapolated" in line for line in far.cautions)


def test_models_that_nobody_knows_have_to_be_given(laws: FittedLaws) -> None:
    with pytest.raises(ValueError, match="expected a catalogue of the models"):
        make_plan(1e17, laws=laws)


def test_one_of_two_candidates_is_better_with_the_rest_of_the_probability(
    laws: FittedLaws,
) -> None:
    ranked = make_plan(1e17, laws=laws, catalogue=CATALOGUE, data=WIDE).ranked
    for other in ranked[1:6]:
        forth = probability_better(ranked[0], other, laws)
        assert forth + probability_better(other, ranked[0], laws) == pytest.approx(1)
        assert forth > 0.4
    assert probability_better(ranked[0], ranked[-1], laws) > 0.99


def off_the_law(spread: float, seed: int) -> tuple[list[TuningRun], dict[str, float]]:
    """Full tuning whose losses are off the law by an amount of each model's own, and these."""
    names = sorted({run.model for run in sweep()})
    drawn = np.random.default_rng(seed).normal(0, spread, len(names))
    own = dict(zip(names, drawn.tolist(), strict=True))
    runs = [
        replace(lived(run), loss=(run.loss or 0) * float(np.exp(own[run.model])))
        for run in sweep(noise=0.002, seed=seed)
        if run.tuning.method == "full"
    ]
    return runs, own


def test_a_model_that_nobody_ran_may_be_off_the_law_as_far_as_models_are() -> None:
    runs, _ = off_the_law(0.05, 1)
    laws = fit_laws(runs, "hoffmann", n_bootstrap=60)
    scatter = laws.law("full").scatter
    assert scatter.models > 0.02
    known = make_plan(1e17, laws=laws, catalogue=CATALOGUE, data=WIDE).ranked[0]
    assert known.predicted is not None
    # a model of the same size and cost, which the law alone puts a little above it
    new = replace(known, model="new")
    law_alone = laws.predict("full", known.n_params, known.tokens).loss
    lead = float(np.log(law_alone / known.predicted.loss))
    expected = float(stats().t.cdf(lead / scatter.models, scatter.degrees))
    assert probability_better(known, new, laws) == pytest.approx(expected, abs=0.06)
    other = replace(new, model="another")
    assert probability_better(new, other, laws) == pytest.approx(0.5, abs=0.05)
    # one model is off the law by one amount, whatever it is given
    longer = replace(new, tokens=int(1.5 * new.tokens))
    assert probability_better(longer, new, laws) == 1


def test_probabilities_come_true_where_models_are_off_the_law() -> None:
    claimed, true = [], []
    for seed in range(8):
        runs, own = off_the_law(0.04, seed)
        laws = fit_laws(runs, "hoffmann", n_bootstrap=40)
        ranked = make_plan(1e17, laws=laws, catalogue=CATALOGUE, data=WIDE).ranked
        first = ranked[0]
        fresh = np.random.default_rng(seed + 50).normal(0, 0.04, len(ranked))
        for place, other in enumerate(ranked[1:], start=1):
            new = replace(other, model=f"new {place}")
            claimed.append(probability_better(first, new, laws))
            theirs = np.log(true_loss(new)) + fresh[place]
            true.append(np.log(true_loss(first)) + own[first.model] < theirs)
    assert float(np.mean(claimed)) == pytest.approx(float(np.mean(true)), abs=0.12)


def test_serving_chooses_among_losses_within_a_percent(laws: FittedLaws) -> None:
    plain = make_plan(1e17, laws=laws, catalogue=CATALOGUE, data=WIDE)
    much = make_plan(
        1e17, laws=laws, catalogue=CATALOGUE, data=WIDE, serving=Serving(queries_per_month=1e10)
    )
    assert plain.chosen.predicted is not None
    assert much.chosen.predicted is not None
    assert much.chosen.predicted.loss <= 1.01 * plain.chosen.predicted.loss
    assert much.chosen.n_params <= plain.chosen.n_params


def test_a_plan_by_laws_read_back_is_the_same(laws: FittedLaws, tmp_path: Any) -> None:
    plan = make_plan(1e17, laws=laws, catalogue=CATALOGUE, data=WIDE)
    plan.to_json(tmp_path / "plan.json")
    assert Plan.open(tmp_path / "plan.json") == plan


def test_laws_saved_and_read_back_make_the_same_plan(laws: FittedLaws, tmp_path: Any) -> None:
    laws.save(tmp_path / "laws.json")
    read = FittedLaws.open(tmp_path / "laws.json")
    assert make_plan(1e17, laws=read, catalogue=CATALOGUE) == make_plan(
        1e17, laws=laws, catalogue=CATALOGUE
    )


def test_the_rate_is_that_of_the_best_run_of_the_nearest_size() -> None:
    runs = [lived(run) for run in sweep(noise=0.0) if run.tuning.method == "full"]
    worse = [
        replace(run, loss=1.1 * (run.loss or 0), settings={**run.settings, "lr": 0.5})
        for run in runs
    ]
    known = read_experience({"recipe": experience_of([*runs, *worse])})
    assert known is not None
    assert known.rate("full", 20_000_000) == 1e-4
    assert known.rate("full", 1_200_000_000) == 0.5e-4
    assert known.rate("bias", 20_000_000) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ranks", [0]), ("ranks", "8"), ("frozen_shares", [1.5]), ("n_pairs", -1),
        ("tokens_per_pair", 0), ("methods", [1]), ("rates", [{"method": "full"}]),
        ("rates", [{"method": "full", "n_params": 0, "lr": 1}]), ("min_steps", None),
    ],
)  # fmt: skip
def test_nonsense_in_a_file_of_laws_is_refused(field: str, value: Any) -> None:
    said = experience_of(map(lived, sweep(noise=0.0)))
    assert read_experience({"recipe": said}) is not None
    with pytest.raises(FormatError, match="recipe"):
        read_experience({"recipe": {**said, field: value}})


@pytest.mark.parametrize("name", ["batch_size", "temperature", "held_out_pairs"])
def test_a_setting_beyond_all_numbers_in_a_file_of_laws_is_refused(
    laws: FittedLaws, name: str
) -> None:
    broken = replace(laws, settings={**laws.settings, name: 10**400})
    with pytest.raises(FormatError, match=f"laws: settings: {name} is 1000"):
        make_plan(1e17, laws=broken, catalogue=CATALOGUE, data=WIDE)


def test_laws_that_predict_no_number_are_refused(laws: FittedLaws) -> None:
    scatter = ModelScatter(models=0.0, degrees=1, runs=1e308)
    noisy = {name: replace(law, scatter=scatter) for name, law in laws.laws.items()}
    with pytest.raises(FormatError, match=r"laws: .*expected a finite loss"):
        make_plan(1e17, laws=replace(laws, laws=noisy), catalogue=CATALOGUE, data=WIDE)


def test_predictions_do_not_depend_on_the_order_of_the_catalogue(laws: FittedLaws) -> None:
    forward = make_plan(1e17, laws=laws, catalogue=CATALOGUE, data=WIDE)
    backward = make_plan(1e17, laws=laws, catalogue=CATALOGUE[::-1], data=WIDE)
    assert forward.chosen == backward.chosen
    assert np.allclose(
        [each.predicted.loss for each in forward.ranked if each.predicted],
        [each.predicted.loss for each in backward.ranked if each.predicted],
    )

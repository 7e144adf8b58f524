"""Laws of a sweep, and the file that keeps them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.planning.laws.synthetic import LORA, SHAPES, run_of, sweep
from vecsmith.errors import FormatError
from vecsmith.planning.laws import FittedLaws, fit_laws
from vecsmith.results.tuning import Tuning
from vecsmith.results.tuning_runs import TuningRun, key_of

pytest.importorskip("scipy")


@pytest.fixture(scope="module")
def laws() -> FittedLaws:
    return fit_laws(sweep(), n_bootstrap=40)


@pytest.fixture(scope="module")
def saved(laws: FittedLaws, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("laws") / "laws.json"
    laws.save(path)
    return path


def test_a_file_gives_back_every_answer(laws: FittedLaws, saved: Path) -> None:
    opened = FittedLaws.open(saved)
    assert opened.to_json() == laws.to_json()
    for method, share in (("full", 1.0), ("lora", 0.1)):
        asked = (method, 1e8, 1e9, share)
        assert opened.predict(*asked) == laws.predict(*asked)
    assert opened.crossover("full", "lora") == laws.crossover("full", "lora")
    assert opened.lines["full"].slope == laws.lines["full"].slope


def test_each_method_has_a_law_near_the_one_its_runs_were_drawn_from(laws: FittedLaws) -> None:
    said = laws.predict("lora", 3e8, 2e9, 0.1)
    assert said.loss == pytest.approx(float(LORA.loss(3e8, 2e9, 0.1)), rel=0.03)
    assert said.run_low < said.low <= said.loss <= said.high < said.run_high


def test_a_question_outside_of_the_runs_is_said_to_be(laws: FittedLaws) -> None:
    assert laws.predict("full", 1e8, 1e9).extrapolated == ""
    assert "parameters 1e+12" in laws.predict("full", 1e12, 1e9).extrapolated
    assert "FLOP" in laws.predict("full", 1e8, 1e9, flops=1e25).extrapolated


def test_a_method_without_a_law_is_refused_with_the_reason() -> None:
    few = [run_of(Tuning(method="lora", rank=8), SHAPES[0], 1e16, LORA, 0.0)]
    laws = fit_laws([*(run for run in sweep() if run.tuning.method == "full"), *few],
                    n_bootstrap=20)  # fmt: skip
    with pytest.raises(ValueError, match=r"no law of 'lora' \(1 finished runs"):
        laws.predict("lora", 1e8, 1e9, 0.1)


def test_the_order_of_the_runs_does_not_matter(laws: FittedLaws) -> None:
    turned = fit_laws(sweep()[::-1], n_bootstrap=40)
    assert turned.provenance == laws.provenance
    for method, law in laws.laws.items():
        other = turned.law(method).law.coefficients
        assert other == pytest.approx(dict(law.law.coefficients), rel=1e-4)


def test_runs_that_are_not_done_are_left_out() -> None:
    runs = sweep()
    failed = run_of(Tuning(), SHAPES[0], 1e20, LORA, 0.0, status="failed", reason="loss is nan",
                    loss=None, train_loss=None)  # fmt: skip
    assert len(fit_laws([*runs, failed], n_bootstrap=20).law("full").observations) == 42


def of_rate(run: TuningRun, rate: float, factor: float, seed: int = 0) -> TuningRun:
    assert run.loss is not None
    return replace(
        run,
        key=key_of({"of": run.key, "rate": rate, "seed": seed}),
        settings={**run.settings, "lr": rate},
        loss=run.loss * factor,
        seed=seed,
    )


def test_runs_of_rates_that_were_only_tried_do_not_move_a_law(laws: FittedLaws) -> None:
    tried = [of_rate(run, 1e-2, 1.5) for run in sweep() if run.flops < 1e16]
    # one seed of a rate that is worse in the mean was lucky
    tried += [of_rate(run, 3e-4, factor, seed) for run in sweep()[:5]
              for seed, factor in enumerate((0.9, 2.0))]  # fmt: skip
    searched = fit_laws([*tried, *sweep()], n_bootstrap=40)
    assert searched.provenance["runs_of_other_rates"] == len(tried)
    for method, law in laws.laws.items():
        assert searched.law(method).law.coefficients == pytest.approx(dict(law.law.coefficients))
    better = [of_rate(run, 1e-5, 0.5) for run in sweep()]
    best = fit_laws([*sweep(), *better], n_bootstrap=40)
    assert best.provenance["runs_of_other_rates"] == len(better)
    halved = 0.5 * laws.predict("full", 1e8, 1e9).loss
    assert best.predict("full", 1e8, 1e9).loss == pytest.approx(halved, rel=1e-4)


def test_models_of_one_size_scatter_each_by_its_own() -> None:
    runs = [run for run in sweep(noise=0.005) if run.tuning.method == "full"]
    twins = [of_rate(replace(run, model=f"twin of {run.model}"), 1e-4, 1.4) for run in runs]
    law = fit_laws([*runs, *twins], "hoffmann", n_bootstrap=40).law("full")
    # half of ln 1.4 either side of the law
    assert law.model_noise == pytest.approx(0.17, rel=0.3)
    assert law.run_noise < 0.01
    pair = (law.offsets[runs[0].model], law.offsets[f"twin of {runs[0].model}"])
    assert pair[1] - pair[0] == pytest.approx(np.log(1.4), rel=0.02)


def _drop(values: dict[str, Any]) -> None:
    del values["laws"]["full"]["parameters"]


def _short(values: dict[str, Any]) -> None:
    values["laws"]["full"]["draws"][0].pop()


def _text(values: dict[str, Any]) -> None:
    values["laws"]["full"]["parameters"][0] = "0.4"


def _bounds(values: dict[str, Any]) -> None:
    values["laws"]["full"]["parameters"][-1] = 1e6


def _huge(values: dict[str, Any]) -> None:
    values["laws"]["full"]["surface"]["log_n"] = 1e300


def _nothing(values: dict[str, Any]) -> None:
    values["laws"]["full"]["draws"][3] = [0.0] * 4 + values["laws"]["full"]["draws"][3][4:]


def _negative(values: dict[str, Any]) -> None:
    values["laws"]["full"]["observations"]["loss"][0] = -1.0


def _scatter(values: dict[str, Any]) -> None:
    values["laws"]["lora"]["scatter"]["degrees"] = 10**400


def _line(values: dict[str, Any]) -> None:
    values["lines"]["full"]["flops"][0] = 0.0


def _form(values: dict[str, Any]) -> None:
    values["form"] = "kaplan"


def _empty(values: dict[str, Any]) -> None:
    values["laws"] = {}


def _later(values: dict[str, Any]) -> None:
    values["version"] = 99


@pytest.mark.parametrize(
    "break_it",
    [
        _drop,
        _short,
        _text,
        _bounds,
        _huge,
        _nothing,
        _negative,
        _scatter,
        _line,
        _form,
        _empty,
        _later,
    ],
)
def test_a_file_that_was_tampered_with_is_refused_by_name(
    break_it: Callable[[dict[str, Any]], None], saved: Path, tmp_path: Path
) -> None:
    values = json.loads(saved.read_text(encoding="utf-8"))
    break_it(values)
    path = tmp_path / "laws.json"
    path.write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(FormatError, match=r"laws\.json"):
        FittedLaws.open(path)


def test_a_file_of_the_first_version_has_the_noise_of_runs_from_its_residuals(
    laws: FittedLaws, saved: Path, tmp_path: Path
) -> None:
    values = json.loads(saved.read_text(encoding="utf-8"))
    values["version"] = 1
    for name, law in values["laws"].items():
        del law["scatter"]
        law["model_noise"] = 0.03 * (name == "lora")
    path = tmp_path / "laws.json"
    path.write_text(json.dumps(values), encoding="utf-8")
    opened = FittedLaws.open(path)
    assert opened.law("full").run_noise == pytest.approx(laws.law("full").noise)
    assert opened.law("lora").model_noise == 0.03
    # runs were drawn with 2 % noise and no more
    assert opened.law("lora").run_noise == pytest.approx(0.02, rel=0.2)


def test_numbers_survive_the_file_to_the_last_digit(laws: FittedLaws, saved: Path) -> None:
    np.testing.assert_array_equal(FittedLaws.open(saved).law("lora").draws, laws.law("lora").draws)

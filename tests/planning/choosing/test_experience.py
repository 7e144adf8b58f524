"""Learning rates that a plan takes from the runs that laws were fitted to."""

from __future__ import annotations

from dataclasses import replace

from tests.planning.choosing.test_plan_laws import CATALOGUE, WIDE, lived
from tests.planning.laws.synthetic import sweep
from vecsmith.planning import fit_laws, make_plan
from vecsmith.planning.choosing.experience import experience_of, read_experience


def test_a_model_has_its_own_rate_though_another_has_its_size() -> None:
    runs = [lived(run) for run in sweep(noise=0.0) if run.tuning.method == "full"]
    twins = [
        replace(run, model=f"a {run.model}", settings={**run.settings, "lr": 3e-4},
                loss=0.9 * (run.loss or 0)) for run in runs
    ]  # fmt: skip
    known = read_experience({"recipe": experience_of([*runs, *twins])})
    assert known is not None
    model, n = runs[0].model, runs[0].n_params
    assert (known.rate("full", n, model), known.rate("full", n, f"a {model}")) == (1e-4, 3e-4)


def test_one_lucky_seed_does_not_make_a_rate_the_best() -> None:
    run = lived(sweep(noise=0.0)[0])
    seeds = [(1e-4, 1.0), (1e-4, 1.1), (5e-4, 0.9), (5e-4, 2.0)]
    runs = [
        replace(run, seed=i, loss=loss, settings={**run.settings, "lr": rate})
        for i, (rate, loss) in enumerate(seeds)
    ]
    known = read_experience({"recipe": experience_of(runs)})
    assert known is not None
    assert known.rate("full", run.n_params) == 1e-4


def test_a_plan_takes_the_rate_of_the_model_by_name() -> None:
    runs = [lived(run) for run in sweep(noise=0.0) if run.tuning.method == "full"]
    twins = [
        replace(run, model=f"a {run.model}", settings={**run.settings, "lr": 3e-4}) for run in runs
    ]
    laws = fit_laws([*runs, *twins], "hoffmann", n_bootstrap=20)
    entry = CATALOGUE[2]
    twin = replace(entry, name=f"a {entry.name}")
    ranked = make_plan(1e17, laws=laws, catalogue=[entry, twin], data=WIDE).ranked
    own = lived(next(run for run in runs if run.model == entry.name)).settings["lr"]
    assert {each.model: each.learning_rate for each in ranked} == {entry.name: own, twin.name: 3e-4}

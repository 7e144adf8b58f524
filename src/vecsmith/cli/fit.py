"""`vecsmith fit`: scaling laws from the records of tuning runs."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vecsmith.cli._console import AsJson, Quiet, note, print_json

if TYPE_CHECKING:
    from vecsmith.planning.laws import Crossover, FittedLaw, FittedLaws
    from vecsmith.planning.laws.unseen import Unseen
    from vecsmith.results.tuning_runs import TuningRun

LawForm = Literal["hoffmann", "nds"]


def fit(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Folders of sweeps (their records are read), or single records."),
    ],
    form: Annotated[
        LawForm,
        typer.Option("--law", help="hoffmann: E + A/N^a + B/D^b; nds: the share of Ziarko et al."),
    ] = "nds",
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write the laws to, as in laws.json.")
    ] = None,
    plots: Annotated[
        Path | None, typer.Option("--plots", metavar="FOLDER", help="Folder for pictures.")
    ] = None,
    draws: Annotated[
        int, typer.Option("--bootstrap", metavar="N", help="Draws behind the intervals.")
    ] = 200,
    level: Annotated[float, typer.Option(help="Of the intervals.")] = 0.9,
    delta: Annotated[
        float | None,
        typer.Option(
            help="Residual of log loss from where Huber's loss is linear; 1e-3 as in the papers "
            "(default: by the noise of the runs)."
        ),
    ] = None,
    hold_out: Annotated[
        bool,
        typer.Option("--without-largest", help="Fit without the largest model, and predict it."),
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Fit scaling laws to finished tuning runs: loss by model size, tokens and trained share.

    One law for each method among the runs, with intervals, how it does on runs held out, what to
    beware of, and the budgets at which one method overtakes another.

    Examples:
      vecsmith fit runs/ --law nds --out laws.json
      vecsmith fit runs/ --law hoffmann --without-largest --json
      vecsmith fit runs/ --out laws.json --plots pictures/
    """
    _check(out, draws, level, delta)
    if plots is not None:
        from vecsmith._extras import require

        require("matplotlib", extra="plot", purpose="draw figures")
    from vecsmith.planning.laws import fit_laws
    from vecsmith.planning.laws.unseen import predict_unseen, without_largest
    from vecsmith.results.tuning_runs import read_runs

    found = read_runs(runs)
    seen, unseen = without_largest(found) if hold_out else (found, [])
    laws = fit_laws(seen, form, delta=delta, n_bootstrap=draws, seed=seed, level=level)
    predicted = predict_unseen(laws, unseen)
    if out is not None:
        laws.save(out)
    if plots is not None:
        _draw(laws, found, plots, quiet=quiet)
    if as_json:
        print_json(_facts(laws, predicted, found))
    elif not quiet:
        print(_text(laws, predicted, found))
    if out is not None:
        note(f"written to {out}", quiet=quiet)


def _check(out: Path | None, draws: int, level: float, delta: float | None) -> None:
    """Raises before the work what would be wrong after it."""
    if draws < 20:
        raise typer.BadParameter(f"--bootstrap {draws}, expected at least 20")
    if not 0 < level < 1:
        raise typer.BadParameter(f"--level {level:g}, expected a share between 0 and 1, as in 0.9")
    if delta is not None and not 0 < delta < float("inf"):
        raise typer.BadParameter(f"--delta {delta:g}, expected a positive number, as in 1e-3")
    if out is not None and (out.is_dir() or not out.absolute().parent.is_dir()):
        raise typer.BadParameter(f"--out {out}, expected a file in a folder that is there")


def _draw(laws: FittedLaws, runs: list[TuningRun], folder: Path, *, quiet: bool) -> None:
    from vecsmith.reporting import write_law_pictures

    for path in write_law_pictures(laws, folder, runs=runs):
        note(f"written to {path}", quiet=quiet)


def _crossovers(laws: FittedLaws) -> list[Crossover]:
    return [laws.crossover(a, b) for a, b in combinations(laws.methods, 2)]


def _text(laws: FittedLaws, predicted: dict[str, Unseen], runs: list[TuningRun]) -> str:
    """The tables, the crossings and the warnings."""
    blocks = [_title(laws, runs), _quality(laws, predicted)]
    blocks += [_coefficients(method, law) for method, law in laws.laws.items()]
    blocks += [_frontiers(laws), _crossing_lines(laws), _warnings(laws)]
    return "\n\n".join(filter(None, blocks))


def _title(laws: FittedLaws, runs: list[TuningRun]) -> str:
    others = [f"{sum(run.status == status for run in runs)} {status}"
              for status in ("failed", "skipped")]  # fmt: skip
    models = len(laws.provenance["models"])
    slower = laws.provenance.get("runs_of_other_rates", 0)
    rates = f"\n{slower} more had a learning rate that is not the best of their cell: left out"
    return (
        f"{laws.form} laws of {laws.provenance['runs']} finished runs of {models} models "
        f"({', '.join(others)}); errors are shares of the loss"
        f"{rates * bool(slower)}"
    )


def _quality(laws: FittedLaws, predicted: dict[str, Unseen]) -> str:
    from vecsmith.results.rendering import align

    kinds = list(dict.fromkeys(h.what for law in laws.laws.values() for h in law.held_out))
    lines = [["method", "runs", "R2", "noise", *(f"without {kind}" for kind in kinds)]]
    for method, law in laws.laws.items():
        held = {each.what: f"{each.mean_error:.1%}" for each in law.held_out}
        figures = [f"{len(law.observations)}", f"{law.r2:.3f}", f"{law.noise:.1%}"]
        lines.append([method, *figures, *(held.get(kind, "-") for kind in kinds)])
    table = align(lines)
    if not predicted:
        return table
    said = [["largest model, not fitted to", "runs", "mean error", "greatest", "inside"]]
    said += [
        [m, f"{u.n_runs}", f"{u.mean_error:.1%}", f"{u.max_error:.1%}", f"{u.inside:.0%}"]
        for m, u in predicted.items()
    ]
    return f"{table}\n\n{align(said)}"


def _coefficients(method: str, law: FittedLaw) -> str:
    from vecsmith.results.rendering import align

    fixed = law.identifiable
    lines = [[method, "value", f"{law.level:.0%} interval", ""]]
    for name, (low, high) in law.intervals.items():
        if name in {"a_s", "b_s"} and not law.surface.with_share:
            lines.append([name, "-", "-", "left out: the trained share does not vary"])
            continue
        value = law.law.coefficients[name]
        known = "" if name in fixed else "not fixed by these runs"
        lines.append([name, f"{value:.4g}", f"{low:.4g} to {high:.4g}", known])
    return align(lines)


def _frontiers(laws: FittedLaws) -> str:
    lines = [
        f"{method}: ln loss = {line.slope:.5f} ln FLOP + {line.intercept:.4f} "
        f"(best run of each of {len(line.flops)} budgets)"
        for method, line in laws.lines.items()
    ]
    return "\n".join(lines)


def _crossing_lines(laws: FittedLaws) -> str:
    lines = [_crossing(laws, each) for each in _crossovers(laws)]
    return "\n".join(["by the laws alone, whatever models are off them:", *lines] if lines else [])


def _crossing(laws: FittedLaws, found: Crossover) -> str:
    if found.flops is None:
        low, high = found.searched
        return f"{found.below} is better than {found.beaten} from {low:.2g} to {high:.2g} FLOP"
    low_words = "any smaller budget" if found.low <= 0 else f"{found.low:.3g}"
    high_words = "any larger" if found.high == float("inf") else f"{found.high:.3g}"
    beyond = ", outside of the runs" if found.extrapolated else ""
    return (
        f"{found.below} is better below {found.flops:.3g} FLOP ({low_words} to {high_words}"
        f"{beyond}), {found.above} above"
    )


def _warnings(laws: FittedLaws) -> str:
    lines = [f"beware: {warning}" for warning in laws.warnings]
    lines += [f"no law of {method}: {reason}" for method, reason in laws.left_out.items()]
    return "\n".join(lines)


def _facts(laws: FittedLaws, predicted: dict[str, Unseen], runs: list[TuningRun]) -> dict[str, Any]:
    """Every figure, ready for JSON."""
    from dataclasses import asdict

    return {
        "form": laws.form,
        "runs": {
            status: sum(run.status == status for run in runs)
            for status in ("done", "failed", "skipped")
        },
        "settings": dict(laws.settings),
        "provenance": dict(laws.provenance),
        "methods": {method: _law_facts(law) for method, law in laws.laws.items()},
        "left_out": dict(laws.left_out),
        "frontiers": {
            method: {"slope": line.slope, "intercept": line.intercept}
            for method, line in laws.lines.items()
        },
        "crossovers": [_crossing_facts(each) for each in _crossovers(laws)],
        "unseen": {method: asdict(each) for method, each in predicted.items()},
    }


def _law_facts(law: FittedLaw) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "coefficients": dict(law.law.coefficients),
        "intervals": {name: list(ends) for name, ends in law.intervals.items()},
        "identifiable": list(law.identifiable),
        "level": law.level,
        "runs": len(law.observations),
        "r2": law.r2,
        "noise": law.noise,
        "model_noise": law.model_noise,
        "mean_error": law.mean_error,
        "held_out": [asdict(each) for each in law.held_out],
        "warnings": list(law.warnings),
    }


def _crossing_facts(found: Crossover) -> dict[str, Any]:
    return {
        "below": found.below,
        "above": found.above,
        "flops": found.flops,
        # JSON has no infinity: null is an interval that is open to that side
        "low": found.low or None,
        "high": None if found.high == float("inf") else found.high,
        "searched": list(found.searched),
        "extrapolated": found.extrapolated,
    }

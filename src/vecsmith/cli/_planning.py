"""What `vecsmith plan` is given as text -> what the planner takes.

The one rule: what contradicts is refused before anything is read or measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import typer

from vecsmith.cli._train_arguments import split_once

if TYPE_CHECKING:
    from vecsmith.execution.calibration import Calibration
    from vecsmith.planning.catalogue.accelerators import Accelerator
    from vecsmith.planning.catalogue.models import CatalogueEntry
    from vecsmith.planning.choosing.budget import Budget, Precision
    from vecsmith.planning.choosing.plan import Plan
    from vecsmith.planning.choosing.presets import Mark
    from vecsmith.planning.choosing.ranking import SizeRule
    from vecsmith.planning.choosing.serving import Serving
    from vecsmith.planning.choosing.statics import StaticAlternative
    from vecsmith.planning.laws.fitted import FittedLaws


# No accelerator has less; a number without its unit is
_LEAST_MEMORY: Final = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """The command line of `vecsmith plan`."""

    flops: float | None
    gpu_hours: float | None
    money: float | None
    price_per_hour: float | None
    gpu: str | None
    n_gpus: int
    memory: str | None
    mfu: float | None
    calibrate: bool
    carbon_intensity: float | None
    pairs: str | None
    tokens_per_pair: float | None
    tokenizer: str | None
    settings: Mapping[str, Any]
    learning_rates: Sequence[str]
    limits: Mapping[str, Any]
    laws: Path | None
    catalogue: Path | None
    models: Sequence[str]
    methods: str | None
    ranks: str | None
    size_rule: SizeRule | None
    queries_per_month: float | None
    months: float
    documents: float | None
    static: str | None
    static_eval: Path | None
    tuned_eval: Path | None
    quiet: bool


def plan_of(asked: PlanRequest) -> tuple[Plan, FittedLaws | None]:
    """The plan that was asked for, and the laws that it was made by.

    Raises:
        typer.BadParameter: If options contradict or make no sense.
        ValueError: If no candidate fits.
        FormatError: If a file is broken.
    """
    _check(asked)
    from vecsmith.planning.choosing.planner import make_plan

    laws, catalogue = _laws(asked), _catalogue(asked)
    asked = _as_the_runs(asked, laws)
    machine = _machine(asked)
    made = make_plan(
        _budget(asked, machine),
        catalogue=catalogue,
        laws=laws,
        data=_data(asked),
        serving=_serving(asked),
        settings={**asked.settings, "precision": machine.precision},
        limits={**asked.limits, "n_devices": asked.n_gpus},
        memory=_memory(asked),
        menu=_menu(asked),
        learning_rates=_learning_rates(asked),
        size_rule=asked.size_rule,
        # the paper's is for times alone, and limits no memory
        accelerator=machine.accelerator if asked.gpu or asked.calibrate else None,
        mfu=machine.mfu,
        mfu_mark=machine.mark,
        price_per_hour=asked.price_per_hour,
        carbon_intensity=asked.carbon_intensity,
        statics=_statics(asked),
    )
    return made, laws


def _check(asked: PlanRequest) -> None:
    budgets = {
        "--flops": asked.flops,
        "--gpu-hours": asked.gpu_hours,
        "--money": asked.money,
    }
    given = [name for name, value in budgets.items() if value is not None]
    if len(given) != 1:
        raise typer.BadParameter(
            f"{' and '.join(given) or 'no budget'}, expected one of {', '.join(budgets)}"
        )
    if asked.flops is None and asked.gpu is None and not asked.calibrate:
        raise typer.BadParameter(f"{given[0]} without --gpu, expected the GPU whose hours they are")
    if asked.money is not None and asked.price_per_hour is None:
        raise typer.BadParameter("--money without --price-per-hour, expected what an hour costs")
    if asked.mfu is not None and asked.calibrate:
        raise typer.BadParameter("--mfu and --calibrate, expected one of them")
    for name, number in (("--mfu", asked.mfu),):
        if number is not None and not 0 < number <= 1:
            raise typer.BadParameter(f"{name} {number:g}, expected a share, as in 0.2")
    if asked.tokenizer is not None and (asked.pairs is None or _is_number(asked.pairs)):
        raise typer.BadParameter(
            "--tokenizer without a source of --pairs, expected a file whose tokens it counts"
        )
    if asked.static is None and (asked.static_eval or asked.tuned_eval):
        raise typer.BadParameter("--static-eval or --tuned-eval without --static, expected it")
    if asked.n_gpus < 1:
        raise typer.BadParameter(f"--gpus {asked.n_gpus}, expected 1 or more")


@dataclass(frozen=True, slots=True)
class _Machine:
    """What a run is done on: a share of its peak where one is given or was measured."""

    accelerator: Accelerator
    precision: Precision
    mfu: float | None
    mark: Mark


def _machine(asked: PlanRequest) -> _Machine:
    from vecsmith.planning.catalogue.accelerators import find_accelerator
    from vecsmith.planning.choosing.presets import load_preset

    if asked.calibrate and asked.gpu is None:
        return _this_machine(asked)
    accelerator = find_accelerator(asked.gpu or load_preset()["reference_accelerator"])
    precision: Precision = asked.settings["precision"] or (
        "bfloat16" if "bfloat16" in accelerator.peak_flops else "float32"
    )
    if not asked.calibrate:
        return _Machine(accelerator, precision, asked.mfu, "given")
    from vecsmith.planning.choosing.budget import peak_of

    rate = _measured(asked, precision).flops_per_second
    mfu = rate / peak_of(accelerator, precision)
    if mfu > 1:
        raise typer.BadParameter(
            f"--gpu {asked.gpu} with --calibrate: this machine does {rate:.3g} FLOP/s, more than "
            "its peak, expected the GPU of this machine, or no --gpu"
        )
    return _Machine(accelerator, precision, mfu, "measured")


def _this_machine(asked: PlanRequest) -> _Machine:
    """The machine that the command runs on, as fast as it was measured to be."""
    from vecsmith.planning.catalogue.accelerators import Accelerator

    found = _measured(asked, asked.settings["precision"] or "auto")
    precision: Precision = "bfloat16" if found.precision == "bfloat16" else "float32"
    mfu = found.mfu or 1.0
    accelerator = Accelerator(
        name=f"this machine ({found.device})",
        peak_flops={precision: found.flops_per_second / mfu},
        provenance=f"measured over {found.seconds:.0f} s of training",
    )
    return _Machine(accelerator, precision, mfu, "measured")


def _measured(asked: PlanRequest, precision: Literal["auto", "float32", "bfloat16"]) -> Calibration:
    from vecsmith._extras import require
    from vecsmith.cli._console import note

    require("torch", extra="train", purpose="measure how fast this machine trains")
    from vecsmith.execution.calibration import calibrate

    note("measuring how fast this machine trains", quiet=asked.quiet)
    return calibrate(precision=precision, max_length=asked.settings["max_length"] or 75)


def _budget(asked: PlanRequest, machine: _Machine) -> Budget:
    from vecsmith.planning.choosing.budget import Budget
    from vecsmith.planning.choosing.presets import load_preset

    if asked.flops is not None:
        return Budget(flops=asked.flops)
    mfu, mark = machine.mfu, machine.mark
    if mfu is None:
        shares = load_preset()["mfu"]
        mfu, mark = shares[len(shares) // 2], "assumed"
    if asked.gpu_hours is not None:
        return Budget.from_hours(
            asked.gpu_hours,
            machine.accelerator,
            mfu=mfu,
            mfu_mark=mark,
            precision=machine.precision,
        )
    assert asked.money is not None
    assert asked.price_per_hour is not None
    return Budget.from_money(
        asked.money,
        machine.accelerator,
        price_per_hour=asked.price_per_hour,
        mfu=mfu,
        mfu_mark=mark,
        precision=machine.precision,
    )


def _data(asked: PlanRequest) -> Mapping[str, Any]:
    if asked.pairs is None or _is_number(asked.pairs):
        return {
            "pairs": None if asked.pairs is None else _count(asked.pairs, "--pairs"),
            "tokens_per_pair": asked.tokens_per_pair,
        }
    from vecsmith.cli._pair_counting import count_pairs
    from vecsmith.planning.choosing.presets import load_preset

    found = count_pairs(
        asked.pairs,
        tokenizer=asked.tokenizer,
        max_length=asked.settings["max_length"] or load_preset()["max_length"],
    )
    given = asked.tokens_per_pair
    return {
        "pairs": found.n_pairs,
        "tokens_per_pair": found.tokens_per_pair if given is None else given,
        "length": found.length if given is None else None,
    }


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return not Path(text).exists()


def _count(text: str, option: str) -> int:
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not (number >= 1 and number == int(number)):
        raise typer.BadParameter(f"{option} {text!r:.60}, expected a whole number, as in 5e6")
    return int(number)


def _memory(asked: PlanRequest) -> float | None:
    from vecsmith.planning.cells import bytes_of

    if asked.memory is None:
        return None
    try:
        found = bytes_of(asked.memory)
    except ValueError as error:
        raise typer.BadParameter(f"--memory {error}") from None
    if found < _LEAST_MEMORY:
        raise typer.BadParameter(
            f"--memory {asked.memory} is {found:,.0f} bytes, expected those of a GPU, as in 40GB"
        )
    return found


def _menu(asked: PlanRequest) -> Mapping[str, Any]:
    ranks = None if asked.ranks is None else _parts(asked.ranks)
    return {
        "methods": None if asked.methods is None else tuple(_parts(asked.methods)),
        "ranks": None if ranks is None else tuple(_count(each, "--ranks") for each in ranks),
    }


def _as_the_runs(asked: PlanRequest, laws: FittedLaws | None) -> PlanRequest:
    """The request with the precision of the laws' runs where none was said: losses hold for it."""
    from vecsmith.planning.choosing.problem import precision_of

    precision = asked.settings["precision"] or precision_of(laws)
    return replace(asked, settings={**asked.settings, "precision": precision})


def _laws(asked: PlanRequest) -> FittedLaws | None:
    if asked.laws is None:
        return None
    from vecsmith.planning.laws.fitted import FittedLaws

    return FittedLaws.open(asked.laws)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _learning_rates(asked: PlanRequest) -> dict[str, float]:
    from vecsmith.results.tuning import TUNING_METHODS

    rates: dict[str, float] = {}
    for text in asked.learning_rates:
        method, value = split_once(text, "--lr")
        try:
            rates[method] = float(value)
        except ValueError:
            raise typer.BadParameter(f"--lr {text!r}, expected as lora=5e-4") from None
        if method not in TUNING_METHODS or not 0 < rates[method] < math.inf:
            raise typer.BadParameter(
                f"--lr {text!r}, expected one of {', '.join(TUNING_METHODS)} and a rate above 0, "
                "as lora=5e-4"
            )
    return rates


def _serving(asked: PlanRequest) -> Serving | None:
    from vecsmith.planning.choosing.serving import Serving

    if asked.queries_per_month is None and asked.documents is None:
        return None
    return Serving(
        queries_per_month=asked.queries_per_month or 0.0,
        months=asked.months,
        documents=asked.documents or 0.0,
    )


def _statics(asked: PlanRequest) -> list[StaticAlternative]:
    if asked.static is None:
        return []
    from vecsmith import StaticModel
    from vecsmith.planning.choosing.statics import static_alternative
    from vecsmith.results import EvalResult

    model = StaticModel.from_pretrained(asked.static)
    own, tuned = asked.static_eval, asked.tuned_eval
    return [
        static_alternative(
            Path(asked.static).name,
            dim=model.dim,
            n_bytes=float(model.n_bytes),
            serving=_serving(asked),
            own=None if own is None else EvalResult.open(own),
            tuned=None if tuned is None else EvalResult.open(tuned),
        )
    ]


def _catalogue(asked: PlanRequest) -> tuple[CatalogueEntry, ...] | None:
    """The models to choose from; None for those of the paper."""
    if asked.catalogue is None and not asked.models:
        return None
    from vecsmith.planning.catalogue.models import load_catalogue

    entries = load_catalogue(asked.catalogue)
    if not asked.models:
        return entries
    found = tuple(
        entry
        for entry in entries
        if any(fnmatchcase(entry.name.lower(), pattern.lower()) for pattern in asked.models)
    )
    if not found:
        raise typer.BadParameter(
            f"--model {' '.join(asked.models)} is none of {len(entries)} models, expected a "
            f"pattern as '*{entries[0].name.rpartition('/')[2]}'"
        )
    return found

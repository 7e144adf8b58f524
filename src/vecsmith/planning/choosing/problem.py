"""What a plan is asked for, with everything that was not said filled in.

The one rule: what is not said comes from the runs that laws were fitted to where there are laws,
and from the published recipe otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, get_args

from vecsmith.errors import FormatError
from vecsmith.planning.catalogue.models import CatalogueEntry, load_catalogue
from vecsmith.planning.checks import check_positive
from vecsmith.planning.choosing.budget import Budget, Precision
from vecsmith.planning.choosing.candidates import Candidate, Menu
from vecsmith.planning.choosing.experience import Experience, read_experience
from vecsmith.planning.choosing.presets import Constant, Mark, Preset, load_preset
from vecsmith.planning.choosing.ranking import SizeRule
from vecsmith.planning.choosing.serving import Serving
from vecsmith.planning.inputs import Data, Limits, Settings
from vecsmith.results.tuning import TUNING_METHODS

if TYPE_CHECKING:
    from vecsmith.planning.laws.fitted import FittedLaws

# Names of constants that other values may take the place of
_OF_DATA: Final = ("pairs", "tokens_per_pair")
_OF_SERVING: Final = ("months", "tokens_per_query", "tokens_per_document")
_OF_LIMITS: Final = ("min_steps", "min_warmup_steps", "max_epochs", "memory_share")
# What the published recipe says of method and size, which laws say instead
_OF_RECIPE: Final = frozenset(
    {
        "threshold_flops",
        "slope_full",
        "intercept_full",
        "slope_lora",
        "intercept_lora",
        "slope_difference",
        "noise",
        "crossover_spread",
        "budgets",
        "models",
        "size_rule",
        "size_tolerance",
        "tokens_per_parameter",
        "preferred_ranks",
        "frozen_divisors",
        "active_share_large",
        "active_share_small",
        "active_share_between",
        "small_size",
        "large_size",
        "text_length",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """All that a plan is made from; nothing that has a default is None.

    `laws` and what their runs did are None where the published recipe decides.
    """

    budget: Budget
    catalogue: tuple[CatalogueEntry, ...]
    preset: Preset
    laws: FittedLaws | None
    experience: Experience | None
    data: Data
    settings: Settings
    limits: Limits
    menu: Menu
    serving: Serving | None
    learning_rates: Mapping[str, float]
    size_rule: SizeRule


def state_problem(
    budget: Budget,
    *,
    catalogue: Sequence[CatalogueEntry] | None,
    laws: FittedLaws | None,
    data: Data | Mapping[str, Any] | None,
    settings: Settings | Mapping[str, Any] | None,
    limits: Limits | Mapping[str, Any] | None,
    menu: Menu | Mapping[str, Any] | None,
    memory: float | None,
    serving: Serving | None,
    learning_rates: Mapping[str, float] | None,
    size_rule: SizeRule | None,
    precision: Precision,
) -> Problem:
    """The problem, whatever was not said filled in.

    Raises:
        ValueError: If laws are given and their models are not known.
        FormatError: If the laws say nonsense of their runs.
    """
    for method, rate in (learning_rates or {}).items():
        if method not in TUNING_METHODS:
            raise ValueError(f"learning rate of {method!r:.60}, expected {list(TUNING_METHODS)}")
        check_positive(**{f"learning_rates[{method!r}]": rate})
    preset = load_preset()
    experience = None if laws is None else read_experience(laws.provenance)
    known = _known_settings(laws, precision)
    all_limits = _given(limits, usual_limits(preset, experience))
    return Problem(
        budget=budget,
        catalogue=tuple(_usual_models(preset, laws) if catalogue is None else catalogue),
        preset=preset,
        laws=laws,
        experience=experience,
        data=_given_data(data, usual_data(preset, laws, experience)),
        settings=_given(settings, Settings.of_preset(preset, **known)),
        limits=all_limits if memory is None else replace(all_limits, memory=memory),
        menu=_given(menu, usual_menu(preset, laws, experience)),
        serving=serving,
        learning_rates=dict(learning_rates or {}),
        size_rule=size_rule or preset["size_rule"],
    )


def usual_data(preset: Preset, laws: FittedLaws | None, experience: Experience | None) -> Data:
    """The pairs of the runs, or the paper's."""
    if experience is not None:
        return Data(pairs=experience.n_pairs, tokens_per_pair=experience.tokens_per_pair)
    return Data(
        pairs=preset["pairs"] if laws is None else None,
        tokens_per_pair=preset["tokens_per_pair"],
        length=preset["text_length"],
    )


def usual_limits(preset: Preset, experience: Experience | None) -> Limits:
    """What the paper's runs keep to, or runs of one's own that were shorter or longer."""
    limits = Limits(
        min_steps=preset["min_steps"],
        min_warmup_steps=preset["min_warmup_steps"],
        max_epochs=preset["max_epochs"],
        memory_share=preset["memory_share"],
    )
    if experience is None:
        return limits
    fewest = min(limits.min_steps, experience.min_steps)
    return replace(
        limits,
        min_steps=fewest,
        min_warmup_steps=min(limits.min_warmup_steps, fewest // 20),
        max_epochs=max(limits.max_epochs, experience.max_epochs),
    )


def usual_menu(preset: Preset, laws: FittedLaws | None, experience: Experience | None) -> Menu:
    """The ways of tuning of the runs, or the paper's."""
    paper = Menu(
        ranks=preset["ranks"],
        frozen_divisors=preset["frozen_divisors"],
        alpha=preset["lora_alpha"],
    )
    if experience is not None:
        return replace(
            paper,
            methods=experience.methods or paper.methods,
            ranks=experience.ranks or paper.ranks,
            alpha=experience.alpha,
            frozen_shares=experience.frozen_shares,
        )
    return paper if laws is None else replace(paper, alpha=0.0)


def constants_of(problem: Problem, chosen: Candidate) -> tuple[Constant, ...]:
    """Every number that the plan rests on; what was said stands in place of the preset's."""
    said = {
        **{name: getattr(problem.settings, name) for name in problem.settings.__slots__},
        **{name: getattr(problem.data, name) for name in _OF_DATA},
        **{name: getattr(problem.limits, name) for name in _OF_LIMITS},
        **{name: getattr(problem.serving, name) for name in _OF_SERVING if problem.serving},
        "size_rule": problem.size_rule,
        "ranks": problem.menu.ranks,
        "lora_alpha": problem.menu.alpha,
        **{f"learning_rate_{method}": rate for method, rate in problem.learning_rates.items()},
    }
    usual, unused = _usual_values(problem), _unused(problem)
    constants = [
        _replaced(constant, said.pop(constant.name, constant.value), usual)
        for constant in problem.preset
        if constant.name not in unused
    ]
    constants += [
        Constant(name=name, value=value, mark="given", source="the user")
        for name, value in said.items()
        if name.startswith("learning_rate_")
    ]
    return (*constants, *_law_constants(problem), *_measured_rate(problem, chosen))


def _unused(problem: Problem) -> set[str]:
    """Constants of the preset that have no say in the plan."""
    unused = set(_unused_rates(problem))
    if problem.laws is not None:
        unused |= _OF_RECIPE
    else:
        unused |= {"loss_tolerance"}
        if problem.size_rule != "tokens-per-parameter":
            unused |= {"tokens_per_parameter"}
    if problem.serving is None:
        unused |= {"least_saving", *_OF_SERVING}
    if problem.limits.memory is None:
        unused |= {"least_pairs", "memory_share"}
    return unused


def _unused_rates(problem: Problem) -> Iterator[str]:
    """Those of the preset's learning rates that others stand in place of, or that nothing asks."""
    measured = set() if problem.experience is None else {row[0] for row in problem.experience.rates}
    asked = {name for name in problem.menu.methods if name not in measured}
    yield from (
        f"learning_rate_{name}"
        for name in ("lora", "bias")
        if name not in asked and name not in problem.learning_rates
    )
    by_peak = {"full", "freeze"} & asked - set(problem.learning_rates)
    if not by_peak:
        yield "learning_rate_divisor"
    if not by_peak or all(entry.peak_lr is not None for entry in problem.catalogue):
        yield "peak_learning_rates"


def _measured_rate(problem: Problem, chosen: Candidate) -> Iterator[Constant]:
    """The plan's own learning rate, where it is that of runs."""
    method, experience = chosen.tuning.method, problem.experience
    if experience is None or method in problem.learning_rates:
        return
    if experience.rate(method, chosen.n_params) is not None:
        yield Constant(
            name="learning_rate",
            value=chosen.learning_rate,
            mark="measured",
            source=f"the best of the runs of {method} nearest in size that the laws fit",
            meaning="highest learning rate of the plan",
        )


def _usual_models(preset: Preset, laws: FittedLaws | None) -> tuple[CatalogueEntry, ...]:
    """The models of the laws' runs or of the paper, from the shipped catalogue."""
    entries = {entry.name: entry for entry in load_catalogue()}
    if laws is None:
        return tuple(entries[name] for name in preset["models"])
    names = laws.provenance.get("models")
    found = [entries[name] for name in names if name in entries] if type(names) is list else []
    if not found:
        raise ValueError(
            f"models of the laws are {names!r:.200}, none of them in the shipped catalogue, "
            "expected a catalogue of the models to choose from"
        )
    return tuple(found)


def precision_of(laws: FittedLaws | None) -> Precision | None:
    """That of the laws' runs, which their losses hold for; None where they say none."""
    found = None if laws is None else laws.settings.get("precision")
    return found if found in get_args(Precision) else None


def _known_settings(laws: FittedLaws | None, precision: Precision) -> dict[str, Any]:
    """Settings that the runs of the laws share, or the precision that is at hand."""
    if laws is None:
        return {"precision": precision}
    known = {name: laws.settings[name] for name in Settings.__slots__ if name in laws.settings}
    known["precision"] = precision_of(laws) or precision
    try:
        Settings.of_preset(load_preset(), **known)
    except (ValueError, TypeError) as error:
        raise FormatError(f"laws: settings: {error}") from error
    return known


def _given(given: Any, usual: Any) -> Any:
    """What was given whole, or the usual with what was given in it."""
    if not isinstance(given, Mapping):
        return usual if given is None else given
    return replace(usual, **{name: value for name, value in given.items() if value is not None})


def _given_data(given: Any, usual: Data) -> Data:
    """As `_given`; the length of texts is not that of the usual where their tokens are given."""
    if isinstance(given, Mapping) and given.get("tokens_per_pair") is not None:
        usual = replace(usual, length=None)
    data: Data = _given(given, usual)
    return data


def _usual_values(problem: Problem) -> dict[str, Any]:
    """What stands in a plan where the user says nothing and laws were fitted."""
    if problem.laws is None:
        return {}
    preset, laws, experience = problem.preset, problem.laws, problem.experience
    data, limits = usual_data(preset, laws, experience), usual_limits(preset, experience)
    menu = usual_menu(preset, laws, experience)
    return {
        **{name: laws.settings[name] for name in Settings.__slots__ if name in laws.settings},
        **{name: getattr(data, name) for name in _OF_DATA},
        **{name: getattr(limits, name) for name in _OF_LIMITS},
        "ranks": menu.ranks,
        "lora_alpha": menu.alpha,
    }


def _replaced(constant: Constant, value: Any, usual: Mapping[str, Any]) -> Constant:
    """The constant with another value, which is the user's or that of the laws' runs."""
    if constant.name in usual and usual[constant.name] == value:
        mark: Mark = "measured"
        return replace(constant, value=value, mark=mark, source="the runs that the laws fit")
    if value == constant.value:
        return constant
    source = "the user, or all that the accelerator has" * (constant.name == "precision")
    return replace(constant, value=value, mark="given", source=source or "the user")


def _law_constants(problem: Problem) -> list[Constant]:
    """Coefficients of the laws, and the rates of their runs."""
    if problem.laws is None:
        return []
    constants = [
        Constant(
            name=f"{method}.{name}",
            value=value,
            mark="fitted",
            source=f"{len(law.observations)} runs",
            meaning=f"coefficient of the law of {method}",
        )
        for method, law in problem.laws.laws.items()
        for name, value in law.law.coefficients.items()
    ]
    if problem.experience is not None:
        constants.append(
            Constant(
                name="learning_rates",
                value=problem.experience.rates,
                mark="measured",
                source="the runs that the laws fit",
                meaning="method, non-embedding parameters and highest learning rate",
            )
        )
    return constants

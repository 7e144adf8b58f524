"""What a plan is asked for, with everything that was not said filled in from the preset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vecsmith.planning.budget import Budget
from vecsmith.planning.candidates import Menu
from vecsmith.planning.catalogue import CatalogueEntry, load_catalogue
from vecsmith.planning.inputs import Data, Limits, Settings
from vecsmith.planning.presets import Constant, Preset
from vecsmith.planning.ranking import SizeRule
from vecsmith.planning.serving import Serving

# Names of constants that the user's own values take the place of
_OF_DATA = ("pairs", "tokens_per_pair")
_OF_LIMITS = ("min_steps", "min_warmup_steps", "max_epochs", "memory_share")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """All that a plan is made from; nothing that has a default is None."""

    budget: Budget
    catalogue: tuple[CatalogueEntry, ...]
    preset: Preset
    data: Data
    settings: Settings
    limits: Limits
    menu: Menu
    serving: Serving | None
    learning_rates: Mapping[str, float]
    size_rule: SizeRule


def paper_models(preset: Preset) -> tuple[CatalogueEntry, ...]:
    """The models of the preset's grid, from the shipped catalogue."""
    entries = {entry.name: entry for entry in load_catalogue()}
    return tuple(entries[name] for name in preset["models"])


def paper_data(preset: Preset) -> Data:
    """The paper's pairs."""
    return Data(
        pairs=preset["pairs"],
        tokens_per_pair=preset["tokens_per_pair"],
        length=preset["text_length"],
    )


def paper_limits(preset: Preset) -> Limits:
    """What the paper's runs keep to."""
    return Limits(
        min_steps=preset["min_steps"],
        min_warmup_steps=preset["min_warmup_steps"],
        max_epochs=preset["max_epochs"],
        memory_share=preset["memory_share"],
    )


def paper_menu(preset: Preset) -> Menu:
    """The paper's ways of tuning."""
    return Menu(
        ranks=preset["ranks"],
        frozen_divisors=preset["frozen_divisors"],
        alpha=preset["lora_alpha"],
    )


def constants_of(problem: Problem) -> tuple[Constant, ...]:
    """Every number that the plan rests on; what the user said stands in place of the preset's."""
    said = {
        **{name: getattr(problem.settings, name) for name in problem.settings.__slots__},
        **{name: getattr(problem.data, name) for name in _OF_DATA},
        **{name: getattr(problem.limits, name) for name in _OF_LIMITS},
        "size_rule": problem.size_rule,
        "ranks": problem.menu.ranks,
        "lora_alpha": problem.menu.alpha,
        **{f"learning_rate_{method}": rate for method, rate in problem.learning_rates.items()},
    }
    constants = [
        _replaced(constant, said[constant.name]) if constant.name in said else constant
        for constant in problem.preset
    ]
    known = {constant.name for constant in constants}
    constants += [
        Constant(name=name, value=said[name], mark="given", source="the user")
        for name in said
        if name.startswith("learning_rate_") and name not in known
    ]
    return tuple(constants)


def _replaced(constant: Constant, value: object) -> Constant:
    if value == constant.value:
        return constant
    return Constant(
        name=constant.name,
        value=value,
        mark="given",
        source="the user",
        meaning=constant.meaning,
    )

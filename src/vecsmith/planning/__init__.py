"""How to spend a compute budget on turning a language model into an embedder.

Nothing here trains: numbers in, a plan out, in milliseconds.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from vecsmith.planning.accounting.flops import cost_per_token, count_flops
    from vecsmith.planning.accounting.memory import estimate_memory
    from vecsmith.planning.accounting.shapes import ModelShape
    from vecsmith.planning.catalogue.accelerators import Accelerator, find_accelerator
    from vecsmith.planning.catalogue.models import CatalogueEntry, load_catalogue
    from vecsmith.planning.choosing.budget import Budget
    from vecsmith.planning.choosing.candidates import Candidate, Menu
    from vecsmith.planning.choosing.plan import Plan
    from vecsmith.planning.choosing.planner import make_plan
    from vecsmith.planning.choosing.presets import Constant, load_preset
    from vecsmith.planning.choosing.serving import Serving
    from vecsmith.planning.choosing.statics import StaticAlternative, static_alternative
    from vecsmith.planning.inputs import Data, Limits, Settings
    from vecsmith.planning.laws import FittedLaw, FittedLaws, LossLaw, fit_law, fit_laws

# Name -> module; each is imported when it is asked for
_HOMES: Final = {
    "Accelerator": "catalogue.accelerators",
    "Budget": "choosing.budget",
    "Candidate": "choosing.candidates",
    "CatalogueEntry": "catalogue.models",
    "Constant": "choosing.presets",
    "Data": "inputs",
    "FittedLaw": "laws",
    "FittedLaws": "laws",
    "Limits": "inputs",
    "LossLaw": "laws",
    "Menu": "choosing.candidates",
    "ModelShape": "accounting.shapes",
    "Plan": "choosing.plan",
    "Serving": "choosing.serving",
    "Settings": "inputs",
    "StaticAlternative": "choosing.statics",
    "cost_per_token": "accounting.flops",
    "count_flops": "accounting.flops",
    "estimate_memory": "accounting.memory",
    "find_accelerator": "catalogue.accelerators",
    "fit_law": "laws",
    "fit_laws": "laws",
    "load_catalogue": "catalogue.models",
    "load_preset": "choosing.presets",
    "make_plan": "choosing.planner",
    "static_alternative": "choosing.statics",
}

__all__ = [
    "Accelerator",
    "Budget",
    "Candidate",
    "CatalogueEntry",
    "Constant",
    "Data",
    "FittedLaw",
    "FittedLaws",
    "Limits",
    "LossLaw",
    "Menu",
    "ModelShape",
    "Plan",
    "Serving",
    "Settings",
    "StaticAlternative",
    "cost_per_token",
    "count_flops",
    "estimate_memory",
    "find_accelerator",
    "fit_law",
    "fit_laws",
    "load_catalogue",
    "load_preset",
    "make_plan",
    "static_alternative",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"vecsmith.planning.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'vecsmith.planning' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__

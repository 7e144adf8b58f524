"""How to spend a compute budget on turning a language model into an embedder.

Nothing here trains: numbers in, a plan out, in milliseconds.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from vecsmith.planning.accelerators import Accelerator, find_accelerator
    from vecsmith.planning.budget import Budget
    from vecsmith.planning.candidates import Candidate, Menu
    from vecsmith.planning.catalogue import CatalogueEntry, load_catalogue
    from vecsmith.planning.flops import cost_per_token, count_flops
    from vecsmith.planning.inputs import Data, Limits, Settings
    from vecsmith.planning.laws import FittedLaw, FittedLaws, LossLaw, fit_law, fit_laws
    from vecsmith.planning.memory import estimate_memory
    from vecsmith.planning.plan import Plan
    from vecsmith.planning.planner import make_plan
    from vecsmith.planning.presets import Constant, load_preset
    from vecsmith.planning.serving import Serving
    from vecsmith.planning.shapes import ModelShape
    from vecsmith.planning.statics import StaticAlternative, static_alternative

# Name -> module; each is imported when it is asked for
_HOMES: Final = {
    "Accelerator": "accelerators",
    "Budget": "budget",
    "Candidate": "candidates",
    "CatalogueEntry": "catalogue",
    "Constant": "presets",
    "Data": "inputs",
    "FittedLaw": "laws",
    "FittedLaws": "laws",
    "Limits": "inputs",
    "LossLaw": "laws",
    "Menu": "candidates",
    "ModelShape": "shapes",
    "Plan": "plan",
    "Serving": "serving",
    "Settings": "inputs",
    "StaticAlternative": "statics",
    "cost_per_token": "flops",
    "count_flops": "flops",
    "estimate_memory": "memory",
    "find_accelerator": "accelerators",
    "fit_law": "laws",
    "fit_laws": "laws",
    "load_catalogue": "catalogue",
    "load_preset": "presets",
    "make_plan": "planner",
    "static_alternative": "statics",
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

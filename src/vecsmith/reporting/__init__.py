"""Pictures and pages of results and plans; nothing is measured or computed here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vecsmith.reporting.law_pictures import draw_law_pictures, write_law_pictures
    from vecsmith.reporting.pages.plan import plan_page

__all__ = ["draw_law_pictures", "plan_page", "write_law_pictures"]

# Laws need scipy and plans their catalogue: neither is for whoever draws something else.
_HOMES = {
    "draw_law_pictures": "vecsmith.reporting.law_pictures",
    "plan_page": "vecsmith.reporting.pages.plan",
    "write_law_pictures": "vecsmith.reporting.law_pictures",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)

"""A plan: what to train, how, on how much, and what speaks for it; as a value and as a file.

The one rule: the fields at the top of the file are all that a run needs, the rest is what a person
needs to judge them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from vecsmith._files import write_json
from vecsmith._typing import PathLike
from vecsmith.planning.choosing.budget import Budget
from vecsmith.planning.choosing.candidates import Candidate
from vecsmith.planning.choosing.feasibility import Refusal
from vecsmith.planning.choosing.plan_file import (
    PLAN_FORMAT,
    PLAN_VERSION,
    open_plan_file,
    read_record,
)
from vecsmith.planning.choosing.presets import Constant
from vecsmith.planning.choosing.serving import Serving
from vecsmith.planning.choosing.spending import Spending
from vecsmith.planning.choosing.statics import StaticAlternative
from vecsmith.planning.inputs import Data, Limits, Settings
from vecsmith.results.fields import plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The best way to spend a budget, as far as the evidence goes.

    Attributes:
        budget: What there is to spend.
        chosen: The candidate to run.
        runner_up: The best one of another model or method; None where there is no other.
        ranked: All that make sense, the best first.
        refused: All that do not, and why.
        evidence: What decides: the name of a published recipe, or of a file of fitted laws.
        ranked_by: What `ranked` is in the order of, in words.
        settings: Of the recipe, all but the learning rate.
        data: The pairs that it is made for.
        limits: What every candidate keeps to.
        serving: How the model will be used; None where nobody said.
        accelerator: Name of the one that `spending` is for; None without one.
        statics: Static models to use instead, with what they cost.
        spending: Time, energy and money, a row for each share of the peak.
        explanation: Why this one, in plain words.
        cautions: What the plan does not know, or what is odd about it.
        constants: Every number that it rests on, with its source.
        held_out_pairs: Pairs that the losses of the laws were measured on; None without laws.
        held_out_batch: Of these, compared at a time.
    """

    budget: Budget
    chosen: Candidate
    runner_up: Candidate | None
    ranked: tuple[Candidate, ...]
    refused: tuple[Refusal, ...]
    evidence: str
    ranked_by: str
    settings: Settings
    data: Data
    limits: Limits
    serving: Serving | None
    accelerator: str | None
    spending: tuple[Spending, ...]
    statics: tuple[StaticAlternative, ...]
    explanation: tuple[str, ...]
    cautions: tuple[str, ...]
    constants: tuple[Constant, ...]
    held_out_pairs: int | None = None
    held_out_batch: int | None = None

    def plain(self) -> dict[str, Any]:
        """The plan in the kinds that JSON has; what a run needs comes first."""
        chosen = self.chosen
        run = {
            "format": PLAN_FORMAT,
            "version": PLAN_VERSION,
            **chosen.tuning.plain(),
            "model": chosen.model,
            "folder": chosen.folder,
            "tokens": chosen.tokens,
            "pairs": chosen.pairs,
            "steps": chosen.steps,
            "epochs": chosen.epochs,
            "learning_rate": chosen.learning_rate,
            "mini_batch": chosen.mini_batch,
            "gradient_checkpointing": chosen.gradient_checkpointing,
            **asdict(self.settings),
            "held_out_pairs": self.held_out_pairs,
            "held_out_batch": self.held_out_batch,
            "flops": chosen.flops,
            "cost_per_token": chosen.cost_per_token,
            "predicted_loss": None if chosen.predicted is None else asdict(chosen.predicted),
        }
        judged = {
            "evidence": self.evidence,
            "ranked_by": self.ranked_by,
            "explanation": self.explanation,
            "cautions": self.cautions,
            "accelerator": self.accelerator,
            "spending": [asdict(row) for row in self.spending],
            "statics": [asdict(static) for static in self.statics],
            "budget": asdict(self.budget),
            "data": asdict(self.data),
            "limits": asdict(self.limits),
            "serving": None if self.serving is None else asdict(self.serving),
            "chosen": _plain_candidate(chosen),
            "runner_up": None if self.runner_up is None else _plain_candidate(self.runner_up),
            "ranked": [_plain_candidate(each) for each in self.ranked],
            "refused": [
                {"model": each.model, "tuning": each.tuning.plain(), "reason": each.reason}
                for each in self.refused
            ],
            "constants": [asdict(constant) for constant in self.constants],
        }
        values: dict[str, Any] = plain({**run, **judged}, "plan")
        return values

    def to_json(self, path: PathLike) -> None:
        """Writes the plan to the file `path`, whole or not at all."""
        write_json(path, self.plain())

    @classmethod
    def open(cls, path: PathLike) -> Self:
        """The plan that `to_json` wrote.

        Raises:
            FormatError: If the file is broken, or is no plan.
        """
        return read_record(cls, open_plan_file(Path(path)))


def _plain_candidate(candidate: Candidate) -> Mapping[str, Any]:
    values = asdict(candidate)
    values["tuning"] = candidate.tuning.plain()
    return values

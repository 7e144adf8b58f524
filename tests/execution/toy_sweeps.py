"""Small sweeps of tiny decoders on made-up pairs, and processes in which one is killed."""

from __future__ import annotations

import importlib
import json
import os
import random
import signal
from pathlib import Path
from typing import Any

import torch

from tests.training.toy_runs import word_pairs
from vecsmith.execution import running
from vecsmith.execution.sweeping import sweep
from vecsmith.planning.grid import Grid
from vecsmith.results.tuning_runs import TuningRun
from vecsmith.training.pair_tokens import PairTokenizer
from vecsmith.training.transformer_student import TransformerStudent

SETTINGS: dict[str, Any] = {
    "batch_size": 8,
    "max_length": 24,
    "temperature": 0.05,
    "held_out_pairs": 16,
    "held_out_batch": 8,
}
# 39,552 FLOP a token of the tiny decoder when all of it is trained, some 300 tokens a batch
FLOPS = 1e8
TWO_METHODS = {"methods": {"full": True, "bias": True}}
LORA_FIRST = {"methods": {"lora": [2], "bias": True}}
EVERY_STEP, NOW_AND_THEN = 1e-9, 5e-4  # minutes between checkpoints


def toy_grid(*models: Path, **tables: Any) -> Grid:
    """A grid of every method, of a few steps a cell."""
    values: dict[str, Any] = {
        "grid": {"name": "toy", "models": [str(path) for path in models], "budgets": [FLOPS]},
        "methods": {"full": True, "bias": True, "freeze": ["1/2"], "lora": [2]},
        "learning_rates": {"full": 1e-3, "freeze": 1e-3, "bias": 1e-2, "lora": 1e-2},
        "settings": SETTINGS,
        "limits": {"min_steps": 1, "min_warmup_steps": 0, "max_epochs": 9},
    }
    return Grid.from_plain({**values, **tables})


def toy_sweep(out: Path, *models: Path, tables: Any = None, **options: Any) -> list[TuningRun]:
    """The records of such a grid on two hundred pairs."""
    chosen = {"device": "cpu", "threads": 1, **options}
    return sweep(toy_grid(*models, **(tables or {})), word_pairs(200), out, **chosen)


def sweep_killed_at_random(
    out: Path, models: list[Path], seed: int, most_steps: int, minutes: float
) -> None:
    """A sweep that is killed between the gradients of one of its first steps and the weights."""
    torch.set_num_threads(1)
    left = random.Random(seed).randrange(1, most_steps)
    move = TransformerStudent._move

    def fatal_move(self: TransformerStudent, lr: float) -> float:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return move(self, lr)

    TransformerStudent._move = fatal_move  # type: ignore[method-assign]
    toy_sweep(out, *models, checkpoint_minutes=minutes)


def sweeps_killed_at_random(out: Path, models: list[Path], n_kills: int) -> None:
    """That many times the same sweep, killed each time; exits with 1 where one was not."""
    for name in ("peft", "gpt_neox", "llama"):  # now and not in every fork
        importlib.import_module(name if name == "peft" else f"transformers.models.{name}")
    for seed in range(n_kills):
        child = os.fork()
        if not child:
            sweep_killed_at_random(out, models, seed, 18, NOW_AND_THEN)
            os._exit(0)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != -signal.SIGKILL:
            os._exit(1)


def sweep_in_a_group(out: Path, models: list[Path], tables: Any = None) -> None:
    """A sweep as one of several processes that share each step."""
    toy_sweep(out, *models, tables=tables)


def sweep_in_a_group_with_one_out_of_memory(out: Path, models: list[Path]) -> None:
    """The same, but the second process has no memory for a step of the adapters."""
    move = TransformerStudent._move

    def thirsty_move(self: TransformerStudent, lr: float) -> float:
        if os.environ["RANK"] == "1" and any("lora" in name for name in self.model_tensors()):
            torch.empty(2**55)
        return move(self, lr)

    TransformerStudent._move = thirsty_move  # type: ignore[method-assign]
    toy_sweep(out, *models, tables=LORA_FIRST)


def sweep_killed_in(out: Path, models: list[Path], place: str) -> None:
    """A sweep that is killed in the middle of "tokenising", "measuring" or "recording"."""
    owner, name, n_calls = {
        "tokenising": (PairTokenizer, "tokens", 1),
        "measuring": (running, "measure", 2),
        "recording": (os, "replace", None),
    }[place]
    inner, seen = getattr(owner, name), 0

    def fatal(*arguments: Any, **options: Any) -> Any:
        nonlocal seen
        is_meant = n_calls is not None or "records" in Path(arguments[1]).parts
        seen += is_meant
        if is_meant and seen == (n_calls or 2):
            os.kill(os.getpid(), signal.SIGKILL)
        return inner(*arguments, **options)

    setattr(owner, name, fatal)
    toy_sweep(out, *models, tables=TWO_METHODS)


def records_in(out: Path) -> dict[str, Any]:
    """Every record of a sweep as its file says it, but for its timing."""
    found = {}
    for path in sorted((out / "records").iterdir()):
        found[path.name] = json.loads(path.read_text(encoding="utf-8"))
        del found[path.name]["timing"]
    return found

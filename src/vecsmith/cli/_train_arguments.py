"""What `vecsmith train` is given as text -> what it means."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from vecsmith.results.tuning import Tuning, TuningMethod


def named_source(text: str) -> tuple[str | None, str]:
    """Name and source of `NAME=SOURCE`; no name where what stands before "=" is part of a path."""
    name, equals, source = text.partition("=")
    is_name = bool(equals) and name.replace("-", "").replace("_", "").isalnum()
    if not is_name or Path(text).exists():
        return None, text
    return name, source


def named_loss(text: str) -> tuple[str | None, str]:
    """Set and loss of `NAME=LOSS`; no set where a loss is of all."""
    name, equals, loss = text.rpartition("=")
    return (name if equals else None), loss


def split_once(text: str, option: str) -> tuple[str, str]:
    """Both sides of `NAME=VALUE`."""
    left, equals, right = text.partition("=")
    if not equals or not left:
        raise typer.BadParameter(f"{option} {text!r}, expected NAME=VALUE")
    return left, right


def parse_roles(given: str | None) -> dict[str, str] | list[str] | None:
    """Columns by role, or in order."""
    if given is None:
        return None
    parts = [part.strip() for part in given.split(",")]
    if all("=" in part for part in parts):
        return dict(split_once(part, "--roles") for part in parts)
    return parts


def tuning_of(
    method: TuningMethod | None, frozen_blocks: int | None, rank: int | None, alpha: float | None
) -> Tuning | None:
    """What is trained, None where nothing is said of it."""
    from vecsmith.results.tuning import Tuning

    if method is None and frozen_blocks is None and rank is None and alpha is None:
        return None
    for name, given, own in (
        ("--frozen-blocks", frozen_blocks, "freeze"),
        ("--rank", rank, "lora"),
        ("--lora-alpha", alpha, "lora"),
    ):
        if given is not None and method != own:
            found = "" if method is None else f" with --tuning {method}"
            raise typer.BadParameter(f"{name} {given}{found}, expected it with --tuning {own}")
    if method == "lora" and rank is None:
        raise typer.BadParameter("--tuning lora without --rank, expected one, as in --rank 32")
    if method == "freeze" and frozen_blocks is None:
        raise typer.BadParameter(
            "--tuning freeze without --frozen-blocks, expected one: 0 freezes the embeddings alone"
        )
    try:
        return Tuning(
            method=method or "full",
            frozen_blocks=frozen_blocks or 0,
            rank=rank or 0,
            alpha=alpha or 0.0,
        )
    except ValueError as error:
        raise typer.BadParameter(f"--tuning {method}: {error}") from None


def parse_dims(given: str | None) -> tuple[int, ...] | None:
    """Prefix lengths, as in "256,128,64"."""
    if given is None:
        return None
    try:
        return tuple(dict.fromkeys(int(part) for part in given.split(",")))
    except ValueError:
        raise typer.BadParameter(
            f"--dims {given!r}, expected prefix lengths such as 256,128,64"
        ) from None


def parse_layers(given: str | None) -> str | tuple[int, ...] | None:
    """Depths, as in "3,6", or the name of a variant."""
    if given is None or not given[:1].isdigit():
        return given
    try:
        return tuple(int(part) for part in given.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"--layers {given!r}, expected all, the name of a variant, or depths such as 3,6"
        ) from None

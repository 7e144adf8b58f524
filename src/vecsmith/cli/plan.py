"""`vecsmith plan`: the best way to spend a budget on turning a language model into an embedder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vecsmith.cli._console import AsJson, Quiet, note, print_json

if TYPE_CHECKING:
    from vecsmith.planning.choosing.plan import Plan
    from vecsmith.planning.laws.fitted import FittedLaws

_BUDGET, _MODELS, _RECIPE, _USE, _OUT = "Budget", "Models", "Recipe", "Use", "Output"
Precision = Literal["float32", "bfloat16"]
SizeRule = Literal["middle", "largest", "smallest", "tokens-per-parameter"]


def plan(
    flops: Annotated[
        float | None,
        typer.Option(metavar="C", help="FLOP to spend, as in 1e17.", rich_help_panel=_BUDGET),
    ] = None,
    gpu_hours: Annotated[
        float | None,
        typer.Option(help="Hours to spend, of all GPUs together.", rich_help_panel=_BUDGET),
    ] = None,
    money: Annotated[
        float | None,
        typer.Option(help="Money to spend, at --price-per-hour.", rich_help_panel=_BUDGET),
    ] = None,
    price_per_hour: Annotated[
        float | None,
        typer.Option(help="Of one GPU, in your currency.", rich_help_panel=_BUDGET),
    ] = None,
    gpu: Annotated[
        str | None,
        typer.Option(help="Which, as in a100, h100 or rtx-4090.", rich_help_panel=_BUDGET),
    ] = None,
    gpus: Annotated[int, typer.Option(help="How many share a step.", rich_help_panel=_BUDGET)] = 1,
    memory: Annotated[
        str | None,
        typer.Option(help="Of one GPU, as in 40GB (default: --gpu's).", rich_help_panel=_BUDGET),
    ] = None,
    mfu: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Of the GPU's peak that is reached (default: three are shown).",
            rich_help_panel=_BUDGET,
        ),
    ] = None,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate", help="Measure it on this machine, a minute.", rich_help_panel=_BUDGET
        ),
    ] = False,
    carbon_intensity: Annotated[
        float | None,
        typer.Option(metavar="G", help="Grams of CO2 a kWh.", rich_help_panel=_BUDGET),
    ] = None,
    pairs: Annotated[
        str | None,
        typer.Option(
            metavar="N|SOURCE",
            help="How many there are, as in 5e6, or what to count: a file, a folder.",
            rich_help_panel=_RECIPE,
        ),
    ] = None,
    tokens_per_pair: Annotated[
        float | None,
        typer.Option(help="Real tokens of a pair in the mean.", rich_help_panel=_RECIPE),
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL", help="Model whose tokenizer counts them.", rich_help_panel=_RECIPE
        ),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Pairs in a step.", rich_help_panel=_RECIPE)
    ] = None,
    max_length: Annotated[
        int | None, typer.Option(help="Tokens of a text that count.", rich_help_panel=_RECIPE)
    ] = None,
    precision: Annotated[
        Precision | None, typer.Option(help="Of products.", rich_help_panel=_RECIPE)
    ] = None,
    learning_rate: Annotated[
        list[str] | None,
        typer.Option(
            "--lr",
            metavar="METHOD=RATE",
            help="Highest learning rate, as in lora=5e-4; may be repeated.",
            rich_help_panel=_RECIPE,
        ),
    ] = None,
    min_steps: Annotated[
        int | None, typer.Option(help="Fewest steps of a run.", rich_help_panel=_RECIPE)
    ] = None,
    max_epochs: Annotated[
        float | None, typer.Option(help="Most passes over the pairs.", rich_help_panel=_RECIPE)
    ] = None,
    laws: Annotated[
        Path | None,
        typer.Option(help="Laws of vecsmith fit that decide.", rich_help_panel=_MODELS),
    ] = None,
    catalogue: Annotated[
        Path | None,
        typer.Option(help="TOML file of models to choose from.", rich_help_panel=_MODELS),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="PATTERN",
            help="Only these, as in 'Qwen/*'; may be repeated.",
            rich_help_panel=_MODELS,
        ),
    ] = None,
    methods: Annotated[
        str | None,
        typer.Option(
            metavar="LIST", help="Among full, freeze, bias, lora.", rich_help_panel=_MODELS
        ),
    ] = None,
    ranks: Annotated[
        str | None, typer.Option(metavar="LIST", help="Of LoRA.", rich_help_panel=_MODELS)
    ] = None,
    size_rule: Annotated[
        SizeRule | None,
        typer.Option(help="How the size is chosen without laws.", rich_help_panel=_MODELS),
    ] = None,
    queries_per_month: Annotated[
        float | None, typer.Option(help="Texts encoded afterwards.", rich_help_panel=_USE)
    ] = None,
    months: Annotated[float, typer.Option(help="For how long.", rich_help_panel=_USE)] = 12.0,
    documents: Annotated[
        float | None, typer.Option(help="Texts indexed afterwards.", rich_help_panel=_USE)
    ] = None,
    static: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Static model to compare with.", rich_help_panel=_USE),
    ] = None,
    static_eval: Annotated[
        Path | None,
        typer.Option(help="Run folder of its vecsmith eval.", rich_help_panel=_USE),
    ] = None,
    tuned_eval: Annotated[
        Path | None,
        typer.Option(help="That of a tuned model on the same sets.", rich_help_panel=_USE),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="File for vecsmith run, .json.", rich_help_panel=_OUT),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Page to write, .html.", rich_help_panel=_OUT)
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Plan how to spend a budget on turning a language model into an embedder.

    By the published recipe (Ziarko et al. 2024), or by laws fitted to your own runs, which also
    predict the loss. Every number says whether it is printed, derived, assumed, given, measured
    or fitted.

    Examples:
      vecsmith plan --flops 1e17
      vecsmith plan --gpu-hours 8 --gpu a100 --memory 40GB --pairs 5e6 --queries-per-month 1e8
        --out plan.json --html plan.html
      vecsmith plan --flops 3e13 --laws laws.json --catalogue my-models.toml --json
    """
    from vecsmith.cli._planning import PlanRequest, plan_of

    made, fitted = plan_of(
        PlanRequest(
            flops=flops,
            gpu_hours=gpu_hours,
            money=money,
            price_per_hour=price_per_hour,
            gpu=gpu,
            n_gpus=gpus,
            memory=memory,
            mfu=mfu,
            calibrate=calibrate,
            carbon_intensity=carbon_intensity,
            pairs=pairs,
            tokens_per_pair=tokens_per_pair,
            tokenizer=tokenizer,
            settings={
                "batch_size": batch_size,
                "max_length": max_length,
                "precision": precision,
            },
            learning_rates=learning_rate or [],
            limits={"min_steps": min_steps, "max_epochs": max_epochs},
            laws=laws,
            catalogue=catalogue,
            models=models or [],
            methods=methods,
            ranks=ranks,
            size_rule=size_rule,
            queries_per_month=queries_per_month,
            months=months,
            documents=documents,
            static=static,
            static_eval=static_eval,
            tuned_eval=tuned_eval,
            quiet=quiet,
        )
    )
    _write(made, fitted, out=out, html=html)
    if as_json:
        print_json(made.plain())
    elif not quiet:
        from vecsmith.cli._plan_text import plan_text

        print(plan_text(made))
    for path in (out, html):
        if path is not None:
            note(f"written to {path}", quiet=quiet)


def _write(made: Plan, laws: FittedLaws | None, *, out: Path | None, html: Path | None) -> None:
    """The files asked for."""
    if out is not None:
        made.to_json(out)
    if html is not None:
        from vecsmith._files import atomic_file
        from vecsmith.reporting.pages.plan import plan_page

        with atomic_file(html, "w", encoding="utf-8") as file:
            file.write(plan_page(made, laws))

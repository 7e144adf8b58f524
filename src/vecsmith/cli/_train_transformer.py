"""The verb `vecsmith train transformer`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from vecsmith.cli._console import AsJson, Quiet, print_json
from vecsmith.cli._train_arguments import (
    named_loss,
    named_source,
    parse_dims,
    parse_layers,
    parse_roles,
    split_once,
    tuning_of,
)
from vecsmith.cli._train_result import print_result

Pooling = Literal["mean", "cls", "last", "max"]
Method = Literal["full", "freeze", "bias", "lora"]
Precision = Literal["auto", "float32", "bfloat16"]
Schedule = Literal["linear", "cosine", "constant"]
Sampling = Literal["proportional", "round_robin", "temperature"]
Directions = Literal["one_way", "both_ways", "four_ways"]


def transformer(
    base: Annotated[
        str, typer.Option(help="Model to start from: a folder, a Hub id, or package:NAME.")
    ],
    pairs: Annotated[
        list[str],
        typer.Option(
            metavar="[NAME=]SOURCE",
            help="Pairs: a file, a glob in quotes, a folder, or a Hub data set; may be repeated.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder to write; a model there is replaced.")],
    dims: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Prefixes to train, as in 384,192,96 (default: halves)."),
    ] = None,
    layers: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Depths to train: all, as in 3,6, or a variant: starbucks, 2dmse, angle, ese, "
            "sentence-transformers-v5 or -v6 (default: the whole depth).",
        ),
    ] = None,
    loss: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]LOSS",
            help="info_nce, guided_info_nce, cosent, score_regression, triplet, "
            "similarity_distillation or similarity_mse; of the set NAME, or of all.",
        ),
    ] = None,
    teacher: Annotated[
        str | None, typer.Option(help="Model whose vectors a loss asks for, or that mines.")
    ] = None,
    mine: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Add N hard negatives to each pair, found by --teacher or else by --base.",
        ),
    ] = None,
    mine_margin: Annotated[
        float,
        typer.Option(help="How far below the positive's a negative's similarity must be, a share."),
    ] = 0.05,
    pooling: Annotated[
        Pooling | None, typer.Option(help="How token states become a vector (default: as --base).")
    ] = None,
    tuning: Annotated[
        Method | None,
        typer.Option(
            help="What is trained: full, freeze (the last blocks), bias, or lora (default: full)."
        ),
    ] = None,
    frozen_blocks: Annotated[
        int | None, typer.Option(help="With freeze: blocks that stay as they are, from the first.")
    ] = None,
    rank: Annotated[int | None, typer.Option(help="With lora: rank of the adapters.")] = None,
    lora_alpha: Annotated[
        float | None,
        typer.Option(
            help="With lora: the product is scaled by this / rank (default: twice the rank)."
        ),
    ] = None,
    evaluate: Annotated[
        list[Path] | None,
        typer.Option(
            "--eval", help="Folder of sets to choose the best step on, by their dev splits."
        ),
    ] = None,
    decontaminate: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of sets whose texts are taken out of the pairs, as --eval's."),
    ] = None,
    keep_contaminated: Annotated[
        bool, typer.Option("--keep-contaminated", help="Leave texts of --eval in the pairs.")
    ] = False,
    roles: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Columns: anchor=QUESTION,positive=ANSWER, or in order."),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=VALUE", help="Rows to keep, as in label=entailment."),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Split of the pairs to read: train, or all.")
    ] = None,
    query_prompt: Annotated[
        str | None, typer.Option(help="Text before every anchor; kept in the model.")
    ] = None,
    document_prompt: Annotated[
        str | None, typer.Option(help="Text before every other text; kept in the model.")
    ] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the pairs.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps, instead of epochs.")] = None,
    tokens: Annotated[
        int | None,
        typer.Option(
            help="Tokens, instead of epochs: the run ends after the last step that stays within."
        ),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Pairs in a step, of all processes together.")
    ] = None,
    mini_batch: Annotated[
        int | None,
        typer.Option(help="Texts held in memory at a time, by a gradient cache (default: all)."),
    ] = None,
    lr: Annotated[float | None, typer.Option("--lr", help="Highest learning rate.")] = None,
    warmup: Annotated[float | None, typer.Option(help="Share of steps in which it rises.")] = None,
    schedule: Annotated[Schedule | None, typer.Option(help="How it falls.")] = None,
    final_lr: Annotated[
        float | None, typer.Option(help="Share of it that is left at the end.")
    ] = None,
    weight_decay: Annotated[float | None, typer.Option(help="As in AdamW.")] = None,
    clip_norm: Annotated[
        float | None, typer.Option(help="Largest norm of a gradient, 0 for any.")
    ] = None,
    temperature: Annotated[float | None, typer.Option(help="Of the loss.")] = None,
    directions: Annotated[
        Directions | None, typer.Option(help="Which texts of a batch are told apart.")
    ] = None,
    sampling: Annotated[
        Sampling | None, typer.Option(help="How batches are drawn from several sets.")
    ] = None,
    alpha: Annotated[float | None, typer.Option(help="Power of sampling by temperature.")] = None,
    unique: Annotated[
        bool | None,
        typer.Option("--unique/--repeats", help="Whether no text stands twice in a batch."),
    ] = None,
    max_length: Annotated[
        int | None,
        typer.Option(
            help="Tokens of a text that count in training, 0 for all that the base reads."
        ),
    ] = None,
    dropout: Annotated[
        float | None, typer.Option(help="Share of activations dropped (default: as --base says).")
    ] = None,
    precision: Annotated[
        Precision, typer.Option(help="Of products; auto takes bfloat16 where that is fast.")
    ] = "auto",
    gradient_checkpointing: Annotated[
        bool, typer.Option("--gradient-checkpointing", help="Compute activations again.")
    ] = False,
    train_dense: Annotated[
        bool, typer.Option("--train-dense", help="Train Dense modules after the pooling too.")
    ] = False,
    device: Annotated[
        str | None, typer.Option(help="Torch device, as in cuda (default: cuda if there is one).")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random.")] = None,
    evaluate_every: Annotated[
        int | None, typer.Option(help="Steps between evaluations (default: a tenth of the run).")
    ] = None,
    patience: Annotated[
        int | None, typer.Option(help="Evaluations without a better one that end the run.")
    ] = None,
    checkpoint_every: Annotated[
        int | None, typer.Option(help="Steps between checkpoints (default: by the clock).")
    ] = None,
    checkpoint_minutes: Annotated[
        float | None, typer.Option(help="Minutes between checkpoints (default: 10).")
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(help="Folder of the run: checkpoints, curve, scores (default: OUT.run)."),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Give up an unfinished run in the folder of the run.")
    ] = False,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Let code in the base's folder run.")
    ] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Train a sentence transformer on pairs of texts that belong together.

    What it writes is a folder that sentence-transformers opens, with prefixes of the vectors, and
    depths if asked for, that are good vectors themselves. A run that was killed goes on with the
    same command, to the same bits. Under torchrun several processes share each step.

    Examples:
      vecsmith train transformer --base MODEL --pairs p.parquet --dims 384,192,96,48 --out nested
      vecsmith train transformer --base MODEL --pairs p.parquet --layers all --eval dev/ --out deep
      vecsmith train transformer --base MODEL --pairs stsb/ --loss cosent --out graded
      vecsmith train transformer --base LM --pairs p.parquet --tuning lora --rank 32
        --tokens 50000000 --out embedder
      torchrun --nproc-per-node 2 -m vecsmith train transformer --base MODEL --pairs p.parquet
        --out nested
    """
    from vecsmith.cli._transformer_training import TransformerJob, finish_transformer

    # of several processes one speaks
    is_first = os.environ.get("RANK", "0") == "0"
    quiet = quiet or not is_first
    given = {
        "dims": parse_dims(dims),
        "epochs": epochs,
        "steps": steps,
        "tokens": tokens,
        "tuning": tuning_of(tuning, frozen_blocks, rank, lora_alpha),
        "batch_size": batch_size,
        "mini_batch": mini_batch,
        "lr": lr,
        "warmup": warmup,
        "schedule": schedule,
        "final_lr": final_lr,
        "weight_decay": weight_decay,
        "clip_norm": clip_norm,
        "temperature": temperature,
        "directions": directions,
        "sampling": sampling,
        "alpha": alpha,
        "unique": unique,
        "max_length": max_length,
        "dropout": dropout,
        "gradient_checkpointing": gradient_checkpointing,
        "train_dense": train_dense,
        "device": device,
        "seed": seed,
        "evaluate_every": evaluate_every,
        "patience": patience,
        "checkpoint_every": checkpoint_every,
        "checkpoint_minutes": checkpoint_minutes,
    }
    if mine and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise typer.BadParameter(
            "--mine in several processes, expected it in one: mine beforehand, by "
            "vecsmith.training.mine_hard_negatives, and give the pairs with their negatives"
        )
    job = TransformerJob(
        base=base,
        layers=parse_layers(layers),
        pooling=pooling,
        precision=precision,
        trust_remote_code=trust_remote_code,
        pairs=[named_source(text) for text in pairs],
        out=out,
        work=work or out.with_name(f"{out.name}.run"),
        given=given,
        losses=dict(named_loss(text) for text in loss or []),
        teacher=teacher,
        mine=mine or 0,
        mine_margin=mine_margin,
        eval_folders=evaluate or [],
        clean_folders=[*(decontaminate or []), *([] if keep_contaminated else evaluate or [])],
        roles=parse_roles(roles),
        where=dict(split_once(text, "--where") for text in where or []) or None,
        split=split,
        prompts={
            name: text
            for name, text in (("query", query_prompt), ("document", document_prompt))
            if text
        },
        restart=restart,
        is_first=is_first,
        show_progress_bar=not quiet and sys.stderr.isatty(),
        quiet=quiet,
    )
    result = finish_transformer(job)
    if as_json and is_first:
        print_json(result)
    elif not quiet:
        print_result(result)

"""`vecsmith train`: a static model or a transformer trained on pairs, a tokenizer on text."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vecsmith.cli._console import AsJson, Quiet, count, note, print_json
from vecsmith.cli._train_arguments import (
    named_loss,
    named_source,
    parse_dims,
    parse_roles,
    split_once,
)
from vecsmith.cli._train_result import print_result
from vecsmith.cli._train_transformer import transformer
from vecsmith.cli._training import TrainingJob, finish

if TYPE_CHECKING:
    from vecsmith.training.tokenizer_training import TokenizerReport

Family = Literal["wordpiece", "bpe", "unigram"]
Schedule = Literal["linear", "cosine", "constant"]
Sampling = Literal["proportional", "round_robin", "temperature"]
Directions = Literal["one_way", "both_ways", "four_ways"]
Precision = Literal["float32", "bfloat16"]
StartRows = Literal["random", "hashed"]

app = typer.Typer(
    name="train",
    help="Train a static model or a transformer on pairs of texts, or a tokenizer on texts.",
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command(name="static")
def static(
    pairs: Annotated[
        list[str],
        typer.Option(
            metavar="[NAME=]SOURCE",
            help="Pairs: a file, a glob in quotes, a folder, or a Hub data set; may be repeated.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder to write; a model there is replaced.")],
    init: Annotated[
        str | None, typer.Option(help="Model to start from: a folder or a Hub id.")
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option(help="A tokenizer.json, or its folder, to start with."),
    ] = None,
    train_tokenizer: Annotated[
        Family | None, typer.Option(help="Train a tokenizer of the pairs' texts instead.")
    ] = None,
    vocabulary: Annotated[
        int, typer.Option(metavar="N", help="Most tokens of a tokenizer that is trained.")
    ] = 32_000,
    cased: Annotated[
        bool, typer.Option("--cased", help="Keep case in a tokenizer that is trained.")
    ] = False,
    dim: Annotated[
        int | None, typer.Option(metavar="N", help="Dimensions of a model from nothing.")
    ] = None,
    dims: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Prefixes to train, as in 256,128,64 (default: halves)."),
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
            help="Add N hard negatives to each pair, found by --teacher or else by --init.",
        ),
    ] = None,
    mine_margin: Annotated[
        float,
        typer.Option(help="How far below the positive's a negative's similarity must be, a share."),
    ] = 0.05,
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
    preset: Annotated[
        str | None,
        typer.Option(help="static-retrieval-mrl, from-nothing or from-model (see the guide)."),
    ] = None,
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
    batch_size: Annotated[int | None, typer.Option(help="Pairs in a step.")] = None,
    lr: Annotated[float | None, typer.Option("--lr", help="Highest learning rate.")] = None,
    warmup: Annotated[float | None, typer.Option(help="Share of steps in which it rises.")] = None,
    schedule: Annotated[Schedule | None, typer.Option(help="How it falls.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="As in AdamW.")] = None,
    clip_norm: Annotated[
        float | None, typer.Option(help="Largest norm of a gradient, 0 for any.")
    ] = None,
    temperature: Annotated[float | None, typer.Option(help="Of the loss.")] = None,
    directions: Annotated[
        Directions | None, typer.Option(help="Which texts of a batch are told apart.")
    ] = None,
    start: Annotated[
        StartRows | None, typer.Option(help="How rows of a model from nothing begin.")
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
        int | None, typer.Option(help="Tokens of a text that count in training, 0 for all.")
    ] = None,
    token_dropout: Annotated[
        float | None, typer.Option(help="Share of tokens left out in training.")
    ] = None,
    token_weights: Annotated[
        bool | None,
        typer.Option("--token-weights/--no-token-weights", help="Train a factor for each token."),
    ] = None,
    ema: Annotated[
        float | None, typer.Option(help="Decay of a moving average that becomes the model.")
    ] = None,
    precision: Annotated[
        Precision | None, typer.Option(help="Of the loss's products; sums stay float32.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="Torch device, as in cuda.")] = None,
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
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Train a static model on pairs of texts that belong together.

    It starts from a model (--init), or from nothing with a tokenizer (--tokenizer,
    --train-tokenizer). A run that was killed goes on with the same command, to the same bits.

    Examples:
      vecsmith train static --init mini --pairs pairs.parquet --eval dev/ --out tuned
      vecsmith train static --tokenizer tokenizer.json --pairs 'data/*.parquet' --dim 1024 --out new
      vecsmith train static --train-tokenizer wordpiece --pairs ko.jsonl --eval ko-sets/ --out ko
      vecsmith train static --init mini --pairs qa=qa.csv --pairs stsb=stsb/ --loss stsb=cosent
        --out tuned
    """
    given = {
        "dim": dim,
        "dims": parse_dims(dims),
        "epochs": epochs,
        "steps": steps,
        "batch_size": batch_size,
        "lr": lr,
        "warmup": warmup,
        "schedule": schedule,
        "weight_decay": weight_decay,
        "clip_norm": clip_norm,
        "temperature": temperature,
        "directions": directions,
        "start": start,
        "sampling": sampling,
        "alpha": alpha,
        "unique": unique,
        "max_length": max_length,
        "token_dropout": token_dropout,
        "token_weights": token_weights,
        "ema": ema,
        "precision": precision,
        "device": device,
        "seed": seed,
        "evaluate_every": evaluate_every,
        "patience": patience,
        "checkpoint_every": checkpoint_every,
        "checkpoint_minutes": checkpoint_minutes,
    }
    job = TrainingJob(
        pairs=[named_source(text) for text in pairs],
        out=out,
        work=work or out.with_name(f"{out.name}.run"),
        init=init,
        tokenizer=tokenizer or train_tokenizer,
        vocabulary=vocabulary,
        lowercase=not cased,
        given=given,
        preset=preset,
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
        show_progress_bar=not quiet and sys.stderr.isatty(),
        quiet=quiet,
    )
    if tokenizer is not None and train_tokenizer is not None:
        raise typer.BadParameter("give either --tokenizer FILE or --train-tokenizer FAMILY")
    if dim is not None and init is not None:
        raise typer.BadParameter("--dim is of a model from nothing, expected it without --init")
    if mine is not None and not (teacher or init):
        raise typer.BadParameter("--mine needs a model to mine with, expected --teacher or --init")
    result = finish(job)
    if as_json:
        print_json(result)
    elif not quiet:
        print_result(result)


app.command(name="transformer")(transformer)


@app.command(name="tokenizer")
def tokenizer_verb(
    texts: Annotated[str, typer.Argument(help="File, glob in quotes, folder or data set.")],
    out: Annotated[Path, typer.Option("--out", help="The tokenizer.json to write.")],
    column: Annotated[
        str | None, typer.Option(help="Column of the texts (default: text, or the only one).")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Split to read: train, or all.")] = None,
    family: Annotated[
        Family, typer.Option(help="wordpiece is what the engine runs natively.")
    ] = "wordpiece",
    vocabulary: Annotated[int, typer.Option(metavar="N", help="Most tokens.")] = 32_000,
    min_count: Annotated[int, typer.Option(help="Least occurrences of a token.")] = 2,
    cased: Annotated[bool, typer.Option("--cased", help="Keep case.")] = False,
    strip_accents: Annotated[
        bool, typer.Option("--strip-accents", help="Drop accents and other combining marks.")
    ] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Train a tokenizer on texts of any language.

    Examples:
      vecsmith train tokenizer corpus.parquet --out tokenizer.json
      vecsmith train tokenizer 'ko/*.txt' --vocabulary 50000 --out tokenizer.json
    """
    from vecsmith._files import atomic_file
    from vecsmith.corpora import texts_of
    from vecsmith.training import train_tokenizer

    if out.is_dir():
        raise ValueError(f"--out {out}: a folder, expected the name of a file")
    if not out.absolute().parent.is_dir():
        raise ValueError(f"--out {out}: no folder {out.parent}, expected one that exists")
    started = time.perf_counter()
    corpus = texts_of(texts, column=column, split=split)
    trained = train_tokenizer(
        lambda: iter(corpus),
        family=family,
        vocabulary=vocabulary,
        min_count=min_count,
        lowercase=not cased,
        strip_accents=strip_accents,
        show_progress_bar=not quiet and sys.stderr.isatty(),
    )
    with atomic_file(out, "w", encoding="utf-8") as file:
        file.write(trained.tokenizer_json)
    note(corpus.report.line(), quiet=quiet)
    seconds = time.perf_counter() - started
    if as_json:
        print_json(_tokenizer_facts(trained.report, out, seconds))
    elif not quiet:
        _print_tokenizer(trained.report, out, seconds)


def _tokenizer_facts(report: TokenizerReport, out: Path, seconds: float) -> dict[str, Any]:
    from dataclasses import asdict

    return {"out": str(out), **asdict(report), "seconds": seconds}


def _print_tokenizer(report: TokenizerReport, out: Path, seconds: float) -> None:
    native = "native" if report.is_native else "by way of the tokenizers package"
    n_characters = (
        f"{count(report.n_characters - report.n_left_out)} of {count(report.n_characters)}"
    )
    print(
        f"{out}: {count(report.n_tokens)} tokens of {count(report.n_texts)} texts, "
        f"{report.family}, {native}; {report.tokens_per_text:.1f} tokens a text, "
        f"{report.unknown_share:.2%} of them unknown; {n_characters} characters; {seconds:.1f} s"
    )

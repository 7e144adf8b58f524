"""`vecsmith eval`: how good a model is, on tasks in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vecsmith.cli._console import AsJson, Quiet, count, note, print_json, size
from vecsmith.cli._mteb import evaluate_on_mteb, refuse_options

if TYPE_CHECKING:
    from vecsmith._typing import Encoder
    from vecsmith.evaluation import EmbeddingCache
    from vecsmith.evaluation.contender import LexicalBaseline
    from vecsmith.results import EvalResult, Ratio, TaskResult

Split = Literal["test", "dev"]
Precision = Literal["float32", "float16", "int8", "binary"]
ComputeDtype = Literal["auto", "float32", "bfloat16"]
_PRECISIONS: tuple[Precision, ...] = ("float32", "float16", "int8", "binary")


def parse_dims(given: str | None) -> list[int] | None:
    """Prefix lengths in the order given, each once."""
    if given is None:
        return None
    try:
        dims = [int(part) for part in given.split(",")]
    except ValueError:
        dims = []
    if not dims or min(dims) < 1:
        raise typer.BadParameter(
            f"--dims {given!r}, expected prefix lengths of 1 or more such as 256,128,64"
        )
    return list(dict.fromkeys(dims))


def _parse_precisions(given: str) -> list[Precision]:
    """Precisions in the order given, each once: the first stands for the model."""
    names = [part.strip() for part in given.split(",")]
    unknown = [name for name in names if name not in _PRECISIONS]
    if unknown:
        raise typer.BadParameter(
            f"--precisions {unknown[0]!r}, expected some of {', '.join(_PRECISIONS)}"
        )
    return [
        precision for name in dict.fromkeys(names) for precision in _PRECISIONS if precision == name
    ]


def _given_options(context: typer.Context) -> list[str]:
    """Names of the options that are on the command line, at their default or not."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return [name for name, source in sources.items() if source and source.name == "COMMANDLINE"]


def _check_views(
    encoder: Encoder | LexicalBaseline, model: str, dims: list[int] | None, given: list[str]
) -> None:
    """Raises BadParameter where the model has no such prefixes or precisions."""
    dim = getattr(encoder, "dim", None)
    if dims and isinstance(dim, int) and max(dims) > dim:
        raise typer.BadParameter(
            f"--dims {max(dims)} of {model}, which has {dim}, expected at most {dim}"
        )
    views = [f"--{name}" for name in ("dims", "precisions") if name in given]
    if views and not hasattr(encoder, "encode"):
        raise typer.BadParameter(
            f"{model} ranks words and has no vectors, expected it without {' and '.join(views)}"
        )


def evaluate(
    context: typer.Context,
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
    restart: Annotated[
        bool, typer.Option("--restart", help="Give up the run in --out, of whatever model.")
    ] = False,
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
    wanted_dims, wanted_precisions = parse_dims(dims), _parse_precisions(precisions)
    only = None if languages is None else [part.strip() for part in languages.split(",")]
    given = _given_options(context)
    if mteb is not None:
        refuse_options(given)
    elif not tasks:
        raise typer.BadParameter("give either --tasks FOLDER or --mteb NAME")
    if restart and out is None:
        raise typer.BadParameter("--restart gives up the run in a folder, expected --out FOLDER")
    from vecsmith.cli._encoders import names_of, open_encoder

    own_name, *baseline_names = names_of(model, name, baseline or [])
    options: dict[str, Any] = {"compute_dtype": compute_dtype, "device": device}
    encoder = open_encoder(model, **options)
    _check_views(encoder, model, wanted_dims, given)
    if mteb is not None:
        evaluate_on_mteb(
            encoder, mteb, name=own_name, dims=wanted_dims, out=out, quiet=quiet, as_json=as_json
        )
        return
    from vecsmith.evaluation import evaluate

    try:
        result = evaluate(
            encoder,
            tasks or [],
            suite=suite,
            dims=wanted_dims,
            precisions=wanted_precisions,
            split=split,
            languages=only,
            baselines={
                label: open_encoder(other, **options)
                for label, other in zip(baseline_names, baseline or [], strict=True)
            },
            name=own_name,
            out=out,
            restart=restart,
            cache=_cache(cache, cache_size),
            show_progress_bar=not quiet,
        )
    except KeyboardInterrupt:
        if out is None:
            raise
        kept = f"finished tasks are in {out}, the same command goes on after them"
        raise KeyboardInterrupt(kept) from None
    if as_json:
        print_json(facts_of(result))
    elif not quiet:
        print(result.table())
        _print_costs(result)
    _note_left_out(result, quiet=quiet)
    if out is not None:
        _note_kept(result, quiet=quiet)
        note(f"written to {out}; compare runs with: vecsmith compare {out} OTHER", quiet=quiet)


def _cache(folder: Path | None, gigabytes: float) -> EmbeddingCache | None:
    """Where vectors are kept; None without room for them, or where the user's cache is off."""
    from vecsmith._files import cache_folder
    from vecsmith.evaluation import EmbeddingCache

    if not gigabytes or (folder is None and cache_folder() is None):
        return None
    return EmbeddingCache(folder, max_bytes=int(gigabytes * 1e9))


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
        "index_bytes_of_a_million": {
            str(view): view.n_bytes * 10**6 for view in result.views if view.n_bytes
        },
        "tasks": {name: _task_facts(task) for name, task in result.tasks.items()},
        "groups": {name: result.average(name) for name in result.groups},
        "retention": {
            name: _retention_facts(result, other) for name, other in result.baselines.items()
        },
        "baselines": {name: facts_of(other) for name, other in result.baselines.items()},
    }


def _retention_facts(result: EvalResult, baseline: EvalResult) -> dict[str, Any] | None:
    """The model's scores over the baseline's, None where no task is to be had of both."""
    if not set(result.tasks) & set(baseline.tasks):
        return None
    kept = result.retention(baseline)
    return {
        "mean": _ratio_facts(kept.mean),
        "means": {ratio.name: _ratio_facts(ratio) for ratio in kept.means},
        "families": {ratio.name: _ratio_facts(ratio) for ratio in kept.families},
        "groups": {ratio.name: _ratio_facts(ratio) for ratio in kept.groups},
        "tasks": {ratio.name: _ratio_facts(ratio) for ratio in kept.tasks},
        "left_out": dict(kept.left_out),
    }


def _ratio_facts(ratio: Ratio) -> dict[str, Any]:
    return {
        "value": ratio.value,
        "low": ratio.low,
        "high": ratio.high,
        "tasks": ratio.n_tasks,
        "note": ratio.note,
    }


def _task_facts(task: TaskResult) -> dict[str, Any]:
    from vecsmith.reporting.facts import task_facts

    views = {str(view): dict(scores.figures) for view, scores in task.scores.items()}
    return task_facts(task) | {"views": views}


def _note_left_out(result: EvalResult, *, quiet: bool) -> None:
    """Says which sets are not scored, and which named groups are not quoted, and why."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in result.settings["skipped"].items():
        by_reason.setdefault(reason, []).append(name)
    for reason, names in by_reason.items():
        note(f"left out: {', '.join(names)}: {reason}", quiet=quiet)
    if result.settings["suite"] == "groups":
        from vecsmith.evaluation.tasks.suites import GROUPS

        missing = [name for name in GROUPS if name not in result.groups]
        if missing:
            reason = "not all of their sets are there with the public test rows"
            note(f"not quoted: {', '.join(missing)}: {reason}", quiet=quiet)


def _note_kept(result: EvalResult, *, quiet: bool) -> None:
    """Says what the run folder no longer shows, and what it cannot give back."""
    if result.dropped:
        again = "; ask for them again, they are not run again" if result.fingerprint else ""
        note(f"no longer in the result: {', '.join(result.dropped)}{again}", quiet=quiet)
    if not result.fingerprint:
        note(f"{result.model} has no fingerprint: nothing of this run is reused", quiet=quiet)


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
            costs.append(f"memory while encoding {size(speed.peak_bytes)}")
        if costs:
            print(f"{each.model}: {', '.join(costs)}")


def _rounded(rate: float) -> int:
    """Two digits: the clock gives no more."""
    return int(float(f"{rate:.2g}"))

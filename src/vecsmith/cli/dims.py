"""`vecsmith dims`: how short a model's vectors may be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vecsmith.cli._console import AsJson, Quiet, note, print_json
from vecsmith.cli.eval import ComputeDtype, Split, parse_dims

if TYPE_CHECKING:
    from vecsmith._typing import Encoder
    from vecsmith.evaluation.dims import PrefixQuality, QualityByDim
    from vecsmith.results import EvalResult, Ratio

_PICTURES = (".png", ".svg")


def dims(
    model: Annotated[
        str, typer.Argument(help="Folder, Hub id or package:NAME of a model, static or not.")
    ],
    tasks: Annotated[
        list[Path], typer.Option(help="Folder of sets, or one set; may be given several times.")
    ],
    asked: Annotated[
        str | None,
        typer.Option(
            "--dims",
            metavar="LIST",
            help="Prefixes, as in 256,128,64 (default: those trained for, or halvings).",
        ),
    ] = None,
    keep: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of the quality of all dims to keep.")
    ] = 0.95,
    over: Annotated[
        str,
        typer.Option(help="What to keep: families, sets, a family such as retrieval, or a task."),
    ] = "families",
    suite: Annotated[
        str | None, typer.Option(help="A choice of sets: groups, english, multilingual, korean.")
    ] = None,
    split: Annotated[Split, typer.Option(help="Rows scored; dev keeps test rows unseen.")] = "test",
    languages: Annotated[
        str | None, typer.Option(metavar="LIST", help="Only these, as in en,ko.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Run folder; what is there and unchanged is not run again."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Picture to write, .png or .svg.")
    ] = None,
    compute_dtype: Annotated[
        ComputeDtype, typer.Option(help="Type transformers run in.")
    ] = "float32",
    device: Annotated[str, typer.Option(help="Torch device of transformers.")] = "cpu",
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Say how quality falls with dimension, and which prefix is the smallest that keeps enough.

    Every prefix meets the same texts, so its share of the full quality has an interval of its own;
    a prefix is enough when the lower end of that interval is, and so is every longer one.

    Examples:
      vecsmith dims minilm-256 --tasks my-tasks/
      vecsmith dims minilm-256 --tasks my-tasks/ --keep 0.97 --over retrieval --plot dims.png
      vecsmith dims nested/ --tasks my-tasks/ --dims 384,192,96,48 --json
    """
    if not 0 < keep < 1:
        raise typer.BadParameter(f"--keep {keep:g}, expected a share between 0 and 1, as in 0.95")
    wanted = parse_dims(asked)
    _check_picture(plot)
    from vecsmith.cli._encoders import open_encoder, short_name
    from vecsmith.evaluation import evaluate
    from vecsmith.evaluation.dims import quality_by_dim

    encoder = open_encoder(model, compute_dtype=compute_dtype, device=device, baselines=False)
    if not hasattr(encoder, "encode"):
        raise typer.BadParameter(f"{model} ranks words and has no vectors, expected a model")
    try:
        result = evaluate(
            encoder,
            tasks,
            suite=suite,
            dims=_with_full(encoder, model, wanted),
            split=split,
            languages=None if languages is None else [p.strip() for p in languages.split(",")],
            name=short_name(model),
            out=out,
            measure_speed=False,
            show_progress_bar=not quiet,
        )
    except KeyboardInterrupt:
        if out is None:
            raise
        kept = f"finished tasks are in {out}, the same command goes on after them"
        raise KeyboardInterrupt(kept) from None
    quality = quality_by_dim(result, keep=keep, over=over)
    if plot is not None:
        _draw(quality, plot)
    if as_json:
        print_json(_facts(quality, result))
    elif not quiet:
        print(_text(quality, result))
    if plot is not None:
        note(f"written to {plot}", quiet=quiet)


def _check_picture(plot: Path | None) -> None:
    """Raises before the work where the picture could not be drawn after it."""
    if plot is None:
        return
    if plot.suffix.lower() not in _PICTURES:
        raise typer.BadParameter(f"--plot {plot}, expected a name that ends in .png or .svg")
    if plot.is_dir():
        raise typer.BadParameter(f"--plot {plot} is a folder, expected a file")
    if not plot.absolute().parent.is_dir():
        raise typer.BadParameter(f"--plot {plot}: no folder {plot.parent}, expected one")
    from vecsmith._extras import require

    require("matplotlib", extra="plot", purpose="draw figures")


def _with_full(encoder: Encoder | Any, model: str, wanted: list[int] | None) -> list[int]:
    """Prefixes asked for, and all dims, of which they are shares."""
    from vecsmith.evaluation.dims import halvings

    dim = getattr(encoder, "dim", None)
    if not isinstance(dim, int):
        import numpy as np

        dim = int(np.asarray(encoder.encode(["a"])).shape[-1])
    if wanted and max(wanted) > dim:
        raise typer.BadParameter(
            f"--dims {max(wanted)} of {model}, which has {dim}, expected at most {dim}"
        )
    dims = list(dict.fromkeys([dim, *(wanted or _trained_dims(encoder) or halvings(dim))]))
    if len(dims) < 2:
        raise typer.BadParameter(
            f"{model} has {dim} dims and no other prefix is asked for, expected --dims with more"
        )
    return dims


def _trained_dims(encoder: Any) -> list[int]:
    """Prefixes that a transformer was trained for, the longest first; none where none are known."""
    from vecsmith.transformer.source import TeacherSource

    source = getattr(encoder, "source", None)
    if not isinstance(source, TeacherSource):
        return []
    from vecsmith.transformer.cutting import read_nesting

    return sorted((dim for dim in read_nesting(source).dims if dim < encoder.dim), reverse=True)


def _text(quality: QualityByDim, result: EvalResult) -> str:
    """The table and the verdict."""
    from vecsmith.results.rendering import align

    share = f"{100 * quality.keep:g} %"
    families = list(quality.full.families)
    lines = [
        ["dims", "bytes", quality.over, "kept", f">= {share}", *families],
        *([*_row(prefix, quality), *_kept_of(prefix, families)] for prefix in quality.prefixes),
    ]
    n_items = sum(task.n_items for task in result.tasks.values())
    title = (
        f"{quality.model} on {len(result.tasks)} tasks, {n_items:,} items: score x 100 ± half of "
        f"the {100 * quality.level:g} % interval;\nkept: % of the score of "
        f"{quality.full.view.dim} dims (paired {100 * quality.level:g} % interval), then by family"
    )
    return f"{title}\n\n{align(lines)}\n\n{_verdict(quality)}"


def _row(prefix: PrefixQuality, quality: QualityByDim) -> list[str]:
    kept = prefix.kept
    low, high = kept.low or 0.0, kept.high or 0.0
    is_full = prefix is quality.full
    return [
        f"{prefix.view.dim}",
        f"{prefix.view.n_bytes}",
        f"{100 * prefix.score:.1f} ±{50 * (prefix.high - prefix.low):.1f}",
        "100" if is_full else f"{_percent(kept)} ({100 * low:.1f} to {100 * high:.1f})",
        "" if is_full else "yes" if prefix.is_enough else "no",
    ]


def _kept_of(prefix: PrefixQuality, families: list[str]) -> list[str]:
    return [_percent(prefix.families[name]) for name in families]


def _percent(ratio: Ratio) -> str:
    return "-" if ratio.value is None else f"{100 * ratio.value:.1f}"


def _verdict(quality: QualityByDim) -> str:
    """Which prefix to take, by what, and what the mean hides."""
    chosen, share = quality.smallest, f"{100 * quality.keep:g} %"
    if chosen is quality.full:
        said = f"no shorter prefix is known to keep {share}: take all {chosen.view.dim} dims"
    else:
        low = 100 * (chosen.kept.low or 0.0)
        said = (
            f"smallest prefix that keeps {share}: {chosen.view.dim} dims "
            f"(at least {low:.1f} %, the lower end of its interval)"
        )
    lines = [said]
    by_score = quality.smallest_by_score.view.dim
    if by_score < chosen.view.dim:
        lines.append(
            f"by its score alone {by_score} dims would do: these items are too few to tell"
        )
    below = [f"{name} {_percent(ratio)} %" for name, ratio in quality.families_below().items()]
    if below:
        lines.append(f"it keeps less of: {', '.join(below)}; --over {below[0].split()[0]} decides "
                     "by that")  # fmt: skip
    if quality.full.kept.note:
        lines.append(f"{quality.over} {quality.full.kept.note}")
    return "\n".join(lines)


def _facts(quality: QualityByDim, result: EvalResult) -> dict[str, Any]:
    """Every figure, ready for JSON."""
    return {
        "model": quality.model,
        "fingerprint": result.fingerprint,
        "over": quality.over,
        "keep": quality.keep,
        "level": quality.level,
        "decided_by": "lower end of the paired interval, longest prefix first",
        "smallest": quality.smallest.view.dim,
        "smallest_by_score": quality.smallest_by_score.view.dim,
        "prefixes": [_prefix_facts(prefix) for prefix in quality.prefixes],
        "tasks": {name: task.n_items for name, task in result.tasks.items()},
        "settings": dict(result.settings),
    }


def _prefix_facts(prefix: PrefixQuality) -> dict[str, Any]:
    return {
        "dim": prefix.view.dim,
        "bytes": prefix.view.n_bytes,
        "score": prefix.score,
        "low": prefix.low,
        "high": prefix.high,
        "kept": _ratio_facts(prefix.kept),
        "families": {name: _ratio_facts(ratio) for name, ratio in prefix.families.items()},
        "is_enough": prefix.is_enough,
    }


def _ratio_facts(ratio: Ratio) -> dict[str, Any]:
    return {"value": ratio.value, "low": ratio.low, "high": ratio.high, "note": ratio.note}


def _draw(quality: QualityByDim, path: Path) -> None:
    from vecsmith._files import atomic_file
    from vecsmith.reporting.pictures.drawing import png_bytes, svg_bytes
    from vecsmith.reporting.pictures.kept import kept_figure

    lines = {
        name: [_point(prefix.view.dim, prefix.families[name]) for prefix in quality.prefixes]
        for name, ratio in quality.full.families.items()
        if ratio.value is not None
    }
    lines[quality.over] = [_point(prefix.view.dim, prefix.kept) for prefix in quality.prefixes]
    figure = kept_figure(
        lines,
        over=quality.over,
        keep=quality.keep,
        smallest=quality.smallest.view.dim,
        title=f"What prefixes of {quality.model} keep",
    )
    draw = svg_bytes if path.suffix.lower() == ".svg" else png_bytes
    with atomic_file(path) as file:
        file.write(draw(figure))


def _point(dim: int, ratio: Ratio) -> tuple[int, float, float, float]:
    value = ratio.value or 0.0
    low = value if ratio.low is None else ratio.low
    return dim, value, low, value if ratio.high is None else ratio.high

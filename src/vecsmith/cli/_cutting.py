"""`vecsmith compress` of a transformer: its first layers and dimensions, and what that costs."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vecsmith.cli._compression import Scoring, print_scores, score, score_facts
from vecsmith.cli._console import console, note, size
from vecsmith.errors import FormatError, HubError

if TYPE_CHECKING:
    from vecsmith.results import EvalResult
    from vecsmith.transformer.source import TeacherSource
    from vecsmith.transformer.text_encoder import TextEncoder


def find_transformer(name: str, *, is_sure: bool) -> TeacherSource | None:
    """Where the transformer called `name` is; None if `name` is no transformer.

    Args:
        name: Folder, Hub id or `package:NAME`.
        is_sure: Whether only a transformer is asked for, so that none is an error.
    """
    from vecsmith.model import StaticModel

    if not is_sure and not name.startswith("package:"):
        try:
            StaticModel.from_pretrained(name)
            return None
        except (FormatError, HubError) as error:
            as_static = error
    from vecsmith.transformer.source import find_teacher

    try:
        return find_teacher(name)
    except (FormatError, HubError, ValueError):
        if is_sure or name.startswith("package:"):
            raise
        raise as_static from None


def cut_to(
    out: Path,
    source: TeacherSource,
    *,
    n_layers: int | None,
    dim: int | None,
    texts: Iterable[str] | None = None,
    asked: Scoring,
) -> dict[str, Any]:
    """Cuts, scores each step and writes the last; the facts of it.

    With `texts` dimensions are put in the order of what they hold of these, between both cuts.
    """
    from vecsmith.transformer.saving import check_encoder_folder

    started = time.perf_counter()
    if not out.absolute().parent.is_dir():
        raise ValueError(f"--out {out}: no folder {out.parent}, expected one that exists")
    check_encoder_folder(out, source)
    steps = _Steps(asked)
    if texts is None:
        _cut(out, source, n_layers, dim, steps)
    else:
        _cut_and_rotate(out, source, n_layers, dim, texts, steps)
    return {
        "model": source.name,
        "out": str(out),
        "steps": steps.facts,
        "split": asked.split if asked.folders else None,
        "bytes": sum(path.stat().st_size for path in out.rglob("*") if path.is_file()),
        "seconds": time.perf_counter() - started,
    }


class _Steps:
    """What is told of each encoder on the way, the first as it was."""

    def __init__(self, asked: Scoring) -> None:
        self.asked = asked
        self.facts: list[dict[str, Any]] = []
        self._first: EvalResult | None = None

    def add(self, name: str, encoder: TextEncoder) -> None:
        result = score(name, encoder, self.asked)
        self._first = self._first or result
        facts = {
            "step": name,
            "layers": encoder.teacher.n_layers,
            "dim": encoder.dim,
            "weight_bytes": encoder.n_bytes,
        }
        self.facts.append({**facts, **score_facts(result, self._first)})


def _cut(
    out: Path, source: TeacherSource, n_layers: int | None, dim: int | None, steps: _Steps
) -> None:
    from vecsmith.transformer.cutting import cut, read_nesting
    from vecsmith.transformer.text_encoder import TextEncoder

    steps.add("as it was", TextEncoder(source))
    if n_layers is not None:
        steps.add(_depth(n_layers), TextEncoder(source, n_layers=n_layers))
    if dim is not None:
        steps.add(f"{dim} dims", TextEncoder(source, n_layers=n_layers, dim=dim))
    _tell_nesting(read_nesting(source), n_layers, dim, steps.asked)
    cut(source.folder, out, n_layers=n_layers, dim=dim)


def _cut_and_rotate(
    out: Path,
    source: TeacherSource,
    n_layers: int | None,
    dim: int | None,
    texts: Iterable[str],
    steps: _Steps,
) -> None:
    """As `_cut`, with a rotation of what is left of the layers before dimensions are cut."""
    from vecsmith.transformer.cutting import cut, read_nesting
    from vecsmith.transformer.rotation import rotate_encoder
    from vecsmith.transformer.source import find_teacher
    from vecsmith.transformer.text_encoder import TextEncoder

    base = whole = TextEncoder(source)
    if dim is not None and not 1 <= dim <= whole.dim:
        raise ValueError(f"dim is {dim}, expected 1 to {whole.dim}, the whole vector")
    steps.add("as it was", whole)
    if n_layers is not None:
        base = TextEncoder(source, n_layers=n_layers)
        steps.add(_depth(n_layers), base)
    _tell_nesting(read_nesting(source), n_layers, None, steps.asked)
    bar = steps.asked.show_progress_bar
    if dim is None:
        steps.add("rotated", rotate_encoder(base, texts, out, show_progress_bar=bar))
        return
    with tempfile.TemporaryDirectory(dir=out.absolute().parent, prefix=f".{out.name}.") as beside:
        rotated = Path(beside) / f"{Path(source.name).name}-rotated"
        steps.add("rotated", rotate_encoder(base, texts, rotated, show_progress_bar=bar))
        steps.add(f"{dim} dims", TextEncoder(find_teacher(rotated), dim=dim))
        cut(rotated, out, dim=dim)


def _depth(n_layers: int) -> str:
    return f"{n_layers} layer{'s' if n_layers > 1 else ''}"


def print_cut(result: dict[str, Any]) -> None:
    """Prints what `cut_to` found."""
    from rich.table import Table
    from rich.text import Text

    sizes = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("step", "layers", "dims", "weights"):
        sizes.add_column(column, justify="left" if column == "step" else "right")
    for step in result["steps"]:
        cells = (str(step["layers"]), str(step["dim"]), size(step["weight_bytes"]))
        sizes.add_row(Text(step["step"]), *cells)
    console().print(sizes)
    if "scores" in result["steps"][0]:
        print_scores(result)
    else:
        print("what it costs was not measured: name a folder of sets with --eval")
    print(f"{result['out']}: {size(result['bytes'])} in {result['seconds']:.1f} s")


def _tell_nesting(nesting: Any, n_layers: int | None, dim: int | None, asked: Scoring) -> None:
    """Says so where the model was not trained for what it is cut to."""
    for what, wish, known in (("layers", n_layers, nesting.layers), ("dims", dim, nesting.dims)):
        if wish is not None and wish not in known:
            trained = f"for {', '.join(map(str, known))}" if known else "for none in particular"
            note(
                f"the model was not trained for {wish} {what} but {trained}, so it may lose much; "
                f"vecsmith train transformer --{what} trains for them",
                quiet=asked.quiet,
            )

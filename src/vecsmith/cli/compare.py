"""`vecsmith compare`: which of two models is better, by how much, and how sure that is."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from vecsmith.cli._console import AsJson, Quiet, note, print_json

if TYPE_CHECKING:
    from vecsmith.reporting.report import Contender, NeighborList, Report
    from vecsmith.results import EvalResult, View

_VIEW = re.compile(r"(\d{1,6})(?:[ :](\w+))?")
_MAX_SIDES = 3  # models side by side on the page of neighbors


def compare(
    runs: Annotated[
        list[Path], typer.Argument(help="Folders that vecsmith eval has written; the first leads.")
    ],
    html: Annotated[
        Path | None, typer.Option(help="Write one self-contained page to this file.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="Write the same as Markdown; pictures go beside it.")
    ] = None,
    pictures: Annotated[
        bool, typer.Option("--pictures/--no-pictures", help="Pictures in page and Markdown.")
    ] = True,
    view: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help='Sizes compared, as in 64 or "64 int8"; or one for each run, as in 64,256.',
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Model that retention is relative to."),
    ] = None,
    queries: Annotated[
        list[str] | None,
        typer.Option(help="Words of queries to show neighbors of; may be repeated."),
    ] = None,
    tasks: Annotated[
        list[Path] | None,
        typer.Option(help="Where the sets are now, to show their texts; may be repeated."),
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Compare runs: verdict, intervals and tests, by set, dimension and precision; and speed.

    The first run is held against each of the others, or against its baselines if it is alone.

    Examples:
      vecsmith compare runs/minilm-256 runs/other
      vecsmith compare runs/minilm-256 runs/other --html report.html
      vecsmith compare runs/minilm-256 runs/minilm-256 --view 256,64
      vecsmith compare runs/a runs/b runs/c --markdown report.md --no-pictures
    """
    from vecsmith.reporting.summary import build_report, with_neighbors
    from vecsmith.results import EvalResult

    views = _parse_views(view, len(runs))
    _check_outputs(html, markdown)
    if pictures and (html or markdown):
        from vecsmith._extras import require

        require("matplotlib", extra="plot", purpose="draw figures")
    results = [EvalResult.open(folder) for folder in runs]
    report = build_report(results, views=views, reference=reference)
    if html or markdown or queries:
        found, missing = _neighbors(report, results, queries or [], tasks or [])
        report = with_neighbors(report, found, missing)
    # before anything is printed: a reader such as head may close the pipe
    written = list(_write(report, html, markdown, pictures=pictures))
    if as_json:
        from vecsmith.reporting.facts import facts_of

        print_json(facts_of(report))
    elif not quiet:
        from vecsmith.reporting.pages.terminal import terminal_text

        print(terminal_text(report, width=shutil.get_terminal_size((120, 24)).columns), end="")
    for path in written:
        note(f"written to {path}", quiet=quiet or as_json)


def _parse_views(given: str | None, n_runs: int) -> list[View | None]:
    if given is None:
        return [None] * n_runs
    from vecsmith.results import Precision, View

    views: list[View | None] = []
    for part in given.split(","):
        match = _VIEW.fullmatch(part.strip())
        named = (match[2] or "float32") if match else ""
        precision = next((p for p in get_args(Precision) if p == named and p != "text"), None)
        if match is None or precision is None:
            raise typer.BadParameter(
                f'{part.strip()!r}, expected dims such as 64, or with a precision "64 int8"',
                param_hint="--view",
            )
        views.append(View(int(match[1]), precision))
    if len(views) not in (1, n_runs):
        raise typer.BadParameter(
            f"{len(views)} sizes for {n_runs} runs, expected one, or one for each",
            param_hint="--view",
        )
    return views * n_runs if len(views) == 1 else views


def _check_outputs(*paths: Path | None) -> None:
    """Raises before the work if a file cannot be written after it."""
    for path in paths:
        if path is not None and path.is_dir():
            raise typer.BadParameter(f"{path} is a folder, expected the name of a file")
        if path is not None and not path.parent.is_dir():
            raise typer.BadParameter(f"{path.parent}: no such folder")


def _neighbors(
    report: Report, results: Sequence[EvalResult], words: Sequence[str], folders: Sequence[Path]
) -> tuple[list[NeighborList], str]:
    """What the first run and its opponents return for some queries."""
    from vecsmith.cli._neighbors import read_neighbors

    models: dict[str, EvalResult] = {report.contenders[0].letter: results[0]}
    for place in report.opponents:
        contender = report.contenders[place]
        rival = results[place] if place < len(results) else _baseline(results[0], contender)
        if any(task.neighbors is not None for task in rival.tasks.values()):
            models[contender.letter] = rival
    if len(models) < 2:
        return [], "These models have run no retrieval set on the same texts."
    shown = dict(list(models.items())[:_MAX_SIDES])
    return read_neighbors(shown, words=words, folders=folders)


def _baseline(result: EvalResult, contender: Contender) -> EvalResult:
    """The baseline that a contender is."""
    wanted = (contender.name, contender.fingerprint)
    baselines = result.baselines.values()
    return next(each for each in baselines if (each.model, each.fingerprint) == wanted)


def _write(
    report: Report, html: Path | None, markdown: Path | None, *, pictures: bool
) -> Iterator[Path]:
    """Writes what was asked for; yields each file."""
    if html is None and markdown is None:
        return
    from vecsmith._files import atomic_file
    from vecsmith.reporting.pages.markdown import markdown_page
    from vecsmith.reporting.pages.page import html_page
    from vecsmith.reporting.pictures import draw_pictures

    drawn = list(draw_pictures(report)) if pictures else []
    if html is not None:
        page = html_page(report, {picture.title: picture.svg() for picture in drawn})
        with atomic_file(html, "w", encoding="utf-8") as file:
            file.write(page)
        yield html
    if markdown is not None:
        paths: dict[str, str] = {}
        for picture in drawn:
            path = markdown.with_name(f"{markdown.stem}-{picture.stem}.png")
            with atomic_file(path) as file:
                file.write(picture.png())
            paths[picture.title] = path.name
            yield path
        with atomic_file(markdown, "w", encoding="utf-8") as file:
            file.write(markdown_page(report, paths))
        yield markdown

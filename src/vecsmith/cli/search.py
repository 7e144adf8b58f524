"""`vecsmith search`: the texts of an index that are nearest to a question."""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vecsmith.cli._console import AsJson, Quiet, count, counted, note, one_line, print_json, size

if TYPE_CHECKING:
    from vecsmith._typing import Encoder
    from vecsmith.retrieval.index import Hits
    from vecsmith.retrieval.plan import SearchCost, SearchPlan
    from vecsmith.retrieval.text_index import TextHit, TextIndex

# Enough that rows are read once for many questions, few enough that answers come as they are made.
_QUESTIONS_AT_A_TIME = 256


def search(
    folder: Annotated[
        Path, typer.Argument(metavar="INDEX", help="Folder that vecsmith index wrote.")
    ],
    questions: Annotated[
        list[str] | None,
        typer.Argument(metavar="[QUERY]...", help="What to look for; none asks line by line."),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option("--file", help="File of queries, one a line, or with a column of them."),
    ] = None,
    k: Annotated[int, typer.Option("-k", "--k", min=1, help="How many texts to find.")] = 10,
    recall: Annotated[
        float | None,
        typer.Option(help="Share of the true neighbours to find (default: the index's)."),
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Score every text by its whole vector.")
    ] = False,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Say what each stage did, what it cost, how sure it is."),
    ] = False,
    model_place: Annotated[
        str | None, typer.Option("--model", help="Where the model of the index is now.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Torch device of a transformer (default: the index's).")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads to use (default: all cores).")
    ] = None,
    width: Annotated[
        int, typer.Option(min=0, help="Letters of a text that are shown; 0 for all.")
    ] = 200,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Find the texts of an index that are nearest to a query; prints score, id and text.

    Without a query, queries are read from standard input, one a line, and answered as they come.

    Examples:
      vecsmith search index/ "how do I raise an exception" -k 5
      vecsmith search index/ "how do I raise an exception" --explain
      vecsmith search index/ --file queries.txt --json > found.json
      vecsmith search index/
    """
    if questions and file is not None:
        raise typer.BadParameter("queries and --file are given together, expected one of them")
    if exact and recall is not None:
        raise typer.BadParameter("--exact finds all, expected it without --recall")
    started = time.perf_counter()
    from vecsmith.cli._indexes import model_of
    from vecsmith.retrieval.text_index import TextIndex

    index = TextIndex.open(folder)
    encoder = model_of(index, model_place, device=device)
    options: dict[str, Any] = {"recall": recall, "exact": exact, "n_threads": threads}
    seeker = _Seeker(index, encoder, k, options, opened=time.perf_counter() - started)
    if questions or file is not None:
        batches = _of_file(file) if file is not None else iter([questions or []])
        _answer_all(seeker, batches, width, explain=explain, quiet=quiet, as_json=as_json)
    else:
        _answer_lines(seeker, width, explain=explain, quiet=quiet, as_json=as_json)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What was found for some queries, and what it took."""

    queries: Sequence[str]
    hits: Hits
    found: list[list[TextHit]]
    encode_seconds: float
    search_seconds: float


class _Seeker:
    """An open index and its model."""

    def __init__(
        self, index: TextIndex, encoder: Encoder, k: int, options: dict[str, Any], *, opened: float
    ) -> None:
        self.index = index
        self.opened = opened
        self._encoder = encoder
        self._k = k
        self._options = options

    def ask(self, queries: Sequence[str]) -> _Answer:
        from vecsmith.evaluation.encoding import encode_role

        begin = time.perf_counter()
        vectors = encode_role(self._encoder, list(queries), "query")
        encoded = time.perf_counter()
        hits, found = self.index.search(vectors, self._k, **self._options)
        return _Answer(
            queries=queries,
            hits=hits,
            found=found,
            encode_seconds=encoded - begin,
            search_seconds=time.perf_counter() - encoded,
        )


def _of_file(file: str) -> Iterator[list[str]]:
    """The queries of a file, some at a time; a blank one is asked too, so that places stay."""
    from vecsmith.corpora.corpus import open_corpus
    from vecsmith.corpora.rows import Limits, kind_of
    from vecsmith.corpora.texts import texts_of
    from vecsmith.errors import FormatError

    column = texts_of(file).column
    for rows in open_corpus(file).read([column], limits=Limits(max_rows=_QUESTIONS_AT_A_TIME)):
        queries = []
        for i, value in enumerate(rows.columns[column]):
            if value is not None and not isinstance(value, str):
                raise FormatError(f"{rows.where(i)}: {kind_of(value)}, expected a query")
            queries.append(value or "")
        yield queries


def _answer_all(
    seeker: _Seeker,
    batches: Iterator[list[str]],
    width: int,
    *,
    explain: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Answers to all queries; as JSON one object when all are there."""
    facts: list[dict[str, Any]] = []
    answer: _Answer | None = None
    for queries in batches:
        answer = seeker.ask(queries)
        if as_json:
            facts += _query_facts(answer)
        else:
            _print(answer, width, with_queries=len(queries) > 1 or bool(facts))
            if explain:
                print(_explained(seeker, answer))
    if as_json:
        print_json(_facts(seeker, answer, facts))
    elif answer is None:
        note("no query", quiet=quiet)


def _answer_lines(
    seeker: _Seeker, width: int, *, explain: bool, quiet: bool, as_json: bool
) -> None:
    """Answers to queries as they come on standard input; as JSON an object a line."""
    if sys.stdin.isatty():
        note(f"{counted(len(seeker.index), 'text')}; a query a line, Ctrl-D ends", quiet=quiet)
    for line in _lines():
        query = line.strip()
        if not query:
            continue
        answer = seeker.ask([query])
        if as_json:
            json.dump(_query_facts(answer)[0], sys.stdout)
            sys.stdout.write("\n")
        else:
            _print(answer, width, with_queries=False)
            if explain:
                print(_explained(seeker, answer))
            print()
        sys.stdout.flush()


def _lines() -> Iterator[str]:
    """Lines of standard input; on a terminal with editing and those before at the up arrow."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        while line := sys.stdin.readline():  # one at a time: iterating would wait for many
            yield line
        return
    with suppress(ImportError):  # Windows has none, and edits lines by itself
        importlib.import_module("readline")
    with suppress(EOFError):
        while True:
            yield input("> ")


def _print(answer: _Answer, width: int, *, with_queries: bool) -> None:
    for query, hits in zip(answer.queries, answer.found, strict=True):
        if with_queries:
            print(f"{one_line(query)}:")
        for hit in hits:
            print(f"{hit.score:7.4f}  {one_line(str(hit.id))}  {_shown(hit.text, width)}")
        if not hits:
            print("nothing found")
        if with_queries:
            print()


def _shown(text: str, width: int) -> str:
    line = one_line(text if not width else text[: 4 * width])
    return line if not width or len(line) <= width else f"{line[: width - 1]}…"


def _explained(seeker: _Seeker, answer: _Answer) -> str:
    """The stages of a search, their costs, and how sure its recall is."""
    from vecsmith.cli.index import recall_words
    from vecsmith.results.rendering import align

    index, cost = seeker.index, answer.hits.cost
    lines = [["stage", "dims", "as", "rows scored", "kept", "multiply-adds", "bytes read"]]
    lines += [
        [
            f"{i + 1} {stage.stage.how}",
            f"{stage.stage.dim}",
            stage.stage.kind,
            f"{'about ' if stage.is_estimated else ''}{count(stage.n_rows)}",
            count(kept),
            count(stage.multiply_adds),
            size(stage.n_bytes),
        ]
        for i, (stage, kept) in enumerate(zip(cost.stages, _kept(cost), strict=True))
    ]
    full = len(index) * index.model.dim
    share = cost.multiply_adds / max(full, 1)
    about = "about " if cost.is_estimated else ""
    n_queries = len(answer.queries)
    told = [
        "",
        align(lines),
        "",
        f"a query: {about}{count(cost.multiply_adds)} multiply-adds, {size(cost.n_bytes)} read; "
        f"{100 * share:.3g} % of the multiply-adds of scoring all {counted(len(index), 'text')}",
        _recall_told(seeker, answer, recall_words),
        f"time: {1000 * seeker.opened:.0f} ms to open index and model, "
        f"{1000 * answer.encode_seconds / n_queries:.1f} ms a query to encode, "
        f"{1000 * answer.search_seconds / n_queries:.1f} ms to search and read texts",
        f"model: {index.model.name}",
    ]
    return "\n".join(told)


def _kept(cost: SearchCost) -> list[int]:
    """Rows that go on from each stage: those that the next one scores."""
    last = cost.stages[-1]
    return [stage.n_rows for stage in cost.stages[1:]] + [min(last.stage.keep, last.n_rows)]


def _recall_told(
    seeker: _Seeker, answer: _Answer, words: Callable[[Mapping[str, Any]], str]
) -> str:
    plan, info = answer.hits.plan, seeker.index.vectors.info
    if len(plan.stages) == 1 and plan.stages[0].how == "exact":
        return "recall: all, every text is scored by its whole vector"
    learnt = _learnt(seeker.index, plan)
    if learnt is None or learnt.recall is None:
        return "recall: not known of this plan"
    told = words(asdict(learnt.recall))
    if learnt.k != plan.k:
        told += f"; for {counted(learnt.k, 'hit')}"
    if info["n_learnt"] != len(seeker.index):
        told += f"; learnt at {counted(info['n_learnt'], 'text')}"
    return told


def _learnt(index: TextIndex, plan: SearchPlan) -> SearchPlan | None:
    """The learnt plan that `plan` is, for another number of hits or not."""

    def stages(of: SearchPlan, k: int) -> list[tuple[object, ...]]:
        grown = max(1.0, k / of.k)
        return [(s.dim, s.kind, s.how, s.effort, ceil(s.keep * grown)) for s in of.stages[:-1]]

    alike = (each for each in index.vectors.plans if stages(each, plan.k) == stages(plan, plan.k))
    return next(alike, None)


def _query_facts(answer: _Answer) -> list[dict[str, Any]]:
    return [
        {
            "query": query,
            "hits": [{"id": hit.id, "score": hit.score, "text": hit.text} for hit in hits],
        }
        for query, hits in zip(answer.queries, answer.found, strict=True)
    ]


def _facts(
    seeker: _Seeker, answer: _Answer | None, queries: list[dict[str, Any]]
) -> dict[str, Any]:
    """Answers, and how the last of them came about."""
    facts: dict[str, Any] = {
        "index": str(seeker.index.folder),
        "texts": len(seeker.index),
        "model": seeker.index.model.name,
        "queries": queries,
    }
    if answer is None:
        return facts
    cost, learnt = answer.hits.cost, _learnt(seeker.index, answer.hits.plan)
    recall = None if learnt is None else learnt.recall
    return facts | {
        "plan": str(answer.hits.plan),
        "recall": None if recall is None else asdict(recall),
        "cost": {
            "multiply_adds": cost.multiply_adds,
            "bytes": cost.n_bytes,
            "stages": [
                {**asdict(stage.stage), "rows": stage.n_rows, "multiply_adds": stage.multiply_adds,
                 "bytes": stage.n_bytes, "is_estimated": stage.is_estimated}
                for stage in cost.stages
            ],
        },
        "seconds": {
            "open": seeker.opened,
            "encode": answer.encode_seconds,
            "search": answer.search_seconds,
        },
    }  # fmt: skip

"""Texts -> an index, and an index -> one with more texts or fewer.

The one rule: an index appears when it is whole, and a change of it is seen when it is; until then
what was done lies in a partial folder beside it, and the same command goes on with it.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vecsmith import __version__
from vecsmith._resume import PartialFolder
from vecsmith.cli._console import count, counted
from vecsmith.cli._gathering import Gathered, Gathering, Source, open_source
from vecsmith.cli._indexes import model_of, open_model, record_of
from vecsmith.errors import FormatError, RunFailed
from vecsmith.evaluation.encoding import encode_role, fingerprint_of
from vecsmith.retrieval.text_index import TEXTS_FOLDER, TextIndex, is_text_index

if TYPE_CHECKING:
    from vecsmith._typing import Encoder, FloatArray
    from vecsmith.retrieval.texts import TextStore

_MOST_QUERIES = 2000
_BLOCK_OF_IDS = 2**15
_SHOWN_IDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How texts are read and encoded; see the options of the verb."""

    text_column: str | None
    id_column: str | None
    threads: int | None
    restart: bool
    quiet: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How vectors are kept and searched; see the options of the verb."""

    dtype: str
    recall: float
    k: int
    dims: list[int] | None
    approximate: str | None
    similarity: str
    queries: str | None


def build(
    model: str, texts: str, out: Path, reading: Reading, kept: Kept, options: dict[str, Any]
) -> dict[str, Any]:
    """Makes the index; what came of it.

    Args:
        model: What the user calls it.
        texts: What `open_source` takes.
        out: A folder that is not there yet, or is empty.
        reading: Of the texts.
        kept: Of the vectors.
        options: For a transformer.

    Raises:
        FormatError: If the model or the texts are broken.
        FileExistsError: If something is in `out`.
        RunFailed: If another process makes this index, or an unfinished run does not fit.
        ValueError: If what is asked for makes no sense.
        MissingExtraError: If a library that it takes is not installed.
    """
    started = time.perf_counter()
    _check_out(out)
    _check_kept(kept)
    source = open_source(texts, reading.text_column, reading.id_column)
    encoder, dim = open_model(model, **options)
    if kept.dims and max(kept.dims) > dim:
        raise ValueError(f"--dims {max(kept.dims)} of {model}, which has {dim}, expected at most "
                         f"{dim}")  # fmt: skip
    queries = None if kept.queries is None else _queries(kept.queries, encoder, dim)
    with PartialFolder(out) as partial:
        gathered = _gather(encoder, dim, source, partial, reading, half=kept.dtype != "float32")
        if not len(gathered.places):
            partial.discard_journal()
            raise FormatError(f"{source.corpus.name}: no text, expected one or more to index")
        folder = partial.path / "index"
        index = _index(folder, gathered, record_of(model, encoder, dim, options), queries, kept,
                       reading)  # fmt: skip
        partial.finish(folder)
    index = TextIndex.open(out)
    return {
        "index": str(out),
        "model": index.model.name,
        **_facts_of(gathered),
        "dim": dim,
        "dtype": kept.dtype,
        "bytes": index.n_bytes,
        "seconds": time.perf_counter() - started,
        **search_facts(index),
    }


def add(
    folder: Path,
    texts: str,
    reading: Reading,
    model_place: str | None,
    *,
    device: str | None = None,
) -> dict[str, Any]:
    """Adds texts to the index in `folder`; what came of it.

    Raises:
        FormatError: If the index or the texts are broken.
        RunFailed: If the model is another one, or another process is changing the index.
        ValueError: If one has ids and the other not.
    """
    started = time.perf_counter()
    source = open_source(texts, reading.text_column, reading.id_column)
    TextIndex.open(folder)  # that there is one, before a folder is made beside it
    with PartialFolder(folder.resolve()) as partial:
        index = TextIndex.open(folder)
        if source.name_kind != index.texts.name_kind:
            raise ValueError(_other_ids(folder, index, source))
        encoder = model_of(index, model_place, device=device)
        gathered = _gather(
            encoder, index.model.dim, source, partial, reading,
            half=index.vectors.info["dtype"] != "float32",
        )  # fmt: skip
        n_replaced = _add(index, gathered, partial)
        partial.discard_journal()
    return {
        "index": str(folder),
        **_facts_of(gathered),
        "replaced": n_replaced,
        "texts_in_index": len(index),
        "seconds": time.perf_counter() - started,
    }


def delete(folder: Path, file: str, reading: Reading) -> dict[str, Any]:
    """Takes the texts with the ids in `file` out of the index in `folder`; what came of it.

    Raises:
        FormatError: If the index or the file is broken.
        ValueError: If not one of the ids is in the index.
        RunFailed: If another process is changing the index.
    """
    TextIndex.open(folder)
    with PartialFolder(folder.resolve()) as partial:
        if partial.journal() is not None:
            raise RunFailed(
                f"{folder}: texts are being added to it by an unfinished run, expected it to end "
                "first: give its command again, or with --restart to give it up"
            )
        index = TextIndex.open(folder)
        names = _ids_in(file, reading.id_column)
        found = index.find(names)
        numbers = [every for every in found if every]
        if names and not numbers:
            raise ValueError(_none_of(names, file, folder, len(index)))
        absent = [name for name, every in zip(names, found, strict=True) if not every]
        gone = sorted({number for every in numbers for number in every})
        if gone:
            index.delete(gone)
    return {
        "index": str(folder),
        "deleted": len(gone),
        "not_in_index": len(absent),
        "absent_ids": absent[:_SHOWN_IDS],
        "texts_in_index": len(index),
    }


def search_facts(index: TextIndex) -> dict[str, Any]:
    """How an index is searched, and what recall that reached."""
    recall = index.vectors.plan.recall
    return {
        "plan": str(index.vectors.plan),
        "recall": None if recall is None else asdict(recall),
        "caution": "" if recall is None else recall.caution,
    }


def _index(
    folder: Path,
    gathered: Gathered,
    model: Any,
    queries: FloatArray | None,
    kept: Kept,
    reading: Reading,
) -> TextIndex:
    """The index of what was gathered, in a folder of the partial one."""
    import shutil

    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed while it wrote this
    folder.mkdir()
    # the gathered texts stay where they are: this may be killed, and then they are needed again
    _copy_links(gathered.texts.folder, folder / TEXTS_FOLDER)
    return TextIndex.make(
        folder,
        gathered.vectors,
        gathered.places,
        model,
        dtype=kept.dtype,
        recall=kept.recall,
        k=kept.k,
        dims=kept.dims,
        approximate=kept.approximate,
        similarity=kept.similarity,
        queries=queries,
        n_threads=reading.threads,
        show_progress_bar=not reading.quiet,
    )


def _copy_links(source: Path, target: Path) -> None:
    """A folder with the same files under a second name, or copies of them."""
    import os
    import shutil

    def link(one: str, other: str) -> None:
        try:
            os.link(one, other)
        except OSError:  # a file system without links
            shutil.copyfile(one, other)

    shutil.copytree(source, target, copy_function=link)


def _gather(
    encoder: Encoder,
    dim: int,
    source: Source,
    partial: PartialFolder,
    reading: Reading,
    *,
    half: bool,
) -> Gathered:
    """Texts and vectors of the source, in the partial folder."""
    work = {
        "input": {"fingerprint": source.corpus.fingerprint},
        "model": {"fingerprint": fingerprint_of(encoder), "dim": dim},
        "settings": {
            "text column": source.text_column,
            "id column": source.id_column,
            "16 bits": half,
            "vecsmith": __version__,
        },
    }
    if reading.restart or not fingerprint_of(encoder):
        partial.clear()
    gathering = Gathering(
        encoder,
        source,
        partial,
        work,
        dim=dim,
        half=half,
        threads=reading.threads,
        quiet=reading.quiet,
    )
    return gathering.finish()


def _add(index: TextIndex, gathered: Gathered, partial: PartialFolder) -> int:
    """Adds what was gathered; a run that was killed here goes on with what is missing."""
    from vecsmith._files import read_json, write_json

    path = partial.path / "adding.json"
    first = len(index.texts)
    if path.exists():
        found = read_json(path, max_bytes=2**16)
        said = found.get("first") if isinstance(found, dict) else None
        if not isinstance(said, int) or not 0 <= said <= first:
            raise FormatError(f"{path}: broken, --restart discards the unfinished run")
        if _are_there(gathered.texts, index.texts, said):
            return index.go_on_adding(said, gathered.vectors, gathered.places)
    write_json(path, {"first": first})
    return index.add(gathered.texts, gathered.vectors, gathered.places)


def _are_there(new: TextStore, texts: TextStore, first: int) -> bool:
    """Whether the texts from `first` on begin with the new ones, not with another writer's."""
    if len(texts) < first + len(new):
        return False
    return all(texts[first + i] == text for i, text in enumerate(new))


def _check_out(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"--out {out} is a file, expected a new folder; choose another name")
    if is_text_index(out):
        raise FileExistsError(
            f"--out {out} is an index already, expected a new folder; add texts to it with: "
            f"vecsmith index {out} --add FILE, or choose another folder"
        )
    if out.exists() and (names := sorted(path.name for path in out.iterdir())):
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        raise FileExistsError(
            f"--out {out} holds {', '.join(names[:3])}{more}, expected a new folder or an empty "
            "one; choose another folder"
        )
    if not out.absolute().parent.is_dir():
        raise ValueError(f"--out {out}: no folder {out.parent}, expected one that exists")


def _check_kept(kept: Kept) -> None:
    """Refuses before anything is read what would be refused when all texts are encoded.

    Raises:
        ValueError: If the recall is no share.
        MissingExtraError: If the graph or cells asked for need a library that is not there.
    """
    if not 0 < kept.recall <= 1:
        raise ValueError(f"--recall {kept.recall:g}, expected above 0 and at most 1, as in 0.99")
    if kept.approximate is not None:
        from vecsmith._extras import require

        require("faiss", extra="index", purpose="search by graphs and cells")


def _queries(file: str, encoder: Encoder, dim: int) -> FloatArray:
    """Vectors of the first questions of a file.

    Raises:
        FormatError: If there are fewer than two: one half is learnt from, the other judges.
        ValueError: If the model gives questions other vectors than texts.
    """
    from vecsmith.corpora.texts import texts_of

    questions: list[str] = []
    for batch in texts_of(file).batches():
        questions += batch
        if len(questions) >= _MOST_QUERIES:
            break
    if len(questions) < 2:
        raise FormatError(
            f"{file}: {len(questions) or 'no'} question, expected some hundreds to tune searches to"
        )
    vectors = encode_role(encoder, questions[:_MOST_QUERIES], "query")
    if vectors.shape[1] != dim:
        raise ValueError(
            f"{file}: the model gives questions {vectors.shape[1]} dims and texts {dim}, expected "
            "as many; index with a model of one length"
        )
    return vectors


def _ids_in(file: str, column: str | None) -> list[str]:
    from vecsmith.corpora.corpus import open_corpus

    corpus = open_corpus(file)
    if column is None:
        column = next((name for name in ("id", *corpus.columns) if name in corpus.columns), "id")
    ids: list[str] = []
    for rows in corpus.read([column]):
        ids += [str(value).strip() for value in rows.columns[column] if value is not None]
    return [each for each in dict.fromkeys(ids) if each]


def _facts_of(gathered: Gathered) -> dict[str, Any]:
    n_read = len(gathered.texts)
    return {
        "texts": len(gathered.places),
        "blank": n_read - len(gathered.places),
        "resumed_from": gathered.resumed_from,
        "texts_per_second": (n_read - gathered.resumed_from) / max(gathered.seconds, 1e-9),
    }


def _none_of(names: list[str], file: str, folder: Path, n_texts: int) -> str:
    """Why not one of the ids of a file is in an index."""
    shown = ", ".join(f"{name!r:.60}" for name in names[:_SHOWN_IDS])
    more = f" and {count(len(names) - _SHOWN_IDS)} more" if len(names) > _SHOWN_IDS else ""
    return (
        f"{file}: {counted(len(names), 'id')}, {shown}{more}, of which {folder} has none, expected "
        f"ids of its {counted(n_texts, 'text')}, one a line; of a table name the column with "
        "--id-column"
    )


def _other_ids(folder: Path, index: TextIndex, source: Source) -> str:
    """Why texts of one file do not go into an index of others, and what to do."""
    kinds = {"str": "strings as ids", "int": "whole numbers as ids", None: "no ids"}
    there, given = index.texts.name_kind, source.name_kind
    if there is None:
        remedy = "leave --id-column out, its texts are numbered on"
    elif source.id_column is None:
        remedy = "name the column of ids with --id-column"
    else:
        remedy = f"name a column of {kinds[there].removesuffix(' as ids')} with --id-column"
    return (
        f"{source.corpus.name} has {kinds[given]}, expected {kinds[there]} as {folder} has: "
        f"{remedy}"
    )

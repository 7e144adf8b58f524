"""`vecsmith encode`: a file of texts to a file of vectors, resumed where a killed run stopped."""

from __future__ import annotations

import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vecsmith._progress import progress_bar
from vecsmith.cli._console import AsJson, Quiet, count, counted, note, one_line, print_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vecsmith.cli._resume import PartialFolder
    from vecsmith.cli._texts import Chunk, TextFile
    from vecsmith.cli._vectors import VectorFile
    from vecsmith.model import StaticModel

# A kill costs at most a tenth of the work done or this much: an fsync of many rows takes long,
# one of few rows does not. Assumed, not measured.
_MIN_SECONDS_AT_RISK, _MAX_SECONDS_AT_RISK = 0.25, 5.0
_MAX_ROWS = 2**15
_MAX_CHUNK_VECTOR_BYTES = 64 * 2**20

OutputDtype = Literal["float32", "float16", "int8"]
InputFormat = Literal["txt", "jsonl", "csv", "tsv", "parquet"]


def encode(
    model: Annotated[str, typer.Argument(help="Folder or Hub id of a static model.")],
    texts: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="A .txt, .jsonl, .csv, .tsv (all also .gz) or .parquet; - is stdin.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The .npy or .parquet file to write.")],
    column: Annotated[
        str, typer.Option(help="Field of jsonl, column of csv and parquet, that holds the text.")
    ] = "text",
    input_format: Annotated[
        InputFormat | None,
        typer.Option("--format", help="Format of INPUT if its name does not say."),
    ] = None,
    dim: Annotated[
        int | None,
        typer.Option("--dim", "--truncate-dim", min=1, help="Keep this many first dimensions."),
    ] = None,
    dtype: Annotated[OutputDtype, typer.Option(help="Type of the numbers written.")] = "float32",
    max_length: Annotated[
        int | None,
        typer.Option(min=1, help="Tokens of a text that count (default: the model's)."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads to use (default: all cores).")
    ] = None,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Texts given to the engine at a time.")
    ] = 1024,
    keep_text: Annotated[
        bool, typer.Option("--keep-text", help="Write the texts beside the vectors (parquet).")
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Discard an unfinished run instead of going on.")
    ] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Encode a file of texts, one vector a row, in the order of the file.

    After a kill, the same command goes on where it stopped.

    Examples:
      vecsmith encode minilm-256 texts.txt --out vectors.npy
      vecsmith encode minilm-256 reviews.csv --column review --out reviews.parquet --keep-text
      zcat big.txt.gz | vecsmith encode minilm-256 - --out big.npy --dim 128 --dtype float16
    """
    settings = _Settings(
        column=column,
        dim=dim,
        dtype=dtype,
        max_length=max_length,
        threads=threads,
        batch_size=batch_size,
        keep_text=keep_text,
    )
    result = _encode_file(
        model, texts, out, settings, text_format=input_format, restart=restart, quiet=quiet
    )
    if as_json:
        print_json(result)
    elif not quiet:
        resumed = f", {counted(result['resumed_from'], 'row')} from the run before"
        print(
            f"{out}: {count(result['rows'])} x {result['dim']} {dtype} in "
            f"{result['seconds']:.1f} s ({count(round(result['texts_per_second']))} texts a second)"
            + (resumed if result["resumed_from"] else "")
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settings:
    column: str
    dim: int | None
    dtype: OutputDtype
    max_length: int | None
    threads: int | None
    batch_size: int
    keep_text: bool

    def that_shape_the_output(self, source: TextFile, kind: str) -> dict[str, Any]:
        """What must not change between a killed run and the one that goes on."""
        from vecsmith import __version__

        columns = {} if source.format == "txt" else {"column": self.column}
        return {
            **columns,
            "format": source.format,
            "dim": self.dim,
            "dtype": self.dtype,
            "max_length": self.max_length,
            "keep_text": self.keep_text,
            "output": kind,
            "vecsmith": __version__,
        }

    def encode_options(self) -> dict[str, Any]:
        """Arguments for `StaticModel.encode`; what is None is left to the model."""
        options: dict[str, Any] = {
            "truncate_dim": self.dim,
            "n_threads": self.threads,
            "batch_size": self.batch_size,
            "dtype": self.dtype,
        }
        if self.max_length is not None:
            options["max_length"] = self.max_length
        return options


def _encode_file(
    model_name: str,
    texts: str,
    out: Path,
    settings: _Settings,
    *,
    text_format: InputFormat | None,
    restart: bool,
    quiet: bool,
) -> dict[str, Any]:
    from vecsmith.cli._resume import PartialFolder
    from vecsmith.cli._texts import text_file
    from vecsmith.model import StaticModel

    kind = _output_kind(out, settings)
    source = text_file(texts, text_format=text_format)
    if source.path is not None and out.exists() and out.samefile(source.path):
        raise ValueError(f"--out {out} is the input itself, expected another file")
    model = StaticModel.from_pretrained(model_name)
    if settings.dim is not None and settings.dim > model.dim:
        raise ValueError(f"--dim {settings.dim}, expected at most the model's {model.dim}")
    with PartialFolder(out) as partial:
        work = {
            "input": source.identity(),
            "model": {"sha256": _model_sha256(model)},
            "settings": settings.that_shape_the_output(source, kind),
        }
        if restart or not source.is_resumable:
            partial.clear()
        run = _Run(model, source, partial, work, settings, quiet=quiet)
        return {"model": model_name, "input": texts, "out": str(out), **run.finish()}


def _output_kind(out: Path, settings: _Settings) -> str:
    kind = out.suffix.lower()
    if kind not in (".npy", ".parquet"):
        raise ValueError(f"--out {out} ends in {kind or 'nothing'!r}, expected .npy or .parquet")
    if out.is_dir():
        raise ValueError(f"--out {out} is a folder, expected a file")
    if not out.parent.is_dir():
        raise ValueError(f"--out {out}: no folder {out.parent}, expected one that exists")
    if settings.keep_text and kind != ".parquet":
        raise ValueError(
            f"--keep-text with --out {out}, expected a .parquet file: .npy holds no text"
        )
    return kind


def _model_sha256(model: StaticModel) -> str:
    """A hash of all that decides the model's vectors."""
    import hashlib

    import numpy as np

    checkpoint = model.checkpoint
    digest = hashlib.sha256()
    for array in checkpoint.arrays:
        if array is None:
            digest.update(b"none")
            continue
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data.cast("B"))
    rest = (
        checkpoint.tokenizer_json,
        checkpoint.normalize,
        checkpoint.unknown,
        checkpoint.max_length,
        sorted(checkpoint.prompts.items()),
        checkpoint.default_prompt_name,
        *((checkpoint.dim,) if checkpoint.table_dtype == "int4" else ()),  # arrays do not tell it
    )
    digest.update(repr(rest).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class _Done:
    """How far a run is; one value, so that an interrupt never sees half of a step."""

    rows: int
    parts: int
    position: dict[str, int] | None

    def with_chunk(self, chunk: Chunk) -> _Done:
        """After `chunk` too has been written."""
        n_rows = len(chunk.texts)
        return _Done(self.rows + n_rows, self.parts + bool(n_rows), chunk.position)


class _Run:
    """One encoding of one input, new or gone on with."""

    def __init__(
        self,
        model: StaticModel,
        source: TextFile,
        partial: PartialFolder,
        work: dict[str, Any],
        settings: _Settings,
        *,
        quiet: bool,
    ) -> None:
        import numpy as np

        self.model = model
        self.source = source
        self.partial = partial
        self.work = work
        self.settings = settings
        self.quiet = quiet
        self.dim = settings.dim or model.dim
        self.dtype = np.dtype(settings.dtype)
        self.max_rows = max(
            1, min(_MAX_ROWS, _MAX_CHUNK_VECTOR_BYTES // (self.dim * self.dtype.itemsize))
        )
        journal = self._matching_journal()
        self._done = _Done(0, 0, None)
        if journal:
            self._done = _Done(journal["rows"], journal["parts"], journal["position"])
        self.resumed_from = self._done.rows
        self.file = self._open_file()

    def finish(self) -> dict[str, Any]:
        """Encodes what is left and puts the file in place; the figures of this run."""
        started = time.perf_counter()
        try:
            self._encode_rest()
            self._check_unchanged()
            finished = self.file.finish()
        except BaseException as error:
            self._stop(error)
            if isinstance(error, OSError) and error.errno and error.filename is None:
                # a write that finds the disk full does not know its file
                told = error.strerror or type(error).__name__
                if self.source.is_resumable:
                    told += "; what is done is kept, the same command goes on with it"
                raise OSError(error.errno, told, str(self.partial.target)) from error
            raise
        self.partial.finish(finished)
        seconds = time.perf_counter() - started
        return {
            "rows": self._done.rows,
            "dim": self.dim,
            "dtype": self.settings.dtype,
            "resumed_from": self.resumed_from,
            "seconds": seconds,
            "texts_per_second": (self._done.rows - self.resumed_from) / max(seconds, 1e-9),
        }

    def _matching_journal(self) -> dict[str, Any] | None:
        from vecsmith.cli._resume import differences
        from vecsmith.errors import RunFailed

        journal = self.partial.journal()
        if journal is None:
            self.partial.clear()
            return None
        if changes := differences(journal, self.work):
            raise RunFailed(
                f"{self.partial.target}: an unfinished run of {counted(journal['rows'], 'row')} "
                f"does not fit this command: {'; '.join(changes)}; give the same command to go on "
                "with it, or --restart to discard it"
            )
        note(
            f"going on after {counted(journal['rows'], 'row')} of an unfinished run",
            quiet=self.quiet,
        )
        return journal

    def _open_file(self) -> VectorFile:
        from vecsmith.cli._vectors import NpyFile, ParquetFile

        if self.work["settings"]["output"] == ".npy":
            return NpyFile(self.partial.path, dim=self.dim, dtype=self.dtype, rows=self._done.rows)
        return ParquetFile(
            self.partial.path,
            dim=self.dim,
            dtype=self.dtype,
            rows=self._done.rows,
            n_parts=self._done.parts,
            keep_text=self.settings.keep_text,
        )

    def _encode_rest(self) -> None:
        import numpy as np

        from vecsmith.cli._texts import read_chunks

        options = self.settings.encode_options()
        buffer = np.empty((self.max_rows, self.dim), self.dtype)
        started = written = time.monotonic()
        chunks = read_chunks(
            self.source,
            column=self.settings.column,
            start=self._done.position,
            max_rows=self.max_rows,
        )
        title, n_bytes = one_line(f"encoding {self.source.name}"), self.source.n_bytes
        n_bytes_read = 0
        with closing(chunks), progress_bar(title, total=n_bytes, show=not self.quiet) as advance:
            for chunk in chunks:
                if chunk.texts:
                    vectors: NDArray[Any] = buffer[: len(chunk.texts)]
                    self.model.encode(chunk.texts, out=vectors, **options)
                    self.file.append(chunk.texts, vectors)
                self._done = self._done.with_chunk(chunk)
                now = time.monotonic()
                rate = (self._done.rows - self.resumed_from) / max(now - started, 1e-9)
                advance(
                    chunk.n_bytes_read - n_bytes_read,
                    f"{count(self._done.rows)} rows, {count(round(rate))}/s",
                )
                n_bytes_read = chunk.n_bytes_read
                at_risk = (now - started) / 10
                if now - written > min(max(at_risk, _MIN_SECONDS_AT_RISK), _MAX_SECONDS_AT_RISK):
                    self._checkpoint()
                    written = time.monotonic()

    def _checkpoint(self) -> None:
        done = self._done
        if not self.source.is_resumable or done.position is None:
            return
        self.file.sync()
        self.partial.write_journal(
            {**self.work, "parts": done.parts}, rows=done.rows, position=done.position
        )

    def _check_unchanged(self) -> None:
        from vecsmith.errors import RunFailed

        if self.source.identity() != self.work["input"]:
            raise RunFailed(
                f"{self.source.name} changed while it was read, expected a file at rest; "
                "give the command again to encode it anew"
            )

    def _stop(self, error: BaseException) -> None:
        """Leaves behind what the same command can go on with, and nothing else."""
        interrupted = isinstance(error, KeyboardInterrupt)
        # a broken input or a wrong setting will not be right the next time
        if isinstance(error, (KeyboardInterrupt, OSError, MemoryError)):
            # a full disk may have no room for the journal either: the one before stands
            with suppress(Exception):
                self._checkpoint()
        else:
            self.partial.discard_journal()
        with suppress(OSError):
            self.file.close()
        if interrupted and self.source.is_resumable:
            raise KeyboardInterrupt("the same command goes on from here") from None
        if interrupted:
            raise KeyboardInterrupt(
                f"{self.source.name} cannot be read twice, nothing is kept"
            ) from None

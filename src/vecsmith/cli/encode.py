"""`vecsmith encode`: a file of texts to a file of vectors, resumed where a killed run stopped."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vecsmith.cli._console import AsJson, Quiet, count, counted, note, one_line, print_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vecsmith._file_run import Block, Done
    from vecsmith._resume import PartialFolder
    from vecsmith.cli._texts import TextFile
    from vecsmith.cli._vectors import VectorFile
    from vecsmith.model import StaticModel

_MAX_ROWS = 2**15
_MAX_CHUNK_VECTOR_BYTES = 64 * 2**20

OutputDtype = Literal["float32", "float16", "int8", "binary", "ubinary"]
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

    def line_options(self) -> dict[str, Any]:
        """How lines of a file become vectors; what is None is left to the model."""
        options: dict[str, Any] = {
            "truncate_dim": self.dim,
            "n_threads": self.threads,
            "dtype": self.dtype,
        }
        if self.max_length is not None:
            options["max_length"] = self.max_length
        return options

    def encode_options(self) -> dict[str, Any]:
        """Arguments for `StaticModel.encode`; what is None is left to the model."""
        return {**self.line_options(), "batch_size": self.batch_size}


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
    from vecsmith._file_run import FileRun
    from vecsmith._resume import PartialFolder
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
        run = FileRun(source, partial, work, restart="--restart")
        if run.resumed_from:
            rows = counted(run.resumed_from, "row")
            note(f"going on after {rows} of an unfinished run", quiet=quiet)
        writer = _Writer(model, source, partial, settings)
        file = writer.open(kind, run.done)
        seconds = run.finish(
            file,
            writer.blocks(file, run.done),
            label=one_line(f"encoding {source.name}"),
            show_progress_bar=not quiet,
        )
    return {
        "model": model_name,
        "input": texts,
        "out": str(out),
        "rows": run.done.rows,
        "dim": writer.dim,
        "dtype": settings.dtype,
        "resumed_from": run.resumed_from,
        "seconds": seconds,
        "texts_per_second": (run.done.rows - run.resumed_from) / max(seconds, 1e-9),
    }


def _output_kind(out: Path, settings: _Settings) -> str:
    from vecsmith._files import ending_of

    kind = out.suffix.lower()
    if kind not in (".npy", ".parquet"):
        raise ValueError(f"--out {out} {ending_of(kind)}, expected .npy or .parquet")
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


class _Writer:
    """Where the vectors of one run go, and what makes them."""

    def __init__(
        self, model: StaticModel, source: TextFile, partial: PartialFolder, settings: _Settings
    ) -> None:
        from vecsmith._outputs import columns_of

        self.model = model
        self.source = source
        self.folder = partial.path
        self.settings = settings
        self.dim = settings.dim or model.dim
        self.n_columns, self.dtype = columns_of(self.dim, settings.dtype)
        self.max_rows = max(
            1, min(_MAX_ROWS, _MAX_CHUNK_VECTOR_BYTES // (self.n_columns * self.dtype.itemsize))
        )

    def open(self, kind: str, done: Done) -> VectorFile:
        """The file of vectors, as far as it is."""
        from vecsmith._npy_file import NpyFile
        from vecsmith.cli._vectors import ParquetFile

        if kind == ".npy":
            return NpyFile(self.folder, dim=self.n_columns, dtype=self.dtype, rows=done.rows)
        return ParquetFile(
            self.folder,
            dim=self.n_columns,
            dtype=self.dtype,
            rows=done.rows,
            n_parts=done.parts,
            keep_text=self.settings.keep_text,
        )

    def blocks(self, file: VectorFile, done: Done) -> Generator[Block]:
        """Writes what is left to `file`."""
        from vecsmith._encoding import LineFile
        from vecsmith._npy_file import NpyFile

        path = self.source.path
        is_lines = self.source.format == "txt" and not self.source.compressed
        if is_lines and path is not None and self.source.is_resumable and isinstance(file, NpyFile):
            job = self.model._line_job(**self.settings.line_options())
            return job.blocks(LineFile(path), file, done.position)
        return self._blocks_of_texts(file, done)

    def _blocks_of_texts(self, file: VectorFile, done: Done) -> Generator[Block]:
        import numpy as np

        from vecsmith._file_run import Block
        from vecsmith.cli._texts import read_chunks

        options = self.settings.encode_options()
        buffer = np.empty((self.max_rows, self.n_columns), self.dtype)
        chunks = read_chunks(
            self.source,
            column=self.settings.column,
            start=done.position,
            max_rows=self.max_rows,
        )
        with closing(chunks):
            for chunk in chunks:
                if chunk.texts:
                    vectors: NDArray[Any] = buffer[: len(chunk.texts)]
                    self.model.encode(chunk.texts, out=vectors, **options)
                    file.append(chunk.texts, vectors)
                yield Block(len(chunk.texts), chunk.position, chunk.n_bytes_read)

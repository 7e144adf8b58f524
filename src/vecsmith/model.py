"""A static model: a text is the mean of its tokens' rows.

One rule: a `StaticModel` never changes after it is made, so any number of threads may use one.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypedDict, Unpack, overload

import numpy as np

from vecsmith._encoding import (
    LineFile,
    LineJob,
    TextEncoder,
    check_lines,
    check_target,
    write_line_vectors,
)
from vecsmith._outputs import OutputDtype, OutputRows, Vectors, checked_dtype
from vecsmith._progress import progress_bar
from vecsmith._similarity import similarity, similarity_pairwise
from vecsmith._spellings import accepts_peer_spellings
from vecsmith._texts import (
    PromptedTexts,
    Texts,
    check_strings,
    chunks_of,
    count_of,
    strings_of,
    with_prompt,
)
from vecsmith._typing import FloatArray, PathLike, TableDtype
from vecsmith.compression import with_dtype
from vecsmith.formats import Checkpoint, open_checkpoint, write_checkpoint
from vecsmith.formats.tokenizer_json import stored_tokenizer
from vecsmith.tokenizer import Tokenizer, checked_threads

# The engine is called for so many batches at a time: seldom enough that starting threads costs
# little, and so few texts that they stay in the processor's caches from one look to the next
# (16 batches took 1.5 times as long for strings of 60 bytes).
_BATCHES_PER_CALL: Final = 4
# To be raised with every change of the engine or of this file after which the same model gives
# other vectors: it is part of the fingerprint, so figures kept from before go out of use.
ENCODING_VERSION: Final = 2


class _ModelDefault:
    """Stands for "what the model says" where None means something else."""

    def __repr__(self) -> str:
        return "<the model's>"


MODEL_DEFAULT: Final = _ModelDefault()
MaxLength = int | None | _ModelDefault


class EncodeOptions(TypedDict, total=False):
    """Keyword arguments of `StaticModel.encode`."""

    batch_size: int
    max_length: MaxLength
    truncate_dim: int | None
    normalize: bool | None
    dtype: OutputDtype
    out: Vectors | None
    n_threads: int | None
    show_progress_bar: bool


class StaticModel:
    """Static text embeddings.

    Example:
        >>> model = StaticModel.from_pretrained("minilm-256")
        >>> model.encode(["It's dangerous to go alone!"]).shape
        (1, 256)
    """

    @accepts_peer_spellings
    def __init__(self, checkpoint: Checkpoint | PathLike) -> None:
        """Makes a model of plain values, or opens one as `from_pretrained` does.

        Raises:
            FormatError: If the tokenizer is broken.
            ValueError: If the tokenizer gives ids that the table has no row for.
        """
        if not isinstance(checkpoint, Checkpoint):
            checkpoint = open_checkpoint(checkpoint)
        self._checkpoint = checkpoint
        self._tokenizer = Tokenizer(checkpoint.tokenizer_json)
        self._encoder = TextEncoder(checkpoint, self._tokenizer)
        self._default_prompt = checkpoint.default_prompt_name
        self._dim = checkpoint.dim
        self._settings = self._encoder.settings(
            max_length=self._length(MODEL_DEFAULT),
            dim=self._dim,
            normalize=checkpoint.normalize,
        )
        self._fingerprint: str | None = None

    @classmethod
    @accepts_peer_spellings
    def from_pretrained(
        cls,
        source: PathLike,
        *,
        subfolder: str | None = None,
        revision: str | None = None,
        token: str | None = None,
        cache_folder: PathLike | None = None,
        local_files_only: bool = False,
        normalize: bool | None = None,
        max_length: MaxLength = MODEL_DEFAULT,
        truncate_dim: int | None = None,
        dtype: TableDtype | None = None,
    ) -> StaticModel:
        """Opens a model of ours, of model2vec or of sentence-transformers.

        Args:
            source: Folder, word2vec or GloVe text file, or Hub id such as "org/name". What is on
                disk or in the Hub's cache is opened without the network.
            subfolder: Folder inside `source` that holds the model.
            revision: Branch, tag or commit on the Hub.
            token: Access token of the Hub.
            cache_folder: Cache of the Hub; None for the usual one.
            local_files_only: Whether to stay off the network.
            normalize: Whether texts get unit vectors; None for what the model says.
            max_length: Tokens of a text that count, None for all; as the model says by default.
            truncate_dim: Prefix of the rows to keep; None for all.
            dtype: Type to round the table to; None to leave it as it is.

        Raises:
            FormatError: If a file is broken; the message names file and field.
            HubError: If the model cannot be found or downloaded.
            ValueError: If an argument makes no sense for this model.
        """
        checkpoint = open_checkpoint(
            source,
            subfolder=subfolder,
            revision=revision,
            token=token,
            cache_folder=cache_folder,
            local_files_only=local_files_only,
        )
        if normalize is not None:
            checkpoint = replace(checkpoint, normalize=normalize)
        if not isinstance(max_length, _ModelDefault):
            checkpoint = replace(checkpoint, max_length=_checked_length(max_length))
        if truncate_dim is not None:
            checkpoint = checkpoint.truncated(_checked_dim(truncate_dim, checkpoint.dim))
        if dtype is not None:
            checkpoint = with_dtype(checkpoint, dtype)
        return cls(checkpoint)

    def save_pretrained(self, path: PathLike, *, model_name: str | None = None) -> None:
        """Writes a folder that vecsmith, model2vec and sentence-transformers open.

        The folder is written whole or not at all; a model that is there is replaced. A model of
        dtype int4 is for vecsmith alone, and the others say that they find none.

        Args:
            path: The folder.
            model_name: Name in the model card; the folder's own if None.

        Raises:
            FileExistsError: If the folder holds something that is not a model.
            OSError: If it cannot be written.
        """
        checkpoint = self._checkpoint
        if model_name is not None:
            checkpoint = replace(checkpoint, card={**checkpoint.card, "model_name": model_name})
        write_checkpoint(path, checkpoint)

    def push_to_hub(
        self, repo_id: str, *, token: str | None = None, private: bool | None = None
    ) -> str:
        """Uploads the model to the Hub and returns its address.

        Raises:
            HubError: If it cannot be uploaded.
            MissingExtraError: If huggingface_hub is not installed.
        """
        from vecsmith.formats import push_checkpoint

        return push_checkpoint(repo_id, self._checkpoint, token=token, private=private)

    @accepts_peer_spellings
    def encode(
        self,
        texts: Texts,
        *,
        batch_size: int = 1024,
        max_length: MaxLength = MODEL_DEFAULT,
        truncate_dim: int | None = None,
        normalize: bool | None = None,
        dtype: OutputDtype = "float32",
        out: Vectors | None = None,
        n_threads: int | None = None,
        show_progress_bar: bool = False,
    ) -> Vectors:
        """Vectors of `texts`: shape [D] for a str, [N, D] for anything that holds N of them.

        A text without known tokens, the empty one among them, gives zeros. A lone surrogate counts
        as U+FFFD. Results do not depend on `batch_size` and `n_threads`.

        Args:
            texts: A str; or a list, numpy or Arrow array, or any iterable of str.
            batch_size: Texts per step of the progress bar; a call of the engine takes four.
            max_length: Tokens of a text that count, None for all.
            truncate_dim: Prefix length D; None for all of the model's dimensions.
            normalize: Whether to scale to unit length, after the prefix is cut; None for what the
                model says.
            dtype: "float32"; "float16"; "int8", where each vector is scaled so that its largest
                entry is 127 in size: use it with cosine similarity; or "ubinary" or "binary", a bit
                for each entry above zero, eight in a uint8 or, less 128, in an int8, as
                sentence-transformers packs them: use them with the Hamming distance.
            out: Array to fill and return, [N, D] of `dtype` or [N, ceil(D / 8)] bytes,
                C-contiguous and aligned.
            n_threads: Threads to use; None for the cores that no other call of this process uses,
                one at least. A tokenizer that is not native uses those of the `tokenizers`
                package beside.
            show_progress_bar: Whether to show one, if this is a terminal.

        Raises:
            TypeError: If a text is not a str; the message says which.
            ValueError: If an argument is out of range or `out` does not fit.
        """
        if (
            type(texts) is str
            and self._default_prompt is None
            and dtype == "float32"
            and max_length is MODEL_DEFAULT
            and truncate_dim is None
            and normalize is None
            and out is None
            and n_threads is None
            and batch_size > 0
        ):
            # A fifth of what the general way takes, which is longer than the work itself.
            vector = np.empty(self._dim, dtype=np.float32)
            self._encoder.write_one(texts, vector, self._settings)
            return vector
        if isinstance(texts, PromptedTexts):
            texts = texts.texts
        elif self._default_prompt is not None:
            texts = self._with_prompt(texts, prompt_name=self._default_prompt).texts
        return self._encode(
            texts,
            batch_size=batch_size,
            max_length=max_length,
            truncate_dim=truncate_dim,
            normalize=normalize,
            dtype=dtype,
            out=out,
            n_threads=n_threads,
            show_progress_bar=show_progress_bar,
        )

    @accepts_peer_spellings
    def encode_query(self, texts: Texts, **options: Unpack[EncodeOptions]) -> Vectors:
        """Vectors of `texts` with the model's prompt for queries, if it has one; as `encode`."""
        return self._encode_as(("query",), texts, options)

    @accepts_peer_spellings
    def encode_document(self, texts: Texts, **options: Unpack[EncodeOptions]) -> Vectors:
        """Vectors of `texts` with the model's prompt for documents, if it has one; as `encode`."""
        return self._encode_as(("document", "passage", "corpus"), texts, options)

    def encode_file(
        self,
        path: PathLike,
        out: PathLike,
        *,
        max_length: MaxLength = MODEL_DEFAULT,
        truncate_dim: int | None = None,
        normalize: bool | None = None,
        dtype: OutputDtype = "float32",
        n_threads: int | None = None,
        restart: bool = False,
        show_progress_bar: bool = False,
    ) -> Vectors:
        """Vectors of the lines of a text file, [N, D], written to a `.npy` file and mapped from it.

        Lines end in a newline or with the file and are what `encode` would get of them; bytes that
        are not UTF-8 count as U+FFFD. The file is mapped and no line becomes a str, so memory does
        not grow with it; it must not change meanwhile. `out` appears whole or not at all, and the
        same call goes on with a run that was interrupted.

        Args:
            path: The text file, one text a line; names of tables (.csv, .jsonl, ...) are refused.
            out: The `.npy` file to write.
            max_length: As in `encode`, like the rest but for `restart`.
            truncate_dim: Prefix length D.
            normalize: Whether to scale to unit length.
            dtype: Type of the vectors.
            n_threads: Threads to use.
            restart: Whether to discard an unfinished run instead of going on with it.
            show_progress_bar: Whether to show one, if this is a terminal.

        Raises:
            FormatError: If the file is not UTF-8 text by its first bytes, or gets shorter.
            OSError: If a file cannot be read or written.
            RunFailed: If another process writes `out`, if the file changed while it was read, or
                if an unfinished run was of something else.
            ValueError: If an argument is out of range.
        """
        check_lines(Path(path))
        source, target = LineFile(Path(path)), Path(out)
        check_target(target, source)
        job = self._line_job(
            max_length=max_length,
            truncate_dim=truncate_dim,
            normalize=normalize,
            dtype=dtype,
            n_threads=n_threads,
        )
        is_normal = self.normalize if normalize is None else normalize
        write_line_vectors(
            source,
            target,
            job,
            model={
                "sha256": self.fingerprint,
                "max_length": self._length(max_length),
                "normalize": is_normal,
            },
            restart=restart,
            show_progress_bar=show_progress_bar,
        )
        vectors: Vectors = np.load(target, mmap_mode="r")
        return vectors

    @overload
    def encode_tokens(  # type: ignore[overload-overlap]  # a str is an iterable of str
        self, texts: str, *, max_length: MaxLength = ..., truncate_dim: int | None = ...
    ) -> FloatArray: ...

    @overload
    def encode_tokens(
        self, texts: Iterable[str], *, max_length: MaxLength = ..., truncate_dim: int | None = ...
    ) -> list[FloatArray]: ...

    @accepts_peer_spellings  # type: ignore[misc]  # mypy takes the texts for positional-only
    def encode_tokens(
        self,
        texts: Texts,
        *,
        max_length: MaxLength = MODEL_DEFAULT,
        truncate_dim: int | None = None,
    ) -> FloatArray | list[FloatArray]:
        """Vectors of the tokens of each text, float32, shape [T, D], unnormalised.

        Their mean is the text's vector before normalisation. Tokens that do not count (the unknown
        one in most models) are left out.

        Args:
            texts: A str gives one array, anything that holds several gives a list.
            max_length: Tokens of a text that count, None for all.
            truncate_dim: Prefix length D; None for all.
        """
        if isinstance(texts, str):
            return self.encode_tokens([texts], max_length=max_length, truncate_dim=truncate_dim)[0]
        length = self._length(max_length)
        dim = _checked_dim(truncate_dim, self.dim)
        vectors: list[FloatArray] = []
        for chunk in chunks_of(texts, 1024):
            check_strings(chunk, len(vectors))
            ids, offsets = self._tokenizer.encode_batch(strings_of(chunk), max_length=length)
            for begin, end in pairwise(offsets):
                kept = ids[begin:end]
                if self._encoder.dropped_id is not None:
                    kept = kept[kept != self._encoder.dropped_id]
                vectors.append(self._checkpoint.vectors_of(kept, dim))
        return vectors

    @overload
    def tokenize(  # type: ignore[overload-overlap]  # a str is an iterable of str
        self, texts: str, *, max_length: int | None = ...
    ) -> list[int]: ...

    @overload
    def tokenize(
        self, texts: Iterable[str], *, max_length: int | None = ...
    ) -> list[list[int]]: ...

    @accepts_peer_spellings  # type: ignore[misc]  # as above
    def tokenize(
        self, texts: Texts, *, max_length: int | None = None
    ) -> list[int] | list[list[int]]:
        """Token ids of each text, the unknown token included, all of them by default."""
        if isinstance(texts, str):
            return self.tokenize([texts], max_length=max_length)[0]
        length = _checked_length(max_length)
        lists: list[list[int]] = []
        for chunk in chunks_of(texts, 4096):
            check_strings(chunk, len(lists))
            ids, offsets = self._tokenizer.encode_batch(strings_of(chunk), max_length=length)
            flat, at = ids.tolist(), offsets.tolist()
            lists.extend(flat[begin:end] for begin, end in pairwise(at))
        return lists

    @accepts_peer_spellings
    def similarity(self, a: Vectors, b: Vectors) -> FloatArray:
        """The model's similarity of each row of `a` [N, D] with each of `b` [M, D], shape [N, M].

        Cosine unless the model says otherwise; for distances, their negatives. A single vector
        counts as one row.

        Raises:
            ValueError: If the vectors differ in length.
        """
        return similarity(a, b, kind=self._checkpoint.similarity)

    @accepts_peer_spellings
    def similarity_pairwise(self, a: Vectors, b: Vectors) -> FloatArray:
        """The model's similarity of row i of `a` [N, D] with row i of `b` [N, D], shape [N].

        Raises:
            ValueError: If the shapes differ.
        """
        return similarity_pairwise(a, b, kind=self._checkpoint.similarity)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self._checkpoint.dim

    def get_embedding_dimension(self) -> int:
        """Length of a vector, as sentence-transformers asks for it."""
        return self.dim

    get_sentence_embedding_dimension = get_embedding_dimension

    @property
    def normalize(self) -> bool:
        """Whether vectors of texts have unit length."""
        return self._checkpoint.normalize

    @property
    def max_length(self) -> int | None:
        """Tokens of a text that count, None for all."""
        return self._checkpoint.max_length

    @property
    def prompts(self) -> Mapping[str, str]:
        """Texts put before an input, by name; read-only."""
        return MappingProxyType(dict(self._checkpoint.prompts))

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer."""
        return self._tokenizer

    @property
    def vocab_size(self) -> int:
        """How many different tokens there are."""
        return self._tokenizer.vocab_size

    @property
    def fingerprint(self) -> str:
        """Hash of all that vectors of texts depend on: the same wherever a model was opened.

        Our way of encoding is part of it, and the version of `tokenizers` where that tokenizes.
        """
        if self._fingerprint is None:
            self._fingerprint = _hash(self._checkpoint, is_native=self._tokenizer.is_native)
        return self._fingerprint

    @property
    def n_bytes(self) -> int:
        """Bytes of the table and of what goes with it, in memory or mapped from a file."""
        return self._checkpoint.n_bytes

    @property
    def checkpoint(self) -> Checkpoint:
        """The plain values the model is made of."""
        return self._checkpoint

    def __repr__(self) -> str:
        checkpoint = self._checkpoint
        return (
            f"StaticModel({self.vocab_size} tokens, {self.dim} dimensions, "
            f"{checkpoint.table_dtype}, source={checkpoint.source!r})"
        )

    def __reduce__(self) -> tuple[type[StaticModel], tuple[Checkpoint]]:
        return type(self), (self._checkpoint,)

    def _encode_as(self, names: tuple[str, ...], texts: Texts, options: EncodeOptions) -> Vectors:
        name = next((n for n in names if n in self.prompts), None)
        is_given = any(options.get(key) is not None for key in ("prompt", "prompt_name"))
        if name is not None and not is_given:
            texts = self._with_prompt(texts, prompt_name=name)
        return self.encode(texts, **options)

    def _with_prompt(
        self, texts: Texts, prompt: str | None = None, prompt_name: str | None = None
    ) -> Any:
        if prompt is None:
            if prompt_name is None:
                return PromptedTexts(texts)
            if prompt_name not in self.prompts:
                raise ValueError(
                    f"prompt_name is {prompt_name!r}, expected one of {sorted(self.prompts)}"
                )
            prompt = self.prompts[prompt_name]
        return PromptedTexts(with_prompt(texts, prompt))

    def _encode(
        self,
        texts: Texts,
        *,
        batch_size: int,
        max_length: MaxLength,
        truncate_dim: int | None,
        normalize: bool | None,
        dtype: OutputDtype,
        out: Vectors | None,
        n_threads: int | None,
        show_progress_bar: bool,
    ) -> Vectors:
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}, expected at least 1")
        dim = _checked_dim(truncate_dim, self._dim)
        dtype = checked_dtype(dtype)
        settings = self._encoder.settings(
            max_length=self._length(max_length),
            dim=dim,
            normalize=self.normalize if normalize is None else normalize,
            dtype=dtype,
        )
        if n_threads is not None:
            n_threads = checked_threads(n_threads)
        if isinstance(texts, str):
            rows = OutputRows.for_one(dim, dtype, out)
            with rows.take(1) as vectors:
                self._encoder.write_one(texts, vectors[0], settings)
            return rows.finish()[0] if out is None else out
        n_texts = count_of(texts)
        rows = OutputRows(n_texts, dim, dtype, out)
        done = 0
        per_call = batch_size if show_progress_bar else batch_size * _BATCHES_PER_CALL
        with progress_bar("encoding", total=n_texts, show=show_progress_bar) as advance:
            for chunk in chunks_of(texts, per_call):
                try:
                    with rows.take(len(chunk)) as vectors:
                        self._encoder.write(chunk, vectors, settings, n_threads)
                except TypeError:
                    check_strings(chunk, done)  # the engine counts from the chunk's first text
                    raise
                done += len(chunk)
                advance(len(chunk))
        return rows.finish()

    def _line_job(
        self,
        *,
        max_length: MaxLength = MODEL_DEFAULT,
        truncate_dim: int | None = None,
        normalize: bool | None = None,
        dtype: OutputDtype = "float32",
        n_threads: int | None = None,
    ) -> LineJob:
        dim = _checked_dim(truncate_dim, self._dim)
        dtype = checked_dtype(dtype)
        return LineJob(
            encoder=self._encoder,
            settings=self._encoder.settings(
                max_length=self._length(max_length),
                dim=dim,
                normalize=self.normalize if normalize is None else normalize,
                dtype=dtype,
            ),
            prompt="" if self._default_prompt is None else self.prompts[self._default_prompt],
            dim=dim,
            dtype=dtype,
            n_threads=None if n_threads is None else checked_threads(n_threads),
        )

    def _length(self, max_length: MaxLength) -> int | None:
        if isinstance(max_length, _ModelDefault):
            max_length = self._checkpoint.max_length
        return _checked_length(max_length)


def _hash(checkpoint: Checkpoint, *, is_native: bool) -> str:
    """SHA-256 of a checkpoint's values, of those alone that change a vector, and of our version."""
    from vecsmith._machine import versions  # loads what `import vecsmith` should not

    settings = {
        "encoding": ENCODING_VERSION,
        "libraries": {} if is_native else versions(["tokenizers"]),
        "normalize": checkpoint.normalize,
        "unknown": checkpoint.unknown,
        "max_length": checkpoint.max_length,
        "prompts": dict(checkpoint.prompts),
        "default_prompt_name": checkpoint.default_prompt_name,
    }
    # however its file is spaced, and whatever it says of padding and specials, which are not used
    stored = stored_tokenizer(checkpoint.tokenizer_json, max_length=checkpoint.max_length)
    tokenizer = json.loads(stored)
    if checkpoint.table_dtype == "int4":
        settings["dim"] = checkpoint.dim  # which the arrays do not tell
    digest = hashlib.sha256(json.dumps([settings, tokenizer], sort_keys=True).encode())
    for part in checkpoint.arrays:
        if part is None:
            digest.update(b"none")
        else:
            digest.update(f"{part.dtype.str}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()


def _checked_dim(truncate_dim: int | None, dim: int) -> int:
    if truncate_dim is None:
        return dim
    if isinstance(truncate_dim, bool) or not isinstance(truncate_dim, (int, np.integer)):
        raise TypeError(f"truncate_dim is {truncate_dim!r}, expected a whole number")
    if not 1 <= truncate_dim <= dim:
        raise ValueError(f"truncate_dim is {truncate_dim}, expected 1 to {dim}")
    return int(truncate_dim)


def _checked_length(max_length: int | None) -> int | None:
    if max_length is None:
        return None
    if isinstance(max_length, bool) or not isinstance(max_length, (int, np.integer)):
        raise TypeError(f"max_length is {max_length!r}, expected a whole number or None")
    if max_length < 1:
        raise ValueError(f"max_length is {max_length}, expected at least 1 (None for all tokens)")
    return min(int(max_length), sys.maxsize)  # what the engine counts with

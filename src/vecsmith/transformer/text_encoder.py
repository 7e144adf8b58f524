"""A transformer as an encoder of texts, as sentence-transformers runs it.

The one rule: a vector depends on its text and on the encoder's settings alone, never on the texts
beside it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vecsmith._extras import require
from vecsmith._machine import versions
from vecsmith._progress import progress_bar
from vecsmith._texts import Texts, check_strings, chunks_of, strings_of
from vecsmith._typing import FloatArray, PathLike
from vecsmith.transformer.source import (
    TeacherSource,
    find_teacher,
    module_files,
    read_object,
    read_settings,
    transformer_folder,
    weights_digest,
)
from vecsmith.transformer.teacher import ComputeDtype, Pooling, Reading, Teacher

# To be raised with every change here, in the pooling or in the modules after which the same files
# give other vectors: it is part of the fingerprint, so vectors and figures kept from before go
# out of use
ENCODING_VERSION: Final = 1
# Whose versions decide vectors too
_LIBRARIES: Final = ("tokenizers", "torch", "transformers")
# Texts that are tokenized together: enough that few ids are padding, few enough that their ids
# (about 100 bytes a token while the tokenizer works) stay small
_CHUNK_TEXTS, _CHUNK_CHARACTERS = 4096, 4_000_000
# No tokenizer in use makes fewer than one token of so many characters of any real text
_CHARACTERS_PER_TOKEN = 64
_SURROGATES = re.compile("[\ud800-\udfff]")
_DOCUMENT_PROMPTS = ("document", "passage", "corpus")


class TextEncoder:
    """A transformer that turns texts into vectors.

    Vectors are those of sentence-transformers' `SentenceTransformer.encode` (to 1e-5 in float32):
    its own tokenizer, truncated where the teacher says, its pooling and its modules after that.

    Example:
        >>> encoder = TextEncoder.from_pretrained("sentence-transformers/all-MiniLM-L6-v2")
        >>> encoder.encode(["It's dangerous to go alone!"]).shape
        (1, 384)

    Attributes:
        source: Where it was found.
        dim: Length of a vector.
        max_length: Tokens of a text that count, specials included; None for all.
        compute_dtype: "float32" or "bfloat16", what its forward pass runs in.
        n_bytes: Bytes of its weights in memory.
        opened: What the constructor was asked for, by name.
    """

    def __init__(
        self,
        source: TeacherSource,
        *,
        device: str = "cpu",
        compute_dtype: ComputeDtype = "float32",
        max_length: int | None = None,
        pooling: Pooling | None = None,
        trust_remote_code: bool = False,
        n_layers: int | None = None,
        dim: int | None = None,
    ) -> None:
        """Loads it.

        Args:
            source: Where it is.
            device: A torch device, such as "cpu" or "cuda".
            compute_dtype: "float32"; "bfloat16"; "auto" for bfloat16 where the device is fast at
                it, which moves a vector by about 0.01 of its length.
            max_length: Tokens of a text that count, specials included; None for what it says.
            pooling: How token states become a vector; None for its own way.
            trust_remote_code: Whether code in its folder may run.
            n_layers: How many of its layers are run, the first ones; None for all.
            dim: How many dimensions of its vectors are taken, the first ones, before they are
                brought to unit length if they are; None for all.

        Raises:
            FormatError: If a file is missing or broken.
            MissingExtraError: If torch, transformers or tokenizers are not installed.
            ValueError: If an argument is out of range.
        """
        self.source = source
        self._said = read_settings(source, trust_remote_code=trust_remote_code)
        with ThreadPoolExecutor(1) as worker:
            # now, while they are loaded: files that replace them later are not what this runs
            hashed = worker.submit(_hash_files, source, with_code=trust_remote_code)
            self._teacher = Teacher(
                source,
                device=device,
                compute_dtype=compute_dtype,
                pooling=pooling,
                trust_remote_code=trust_remote_code,
                n_layers=n_layers,
                dim=dim,
            )
        self.max_length = _longest(max_length, self._said.max_length, self._teacher.n_positions)
        self._tokenizer = _open_tokenizer(
            self._said.tokenizer_json, self.max_length, lowercase=self._said.lowercase
        )
        self.dim = self._teacher.dim
        self.compute_dtype = self._teacher.compute_dtype
        self.n_bytes = self._teacher.n_bytes
        asked = {"pooling": pooling, "n_layers": n_layers, "dim": dim}
        self.opened: Mapping[str, Any] = MappingProxyType(
            {
                **asked,
                "device": device,
                "compute_dtype": compute_dtype,
                "max_length": max_length,
                "trust_remote_code": trust_remote_code,
            }
        )
        self._fingerprint = self._hash(hashed.result(), device.partition(":")[0], asked)

    @classmethod
    def from_pretrained(
        cls,
        teacher: PathLike,
        *,
        revision: str | None = None,
        token: str | None = None,
        device: str = "cpu",
        compute_dtype: ComputeDtype = "float32",
        max_length: int | None = None,
        trust_remote_code: bool = False,
        n_layers: int | None = None,
        dim: int | None = None,
    ) -> TextEncoder:
        """Opens a folder, a Hub id, or `package:NAME`; local copies first.

        Args:
            teacher: The folder, id or package; see `find_teacher`.
            revision: Branch, tag or commit on the Hub.
            token: Access token of the Hub.
            device: See the constructor, as for the rest.
            compute_dtype: What the forward pass runs in.
            max_length: Tokens of a text that count.
            trust_remote_code: Whether code in its folder may run.
            n_layers: How many of its layers are run.
            dim: How many dimensions of its vectors are taken.

        Raises:
            FormatError: If a file is missing or broken.
            HubError: If it could not be fetched.
            ValueError: If `teacher` is none of the three, or an argument is out of range.
        """
        return cls(
            find_teacher(teacher, revision=revision, token=token),
            device=device,
            compute_dtype=compute_dtype,
            max_length=max_length,
            trust_remote_code=trust_remote_code,
            n_layers=n_layers,
            dim=dim,
        )

    @property
    def name(self) -> str:
        """Hub id, or name of folder or package."""
        return self.source.name

    @property
    def prompts(self) -> Mapping[str, str]:
        """Texts put before an input, by name; read-only."""
        return MappingProxyType(dict(self._said.prompts))

    @property
    def teacher(self) -> Teacher:
        """The transformer, for sequences of its token ids."""
        return self._teacher

    @property
    def tokenizer_json(self) -> str:
        """Text of the tokenizer.json."""
        return self._said.tokenizer_json

    @property
    def lowercase(self) -> bool:
        """Whether texts are put in lower case before the tokenizer has them."""
        return self._said.lowercase

    @property
    def fingerprint(self) -> str:
        """Hash of all that a vector depends on, as it was when this was loaded.

        Weights, tokenizer, modules, prompts, precision, type of device, versions of the libraries,
        code in the folder if it was trusted. "" if the folder runs code of another repository.
        """
        return self._fingerprint

    def encode(
        self,
        texts: Texts,
        *,
        prompt: str | None = None,
        prompt_name: str | None = None,
        show_progress_bar: bool = False,
        advance: Callable[[int], object] | None = None,
    ) -> FloatArray:
        """Vectors of `texts`, float32: shape [D] for a str, [N, D] for N of them.

        Equal texts are encoded once. A lone surrogate counts as U+FFFD.

        Args:
            texts: A str; or a list, numpy or Arrow array, or any iterable of str.
            prompt: Text put before each; None for that of `prompt_name`.
            prompt_name: Name of one of `prompts`; None for the encoder's default, if it has one.
            show_progress_bar: Whether to show one, if this is a terminal.
            advance: Called with the number of texts done since the last call, as batches end.

        Raises:
            TypeError: If a text is not a str.
            ValueError: If there is no prompt of that name.
        """
        prompt = self._prompt(prompt, prompt_name)
        if isinstance(texts, str):
            one: FloatArray = self._encode([texts], prompt, _ignore)[0]
            return one
        every = _list_of(texts)
        place: dict[str, int] = {}
        places = np.fromiter(
            (place.setdefault(text, len(place)) for text in every),
            dtype=np.int64,
            count=len(every),
        )
        label = f"encoding with {self.name}"
        with progress_bar(label, total=len(every), show=show_progress_bar) as bar:

            def forward(n_texts: int) -> None:
                bar(n_texts)
                if advance is not None:
                    advance(n_texts)

            forward(len(every) - len(place))
            vectors = self._encode(list(place), prompt, forward)
        if len(place) < len(every):
            vectors = vectors[places]
        return vectors

    def encode_query(
        self,
        texts: Texts,
        *,
        prompt: str | None = None,
        show_progress_bar: bool = False,
        advance: Callable[[int], object] | None = None,
    ) -> FloatArray:
        """Vectors of `texts` with the prompt for queries, if there is one; as `encode`."""
        return self.encode(
            texts,
            prompt=self._role_prompt(("query",)) if prompt is None else prompt,
            show_progress_bar=show_progress_bar,
            advance=advance,
        )

    def encode_document(
        self,
        texts: Texts,
        *,
        prompt: str | None = None,
        show_progress_bar: bool = False,
        advance: Callable[[int], object] | None = None,
    ) -> FloatArray:
        """Vectors of `texts` with the prompt for documents, if there is one; as `encode`."""
        return self.encode(
            texts,
            prompt=self._role_prompt(_DOCUMENT_PROMPTS) if prompt is None else prompt,
            show_progress_bar=show_progress_bar,
            advance=advance,
        )

    def read(
        self, texts: Sequence[str], prompt: str = "", *, with_offsets: bool = False
    ) -> Iterator[tuple[Reading, list[Any]]]:
        """What the teacher sees in `texts`, batch by batch, the longest first.

        Args:
            texts: Texts, with a place each.
            prompt: Text put before each.
            with_offsets: Whether the encodings say where in prompt and text their tokens are.

        Yields:
            The reading of a batch, whose places are those in `texts`, and its texts as
            `tokenizers.Encoding`, specials and prompt included.
        """
        n_left_out = self._n_left_out(prompt)
        lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
        for chunk in _chunks(lengths):
            encodings = self._encodings([prompt + texts[i] for i in chunk], with_offsets)
            sequences = [encoding.ids for encoding in encodings]
            for reading in self._teacher.read_padded(sequences, n_left_out=n_left_out):
                own = [encodings[i] for i in reading.places]
                yield replace(reading, places=chunk[reading.places]), own

    def prompt_text(self, prompt: str | None = None) -> str:
        """The text put before each: `prompt`, or for None the encoder's default, if it has one."""
        return self._prompt(prompt, None)

    def __repr__(self) -> str:
        return f"TextEncoder({self.name!r}, {self.dim} dimensions, {self.compute_dtype})"

    def _encode(
        self, texts: list[str], prompt: str, forward: Callable[[int], object]
    ) -> FloatArray:
        """Vectors of `texts`, the longest first; `forward` is told how many are done."""
        vectors = np.empty((len(texts), self.dim), dtype=np.float32)
        n_left_out = self._n_left_out(prompt)
        lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
        for chunk in _chunks(lengths):
            sequences = self._tokenize([prompt + texts[i] for i in chunk])
            found = self._teacher.embed_padded(sequences, n_left_out=n_left_out, advance=forward)
            if self._teacher.head.normalizes:
                found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
            vectors[chunk] = found
        return vectors

    def _tokenize(self, texts: list[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._encodings(texts)]

    def _encodings(self, texts: list[str], with_offsets: bool = False) -> list[Any]:
        encode = self._tokenizer.encode_batch if with_offsets else self._tokenizer.encode_batch_fast
        texts = [without_surrogates(text) for text in texts]
        if self.max_length is None:
            return list(encode(texts))
        # a book is not tokenized for its first page, unless that gave too few tokens
        stop = self.max_length * _CHARACTERS_PER_TOKEN
        encodings = list(encode([text[:stop] for text in texts]))
        for i, text in enumerate(texts):
            if len(text) > stop and len(encodings[i].ids) < self.max_length:
                encodings[i] = self._tokenizer.encode(text)
        return encodings

    def _n_left_out(self, prompt: str) -> int:
        """Ids at the beginning of each sequence that are read and not pooled."""
        if not prompt or self._teacher.head.pools_prompt:
            return 0
        return self._count_prompt(prompt)

    def _count_prompt(self, prompt: str) -> int:
        """Ids at the beginning of a sequence that are not the text's own: specials and prompt."""
        ids = self._tokenizer.encode(prompt).ids
        added = self._tokenizer.get_added_tokens_decoder()
        ends_special = bool(ids) and ids[-1] in added and added[ids[-1]].special
        return len(ids) - ends_special

    def _prompt(self, prompt: str | None, prompt_name: str | None) -> str:
        if prompt is not None:
            return prompt
        name = self._said.default_prompt_name if prompt_name is None else prompt_name
        if name is None:
            return ""
        if name not in self._said.prompts:
            raise ValueError(f"prompt_name is {name!r}, expected one of {sorted(self.prompts)}")
        return self._said.prompts[name]

    def _role_prompt(self, names: tuple[str, ...]) -> str:
        # without a prompt for the role there is none: the default one is for texts without a role.
        # sentence-transformers 6.2 takes an absent "document" for an empty one and so never gets to
        # "passage"; the models that have it mean it.
        return next((self._said.prompts[n] for n in names if n in self._said.prompts), "")

    def _hash(self, files: str | None, device_type: str, asked: Mapping[str, object]) -> str:
        if files is None:
            return ""
        settings: dict[str, object] = {
            "encoding": ENCODING_VERSION,
            "libraries": versions(_LIBRARIES),
            "files": files,
            "tokenizer": self._said.tokenizer_json,
            "lowercase": self._said.lowercase,
            "prompts": dict(self._said.prompts),
            "default_prompt_name": self._said.default_prompt_name,
            "max_length": self.max_length,
            "compute_dtype": self.compute_dtype,
            "device": device_type,
        }
        if self._teacher.leaves_kinds_open:  # once zeros were given, and the vectors were others
            settings["token_types"] = "none"
        settings |= {name: value for name, value in asked.items() if value is not None}
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _hash_files(source: TeacherSource, *, with_code: bool) -> str | None:
    """SHA-256 of weights, configuration and modules, and of the code beside them if it may run.

    None if the code comes from another repository, whose files nobody can point at.
    """
    body = transformer_folder(source.folder)
    paths = [body / "config.json", *module_files(source.folder)]
    if with_code:
        if "--" in json.dumps(read_object(body / "config.json").get("auto_map")):
            return None
        paths += sorted(source.folder.rglob("*.py"))
    digest = hashlib.sha256(weights_digest(source).encode())
    for path in paths:
        content = path.read_bytes()
        digest.update(f"\0{path.name} {len(content)}\0".encode() + content)
    return digest.hexdigest()


def without_surrogates(text: str) -> str:
    """`text` with U+FFFD for each lone surrogate, of which there is no UTF-8."""
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def _ignore(n_texts: int) -> None:
    pass


def _longest(asked: int | None, said: int | None, n_positions: int | None) -> int | None:
    """Tokens of a text that count: as asked, else as the files say, else all it has room for."""
    if asked is None:
        return min((n for n in (said, n_positions) if n is not None), default=None)
    if asked < 3 or (n_positions is not None and asked > n_positions):
        most = "" if n_positions is None else f" to {n_positions}"
        raise ValueError(f"max_length is {asked}, expected 3{most or ' or more'}, or None")
    return asked


def _list_of(texts: Texts) -> list[str]:
    every: list[str] = []
    for chunk in chunks_of(texts, 2**16):
        check_strings(chunk, len(every))
        every += strings_of(chunk)
    return every


def _chunks(lengths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Places of about equally long texts, the longest first, few enough to tokenize at once."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        longest = max(1, int(lengths[order[start]]))
        stop = start + max(1, min(_CHUNK_TEXTS, _CHUNK_CHARACTERS // longest))
        yield order[start:stop]
        start = stop


def _open_tokenizer(tokenizer_json: str, max_length: int | None, *, lowercase: bool) -> Any:
    tokenizers = require("tokenizers", extra="distill", purpose="tokenize for the teacher")
    tokenizer = tokenizers.Tokenizer.from_str(tokenizer_json)
    tokenizer.no_padding()
    side = (tokenizer.truncation or {}).get("direction", "right")
    tokenizer.no_truncation()
    if max_length is not None:
        tokenizer.enable_truncation(max_length, direction=side)
    if lowercase:
        steps = [tokenizers.normalizers.Lowercase()]
        if tokenizer.normalizer is not None:
            steps.append(tokenizer.normalizer)
        tokenizer.normalizer = tokenizers.normalizers.Sequence(steps)
    return tokenizer

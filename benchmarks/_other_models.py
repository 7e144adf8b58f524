"""Peers with models of their own that benchmarks/other_peers.py times, and how each is checked.

WordLlama's package carries its table and its tokenizer, which vecsmith opens as well. fastText has
words and their pieces instead of tokens; its models are trained here on the texts that warm, since
only speed is asked of them.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._encode_models import DIM, unknown_id, write_folder
from benchmarks._encode_texts import share_of

Encode = Callable[[list[str]], Any]
Vectors = NDArray[np.float64]

MINILM, WORDLLAMA = "WordPiece, English", "WordLlama's own, 256 dims"
SUBWORDS = "words and their pieces, trained here"
_TRAINED_ON = 2_000_000  # bytes: a few seconds
_BUCKETS = 200_000  # of pieces; the default of 2,000,000 would take 2 GB and be slower


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A library with a model.

    Attributes:
        library: Its name.
        model: What its vectors are of.
        encode: Opens the model anew, if that makes a difference, and gives what encodes texts.
        definition: What the vectors are to be, made by other means.
        is_peer: Whether a smaller part of the texts is enough, for lack of speed.
        same_table: Which library has the same vectors, if any.
    """

    library: str
    model: str
    encode: Callable[[], Encode]
    definition: Callable[[list[str]], Vectors]
    is_peer: bool
    same_table: str | None = None

    @property
    def name(self) -> str:
        """Library and model."""
        return f"{self.library}: {self.model}"


def one_line(text: str) -> str:
    """A text that fastText takes: without line ends."""
    return " ".join(text.split())


# ---- vecsmith ----------------------------------------------------------------------------------


def vecsmith_side(folder: Path, model: str, *, same_table: str | None = None) -> Side:
    """vecsmith with a folder; all tokens of a text, as the peers take them.

    Raises:
        RuntimeError: If the engine leaves this tokenizer to `tokenizers`.
    """
    from safetensors.numpy import load_file

    from vecsmith import StaticModel

    if not StaticModel.from_pretrained(folder).tokenizer.is_native:
        raise RuntimeError(f"tokenizer of {folder} is not native, expected the engine's own")
    settings = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    table = load_file(folder / "model.safetensors")["embeddings"]

    def opened() -> Encode:
        model = StaticModel.from_pretrained(folder)
        return lambda texts: model.encode(texts, max_length=None, normalize=False, n_threads=1)

    return Side(
        library="vecsmith",
        model=model,
        encode=opened,
        definition=lambda texts: means_of_rows(
            table, ids_of(folder / "tokenizer.json", texts), unknown=unknown_id(settings["model"])
        ),
        is_peer=False,
        same_table=same_table,
    )


def ids_of(tokenizer_json: Path, texts: Sequence[str]) -> list[list[int]]:
    """Ids of `tokenizers`, of each text."""
    import tokenizers

    tokenizer = tokenizers.Tokenizer.from_file(str(tokenizer_json))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    found = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    return [encoding.ids for encoding in found]


def means_of_rows(
    table: NDArray[Any], ids: Sequence[Sequence[int]], *, unknown: int | None = None
) -> Vectors:
    """Mean of the rows of each text's ids but the unknown one, shape [N, D]; zeros without any."""
    means = np.zeros((len(ids), table.shape[1]))
    for row, each in zip(means, ids, strict=True):
        known = [i for i in each if i != unknown]
        if known:
            row[:] = table[known].mean(axis=0, dtype=np.float64)
    return means


# ---- WordLlama ---------------------------------------------------------------------------------


def wordllama_sides(cache: Path) -> list[Side]:
    """WordLlama with the table its package carries, and vecsmith with the same.

    Raises:
        ImportError: If it is not installed.
    """
    import wordllama

    logging.getLogger().setLevel(logging.WARNING)  # it turns on everybody's
    package = Path(wordllama.__file__).parent
    # 0.4.0 looks for the tokenizer beside the folder its package has it in, but also in the cache
    loaded = wordllama.WordLlama.load(cache_dir=package, dim=DIM, disable_download=True)
    tokenizer_json = next((package / "tokenizers").glob("*.json"))
    folder = cache / "wordllama-256"
    if not (folder / "model.safetensors").is_file():
        settings = json.loads(tokenizer_json.read_text(encoding="utf-8"))
        write_folder(folder, settings, loaded.embedding.copy())
    theirs = Side(
        library="wordllama",
        model=WORDLLAMA,
        encode=lambda: loaded.embed,
        definition=lambda texts: means_of_rows(loaded.embedding, ids_of(tokenizer_json, texts)),
        is_peer=True,
        same_table="vecsmith",
    )
    return [theirs, vecsmith_side(folder, WORDLLAMA, same_table="wordllama")]


# ---- fastText ----------------------------------------------------------------------------------


def fasttext_side(texts: Sequence[str]) -> Side:
    """fastText, trained on texts, with pieces of words as its defaults are.

    Raises:
        ImportError: If it is not installed.
    """
    import fasttext

    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "texts.txt"
        chosen = share_of([one_line(text).encode() for text in texts], _TRAINED_ON)
        path.write_bytes(b"\n".join(chosen) + b"\n")
        model = fasttext.train_unsupervised(
            str(path), model="cbow", dim=DIM, epoch=1, bucket=_BUCKETS, thread=1, verbose=0
        )
    return Side(
        library="fastText",
        model=SUBWORDS,
        encode=lambda: lambda texts: [model.get_sentence_vector(text) for text in texts],
        definition=lambda texts: fasttext_vectors(model, texts),
        is_peer=True,
    )


def fasttext_vectors(model: Any, texts: Sequence[str]) -> Vectors:
    """What fastText says a sentence is, from its rows and the ids of words' pieces, shape [N, D].

    A word is the mean of its own row and its pieces' rows.
    """
    rows = model.get_input_matrix()
    pieces = [[model.get_subwords(word)[1].tolist() for word in text.split()] for text in texts]
    return np.array([mean_of_directions(means_of_rows(rows, each)) for each in pieces])


def mean_of_directions(words: Vectors) -> Vectors:
    """Mean of vectors scaled to unit length, without those that are zero; zeros without any."""
    lengths = np.linalg.norm(words, axis=1)
    known = lengths > 0
    if not known.any():
        return np.zeros(words.shape[1])
    mean: Vectors = (words[known] / lengths[known, None]).mean(axis=0)
    return mean

"""What a run begins with: a model, or a tokenizer and rows of one's own making."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from vecsmith._files import atomic_file, read_text
from vecsmith._typing import PathLike
from vecsmith.errors import FormatError
from vecsmith.formats import Checkpoint
from vecsmith.model import StaticModel
from vecsmith.tokenizer import Tokenizer
from vecsmith.training.checkpointing import TOKENIZER_FILE, RunFolder, saying_no_room
from vecsmith.training.export import blank_checkpoint
from vecsmith.training.pair_sources import NamedPairs
from vecsmith.training.settings import TrainSettings
from vecsmith.training.token_table import TokenTable
from vecsmith.training.tokenizer_training import (
    FAMILIES,
    TokenizerFamily,
    TrainedTokenizer,
    train_tokenizer,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a run begins with: a model, or a tokenizer, given or to be trained."""

    init: StaticModel | PathLike | None = None
    tokenizer: PathLike | TrainedTokenizer | TokenizerFamily | None = None
    vocabulary: int = 32_000
    lowercase: bool = True


def opened_model(start: Start) -> StaticModel | None:
    """The model to start from; refuses what does not go together."""
    if start.init is None:
        if start.tokenizer is None:
            raise ValueError(
                "neither init nor tokenizer is given, expected a model to start from, a "
                'tokenizer.json, or a family such as "wordpiece" to train one'
            )
        return None
    if start.tokenizer is not None:
        raise ValueError(
            "init and tokenizer are both given, expected one of them: a model brings its own"
        )
    if isinstance(start.init, StaticModel):
        return start.init
    return StaticModel.from_pretrained(start.init)


def tokenizer_facts(start: Start) -> dict[str, Any] | str | None:
    """What the tokenizer of a run depends on beside the pairs; None where a model brings it.

    Raises:
        FormatError: If a file is missing or no tokenizer.
    """
    if start.tokenizer is None:
        return None
    given = _given_json(start)
    if given is None:
        return {
            "family": start.tokenizer,
            "vocabulary": start.vocabulary,
            "lowercase": start.lowercase,
        }
    Tokenizer(given)  # to refuse a broken one before anything is written
    return hashlib.sha256(given.encode()).hexdigest()


def future_checkpoint(
    start: Start,
    init: StaticModel | None,
    settings: TrainSettings,
    sources: Sequence[NamedPairs],
    folder: RunFolder,
    prompts: Mapping[str, str] | None,
    show_progress_bar: bool,
) -> Checkpoint:
    """What the model will be, but for its numbers."""
    kept = {name: text for name, text in (prompts or {}).items() if text}
    if init is not None:
        checkpoint = init.checkpoint
        return blank_checkpoint(
            checkpoint.tokenizer_json,
            n_tokens=checkpoint.n_tokens,
            dim=checkpoint.dim,
            options={
                "normalize": checkpoint.normalize,
                "unknown": checkpoint.unknown,
                "max_length": checkpoint.max_length,
                "prompts": {**checkpoint.prompts, **kept},
                "default_prompt_name": checkpoint.default_prompt_name,
                "similarity": checkpoint.similarity,
                "config": checkpoint.config,
                "card": checkpoint.card,
            },
        )
    tokenizer_json = _tokenizer_json(start, sources, folder, show_progress_bar)
    n_tokens = Tokenizer(tokenizer_json).n_ids
    options = {"normalize": settings.normalize, "unknown": settings.unknown, "prompts": kept}
    return blank_checkpoint(tokenizer_json, n_tokens=n_tokens, dim=settings.dim, options=options)


def _given_json(start: Start) -> str | None:
    """Text of the tokenizer that is given, None where a family is named."""
    given = start.tokenizer
    if isinstance(given, TrainedTokenizer):
        return given.tokenizer_json
    if given in FAMILIES:
        return None
    assert given is not None
    path = Path(given)
    if path.is_dir():
        path = path / "tokenizer.json"
    if not path.is_file():
        raise FormatError(
            f"{path}: no such file, expected a tokenizer.json or one of wordpiece, bpe, unigram"
        )
    return read_text(path)


def _tokenizer_json(
    start: Start, sources: Sequence[NamedPairs], folder: RunFolder, show_progress_bar: bool
) -> str:
    """Text of the tokenizer, trained where a family is named.

    A trained one is kept in `folder`, whose record says of which family, settings and pairs it is:
    `RunFolder.claim` has compared them, and removed what was of others.
    """
    given = _given_json(start)
    if given is not None:
        return given
    path = folder.path / TOKENIZER_FILE
    if path.exists():
        return read_text(path)
    assert isinstance(start.tokenizer, str)
    trained = train_tokenizer(
        _all_texts(sources),
        family=cast(TokenizerFamily, start.tokenizer),
        vocabulary=start.vocabulary,
        lowercase=start.lowercase,
        show_progress_bar=show_progress_bar,
    )
    with saying_no_room(folder.path), atomic_file(path, "w", encoding="utf-8") as file:
        file.write(trained.tokenizer_json)
    return trained.tokenizer_json


def _all_texts(sources: Sequence[NamedPairs]) -> Callable[[], Iterator[str]]:
    def read() -> Iterator[str]:
        for source in sources:
            yield from source.texts()

    return read


def first_table(init: StaticModel | None, like: Checkpoint, settings: TrainSettings) -> TokenTable:
    """The rows that training begins with."""
    device = settings.device
    if init is not None:
        return TokenTable.from_checkpoint(
            init.checkpoint, train_weights=settings.token_weights, device=device
        )
    options: dict[str, Any] = {
        "seed": settings.seed,
        "scale": settings.start_scale,
        "device": device,
    }
    if settings.start == "random":
        table = TokenTable.from_random(like.n_tokens, settings.dim, **options)
    else:
        tokenizer = Tokenizer(like.tokenizer_json)
        spellings = [_spelling(tokenizer, token_id) for token_id in range(like.n_tokens)]
        table = TokenTable.from_spellings(spellings, settings.dim, **options)
    if not settings.token_weights:
        return table
    ones = torch.from_numpy(np.ones(like.n_tokens, dtype=np.float32)).to(table.rows.device)
    return TokenTable(table.rows, ones)


def _spelling(tokenizer: Tokenizer, token_id: int) -> str:
    try:
        return tokenizer.id_to_token(token_id)
    except IndexError:  # a gap in the ids
        return ""

"""What all cells of a sweep share: base models, held-out pairs, the pairs as tokens.

The one rule: it is made once and found again: every process that opens the same folder with the
same pairs sees the same tokens.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vecsmith.corpora import PairCorpus, open_pairs
from vecsmith.errors import FormatError, RunFailed
from vecsmith.execution.heldout import HeldOut, HeldOutTexts, choose_held_out
from vecsmith.execution.keys import identity_of
from vecsmith.planning.accounting.shapes import ModelShape
from vecsmith.planning.cells import RecipeSettings
from vecsmith.planning.grid import GridModel
from vecsmith.results.tuning_runs import key_of
from vecsmith.tokenizer import Tokenizer
from vecsmith.training.pair_sources import NamedPairs, UnpromptedMatcher, open_sources
from vecsmith.training.token_store import TokenStore, build_store
from vecsmith.transformer.source import (
    TeacherSettings,
    find_teacher,
    read_settings,
    transformer_folder,
    weights_digest,
)
from vecsmith.transformer.teacher import read_frame

PAIRS_FOLDER: Final = "pairs"
TOKENS_FOLDER: Final = "tokens"
# While another process makes the tokens of the same pairs
_POLL_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseModel:
    """A model to be tuned, looked at and not loaded.

    Attributes:
        name: As records call it.
        reference: What opens it.
        shape: Its counts.
        fingerprint: Hash of its weights.
        identity: Hash of all that it is, its configuration, tokenizer and prompts among it.
    """

    name: str
    reference: str
    shape: ModelShape
    fingerprint: str
    identity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFacts:
    """The pairs as one model's tokens.

    Attributes:
        folder: Of the token store.
        n_pairs: That can be trained on.
        tokens_per_pair: Real tokens of one in the mean, specials among them.
    """

    folder: Path
    n_pairs: int
    tokens_per_pair: float


class SweepPairs:
    """The pairs of a sweep: what is held out, and the others as tokens."""

    def __init__(
        self, pairs: Any, out: Path, settings: RecipeSettings, *, roles: Any = None
    ) -> None:
        """Opens them, and holds out what no cell may train on.

        Args:
            pairs: A source of pairs as `vecsmith.corpora.open_pairs` takes it.
            out: Folder of the sweep.
            settings: Of the recipe.
            roles: Columns of the pairs by role, None to tell them by their names.

        Raises:
            ValueError: If there are too few pairs, or they have scores.
            FormatError: If a file is broken.
        """
        self.corpus = pairs if isinstance(pairs, PairCorpus) else open_pairs(pairs, roles=roles)
        if "score" in self.corpus.roles:
            raise ValueError(
                f"{self.corpus.name}: has a column of scores, expected pairs that belong together: "
                "name two columns in roles"
            )
        self._out, self._settings = out, settings
        self.held_out = self._held_out()
        self.matcher = HeldOutTexts(self.held_out)
        self._tokens: dict[str, TokenFacts] = {}

    @property
    def fingerprint(self) -> str:
        """Hash of the texts of all pairs, those held out among them, wherever they lie."""
        return self.held_out.content

    def sources(self, said: TeacherSettings) -> list[NamedPairs]:
        """The pairs with the prompts that a model wants."""
        return open_sources(self.corpus, prompts=said.prompts)

    def tokens(self, model: BaseModel, *, show_progress_bar: bool = False) -> TokenFacts:
        """The pairs as tokens of `model`, made where they are not there yet.

        Models with one tokenizer and the same prompts share them.
        """
        said = read_settings(find_teacher(model.reference))
        sources, frame = self.sources(said), read_frame(said.tokenizer_json)
        n_around = len(frame.before) + len(frame.after)
        if self._settings.max_length <= n_around:
            raise ValueError(
                f"max_length {self._settings.max_length}, expected {n_around + 1} or more: "
                f"{model.name} puts {n_around} tokens around a text"
            )
        tokenizer = Tokenizer(said.tokenizer_json)
        # what is held out is known without the prompts that the model puts before its texts
        matcher = UnpromptedMatcher(self.matcher, said.prompts.values())
        max_length = self._settings.max_length - n_around
        identity = {
            "tokenizer": tokenizer.fingerprint,
            "max_length": max_length,
            "held_out": matcher.fingerprint,
            "pairs": [source.fingerprint for source in sources],
        }
        folder = self._out / TOKENS_FOLDER / key_of(identity)[:16]
        if folder.name in self._tokens:
            return self._tokens[folder.name]
        store = _once(
            lambda: build_store(
                sources,
                tokenizer,
                folder,
                max_length=max_length,
                unk_id_dropped=None,
                decontaminator=matcher,
                show_progress_bar=show_progress_bar,
            )
        )
        return self._tokens.setdefault(folder.name, _facts_of(store, n_around))

    def _held_out(self) -> HeldOut:
        n_pairs = self._settings.held_out_pairs
        folder = self._out / PAIRS_FOLDER
        path = folder / f"held-out-{self.corpus.fingerprint[:16]}-{n_pairs}.json"
        if path.is_file():
            found = HeldOut.open(path)
            if len(found) != n_pairs:
                raise FormatError(
                    f"{path}: {len(found):,} pairs, expected {n_pairs:,}; delete it and run again"
                )
            if found.content:  # else it was written before all pairs were hashed with them
                return found
        folder.mkdir(parents=True, exist_ok=True)
        chosen = choose_held_out(self.corpus, n_pairs)
        chosen.save(path)
        return chosen


def open_models(models: Iterable[GridModel]) -> dict[str, BaseModel]:
    """The base models by name, with their counts checked against their files.

    Raises:
        FormatError: If a file is missing or broken, or says other counts than the weights have.
        HubError: If one could not be fetched.
        ValueError: If one is neither a folder nor a Hub id, or of a family nobody can count.
    """
    return {model.name: open_model(model) for model in models}


def open_model(model: GridModel) -> BaseModel:
    """One base model, see `open_models`."""
    source = find_teacher(model.reference)
    weights = weights_digest(source)
    return BaseModel(
        name=model.name,
        reference=model.reference,
        shape=ModelShape.from_folder(transformer_folder(source.folder)),
        fingerprint=weights,
        identity=identity_of(source, read_settings(source), weights),
    )


def shape_facts(shape: ModelShape) -> Mapping[str, Any]:
    """What a record says of a shape."""
    return {
        "family": shape.family,
        "n_layers": shape.n_layers,
        "dim": shape.dim,
        "vocab_size": shape.vocab_size,
        "n_non_embedding": shape.n_non_embedding,
        "n_embedding": shape.n_embedding,
    }


def _facts_of(store: TokenStore, n_around: int) -> TokenFacts:
    n_pairs = sum(report.n_kept for report in store.reports)
    n_tokens = sum(sum(report.n_tokens.values()) for report in store.reports)
    n_texts = len(store.sources[0].text_roles)
    return TokenFacts(
        folder=store.folder,
        n_pairs=n_pairs,
        tokens_per_pair=n_tokens / n_pairs + n_around * n_texts,
    )


def _once(build: Callable[[], TokenStore]) -> TokenStore:
    """What `build` gives, after another process that builds the same has ended."""
    while True:
        try:
            return build()
        except RunFailed as error:
            if not isinstance(error.__cause__, BlockingIOError):
                raise
            time.sleep(_POLL_SECONDS)

"""The pairs that polish a table: where they come from, which are left out, and their batches."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from vecsmith._typing import PathLike
from vecsmith.corpora.decontamination import Decontaminator
from vecsmith.distillation.settings import PolishSettings
from vecsmith.tokenizer import Tokenizer
from vecsmith.training.batching import BatchStream
from vecsmith.training.pair_sources import open_sources
from vecsmith.training.provenance import data_facts
from vecsmith.training.token_store import STORE_VERSION, TokenStore, build_store

# What `vecsmith.training.train_static` takes: a source as `vecsmith.corpora.open_pairs` takes it,
# several in a list, or several by name
PairSource = Any


class PairsToPolish:
    """Pairs of texts that belong together, without those of evaluation sets.

    Attributes:
        sources: The sets.
        cleaner: What leaves evaluation texts out, None to leave in all.
    """

    def __init__(
        self,
        pairs: PairSource,
        *,
        roles: Mapping[str, str] | Sequence[str] | None = None,
        cleaner: Decontaminator | None = None,
    ) -> None:
        """Opens the sets.

        Raises:
            FormatError: If a file is broken.
            ValueError: If there is no set, it cannot be told which columns make a pair, or pairs
                have scores.
        """
        self.sources = open_sources(pairs, roles=roles)
        self.cleaner = cleaner
        for source in self.sources:
            if "score" in source.roles:
                raise ValueError(
                    f"{source.name}: pairs with scores, expected texts that belong together; name "
                    "the columns of such texts by pair_roles, or train on the scores afterwards "
                    "with train_static(init=model)"
                )

    def fingerprint(self, tokenizer: Tokenizer, settings: PolishSettings) -> str:
        """Hash of all that their tokens depend on."""
        facts = [
            STORE_VERSION,
            tokenizer.fingerprint,
            settings.max_length,
            None if self.cleaner is None else self.cleaner.fingerprint,
            [[source.name, source.fingerprint, list(source.roles)] for source in self.sources],
        ]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def tokens(
        self,
        tokenizer: Tokenizer,
        settings: PolishSettings,
        folder: PathLike,
        *,
        show_progress_bar: bool = False,
    ) -> TokenStore:
        """Their tokens, kept in `folder` from before or gone on with there.

        Raises:
            ValueError: If a set has not one pair that can be used.
            FormatError: If a file is broken.
            OSError: If it cannot be written; what was finished stays.
        """
        return build_store(
            self.sources,
            tokenizer,
            folder,
            max_length=settings.max_length,
            unk_id_dropped=tokenizer.unk_id,
            decontaminator=self.cleaner,
            show_progress_bar=show_progress_bar,
        )

    def facts(self, store: TokenStore) -> list[dict[str, Any]]:
        """What became of the pairs of each set, for the recipe and the card."""
        licences = {
            stored.name: source.licence
            for stored, source in zip(store.sources, self.sources, strict=True)
        }
        return data_facts(store.reports, licences, {})


def polish_batches(store: TokenStore, settings: PolishSettings) -> BatchStream:
    """Batches without a text twice; of sets whose texts come too often, as they are drawn.

    The loss takes equal texts of a batch for no negatives of each other, so those do no harm; they
    only teach less.
    """
    size, seed = settings.batch_size, settings.seed
    try:
        return BatchStream(store, batch_size=size, seed=seed)
    except ValueError:  # size and seed are right: it can only be the texts
        return BatchStream(store, batch_size=size, seed=seed, unique=False)

"""What every run on pairs goes through, whatever it trains: folder, record, tokens, batches.

One rule: nothing here knows what is trained.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from vecsmith._typing import Encoder, PathLike
from vecsmith.tokenizer import Tokenizer
from vecsmith.training.batching import BatchStream
from vecsmith.training.checkpointing import STORE_FOLDER, TEACHER_FOLDER, RunFolder
from vecsmith.training.checks import check_batch, masks_equal_texts
from vecsmith.training.identity import identity_of, identity_of_teacher
from vecsmith.training.loop import Score
from vecsmith.training.loss_choice import asks_teacher
from vecsmith.training.losses import EmbeddingLoss
from vecsmith.training.pair_sources import NamedPairs
from vecsmith.training.pair_tokens import TextMatcher
from vecsmith.training.settings import RunSettings
from vecsmith.training.teacher_vectors import TeacherVectors, build_teacher_vectors
from vecsmith.training.token_store import TokenStore, build_store


@contextmanager
def run_folder(out: PathLike | None, *, restart: bool) -> Iterator[tuple[RunFolder, bool]]:
    """The folder of a run, and whether it stays: without a name it is a temporary one."""
    if out is None:
        with tempfile.TemporaryDirectory(prefix="vecsmith-training-") as name:
            yield RunFolder(name), False
        return
    with RunFolder(out).held() as folder:
        if restart:
            folder.discard()
        yield folder, True


def run_facts(
    settings: RunSettings,
    sources: Sequence[NamedPairs],
    losses: Mapping[str, EmbeddingLoss],
    start: Mapping[str, Any],
    *,
    teacher: Encoder | None,
    cleaner: TextMatcher | None,
    score: Score | None,
) -> dict[str, Any]:
    """All that the weights of a run depend on, for its record; `start` is what it began with."""
    chosen = settings.plain()
    # how often a run is saved changes nothing of what comes out
    for name in ("checkpoint_every", "checkpoint_minutes"):
        del chosen[name]
    return {
        "settings": chosen,
        "pairs": {
            source.name: {
                "fingerprint": source.fingerprint,
                "roles": list(source.roles),
                "loss": identity_of(losses[source.name]),
            }
            for source in sources
        },
        "start": dict(start),
        "teacher": None
        if teacher is None
        else identity_of_teacher(teacher, asking(sources, losses)),
        "decontaminator": None if cleaner is None else cleaner.fingerprint,
        "score": None if score is None else identity_of(score),
    }


def asking(sources: Sequence[NamedPairs], losses: Mapping[str, EmbeddingLoss]) -> list[NamedPairs]:
    """The sets whose losses take a teacher's vectors."""
    return [source for source in sources if asks_teacher(losses[source.name])]


class TokenizedPairs:
    """The pairs as tokens, and a teacher's vectors of them, in the folder of a run."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        folder: RunFolder,
        *,
        max_length: int | None,
        unk_id_dropped: int | None,
        show_progress_bar: bool,
    ) -> None:
        """Takes what decides the tokens of a text.

        Args:
            tokenizer: Of what is trained.
            folder: Where both are kept.
            max_length: Tokens of a text that count, None for all.
            unk_id_dropped: Id of the token that does not count, None for none.
            show_progress_bar: Whether to show bars, if this is a terminal.
        """
        self._tokenizer, self._folder, self._shows = tokenizer, folder.path, show_progress_bar
        self._length, self._dropped = max_length, unk_id_dropped

    def store(self, sources: Sequence[NamedPairs], cleaner: TextMatcher | None) -> TokenStore:
        """The tokens of all pairs that `cleaner` does not match."""
        return build_store(
            sources,
            self._tokenizer,
            self._folder / STORE_FOLDER,
            max_length=self._length,
            unk_id_dropped=self._dropped,
            decontaminator=cleaner,
            show_progress_bar=self._shows,
        )

    def vectors(
        self, sources: Sequence[NamedPairs], asking: Sequence[NamedPairs], teacher: Encoder
    ) -> TeacherVectors:
        """A teacher's vectors of the texts of `asking`, without the prompts of `sources`."""
        return build_teacher_vectors(
            asking,
            self._tokenizer,
            teacher,
            self._folder / TEACHER_FOLDER,
            max_length=self._length,
            unk_id_dropped=self._dropped,
            prompts=sorted({prompt for source in sources for prompt in source.prompts.values()}),
            show_progress_bar=self._shows,
        )


def stream_of(
    store: TokenStore, losses: Mapping[str, EmbeddingLoss], settings: RunSettings
) -> BatchStream:
    """The batches of a run.

    Raises:
        ValueError: If a set leaves too few pairs for its loss.
    """
    for source in store.sources:
        found = f"one pair of {source.report.n_read} can be trained on"
        loss = losses[source.name]
        check_batch(source.name, source.text_roles, loss, len(source), found)
    return BatchStream(
        store,
        batch_size=settings.batch_size,
        seed=settings.seed,
        sampling=settings.sampling,
        alpha=settings.alpha,
        unique=settings.unique,
        masked=[name for name, loss in losses.items() if masks_equal_texts(loss)],
    )

"""Training texts that an evaluation set has too, or nearly.

A text is a match of kind
  1  if its letters and digits, in lower case, are those of an evaluation text;
  2  if it is nearly an evaluation text: texts of fewer than 20 tokens (words, or characters of
     scripts without spaces) are compared by runs of 5 letters, near from a Jaccard similarity of
     0.7; longer ones by runs of 5 tokens, near from 0.5, or where they hold 0.8 of the evaluation
     text's runs. What an evaluation text is compared by is decided by its own length; a text more
     than 4 times longer than the longest that is compared by letters is not compared so.
One word changed in a sentence is near, and so are two of one template that is most of each.

The one rule: the search is exact: what the definition calls a match is found (`near_duplicates`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, overload

import numpy as np
from numpy.typing import NDArray

from vecsmith.corpora.grams import Hashes32, Places, Reduced, blocks, reduced
from vecsmith.corpora.hashing import SeenHashes
from vecsmith.corpora.near_duplicates import RunSets
from vecsmith.corpora.pairs import PairCorpus
from vecsmith.corpora.texts import TextCorpus

CLEAN: Final = 0
EQUAL: Final = 1
NEAR: Final = 2

# To be raised when the definition above, or how a text is reduced, changes
_VERSION: Final = 1
_N_LETTERS = 5
_N_TOKENS = 5
_SHORT_BELOW = 20  # tokens
_LETTER_THRESHOLD = 0.7
_TOKEN_THRESHOLD = 0.5
_CONTAINMENT = 0.8
_MOST_TIMES_LONGER = 4
_MOST_EXAMPLES = 5
_SHOWN = 100  # characters of a text that are kept to be shown


@dataclass(frozen=True, slots=True, kw_only=True)
class ContaminatedText:
    """A text that was found, each text cut to its beginning.

    Attributes:
        text: The text.
        evaluation_text: What it is equal to or near.
        is_equal: Whether its letters are the same.
    """

    text: str
    evaluation_text: str
    is_equal: bool


@dataclass(slots=True, kw_only=True)
class ContaminationReport:
    """What was found so far.

    Attributes:
        n_evaluation_texts: Distinct texts that were looked for.
        n_checked: Texts that were looked at.
        n_equal: Those that are equal to one.
        n_near: Those that are nearly one.
        examples: Some of each.
    """

    n_evaluation_texts: int = 0
    n_checked: int = 0
    n_equal: int = 0
    n_near: int = 0
    examples: list[ContaminatedText] = field(default_factory=list)

    def line(self) -> str:
        """The counts in one line."""
        return (
            f"{self.n_equal + self.n_near:,} of {self.n_checked:,} texts are in the evaluation "
            f"sets ({self.n_equal:,} equal, {self.n_near:,} nearly; "
            f"{self.n_evaluation_texts:,} distinct texts looked for)"
        )


class Decontaminator:
    """Evaluation texts, and which texts are among them.

    Attributes:
        report: What was found in all texts looked at so far.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        """Takes evaluation texts, in any number of repetitions.

        Memory is about 10 bytes for each distinct run of an evaluation text, 75 while it is built,
        and the first hundred characters of each text.
        """
        gathered = _Gathered()
        for block in blocks(texts):
            gathered.add(block)
        self._shown = gathered.shown
        self._equal, self._equal_of = gathered.equal()
        self._most_letters = _MOST_TIMES_LONGER * gathered.most_letters
        self._letters = gathered.letters.sets(len(self._shown), _LETTER_THRESHOLD, None)
        self._tokens = gathered.tokens.sets(len(self._shown), _TOKEN_THRESHOLD, _CONTAINMENT)
        self._runs_digest = gathered.letters.digest() + gathered.tokens.digest()
        self.report = ContaminationReport(n_evaluation_texts=len(self._shown))

    def __len__(self) -> int:
        return len(self._shown)

    @property
    def fingerprint(self) -> str:
        """A hash of all that decides what matches: the texts' letters and runs, and the definition.

        Texts of the same letters may differ in where their words end, and so in their runs.
        """
        definition = (_VERSION, _N_LETTERS, _N_TOKENS, _SHORT_BELOW, _LETTER_THRESHOLD,
                      _TOKEN_THRESHOLD, _CONTAINMENT, _MOST_TIMES_LONGER)  # fmt: skip
        digest = hashlib.sha256(repr(definition).encode())
        digest.update(self._equal.astype("<u8").tobytes())
        digest.update(self._runs_digest)
        return digest.hexdigest()[:32]

    def matches(self, texts: Sequence[str]) -> NDArray[np.uint8]:
        """Of each text 0 if it is clean, 1 if equal to an evaluation text, 2 if near, shape [N]."""
        kinds = [np.empty(0, dtype=np.uint8)]
        for block in blocks(texts):
            found = reduced(block)
            equal = self._find_equal(found)
            near = np.where(equal < 0, self._find_near(found, equal < 0), -1)
            kinds.append(np.where(equal >= 0, EQUAL, np.where(near >= 0, NEAR, CLEAN)))
            self._note(block, equal, near)
        return np.concatenate(kinds).astype(np.uint8)

    def _find_equal(self, texts: Reduced) -> Places:
        """Place of the evaluation text that each text equals, or -1, shape [N]."""
        if not len(self._equal):
            return np.full(len(texts.letter_ends), -1, dtype=np.int64)
        hashes = texts.whole()
        place = np.searchsorted(self._equal, hashes)
        place[place == len(self._equal)] = 0
        is_equal = (self._equal[place] == hashes) & (texts.n_letters > 0)
        return np.where(is_equal, self._equal_of[place], -1)

    def _find_near(self, texts: Reduced, wanted: NDArray[np.bool_]) -> Places:
        """Place of the evaluation text that each text is near, or -1, shape [N]."""
        n_texts = len(wanted)
        short = wanted & (texts.n_letters <= self._most_letters)
        of, hashes = texts.letter_runs(_N_LETTERS, short)
        near = self._letters.find(of, hashes, n_texts)
        n_runs = texts.n_tokens - _N_TOKENS + 1
        long = wanted & (near < 0) & (n_runs >= self._tokens.fewest_runs)
        of, hashes = texts.token_runs(_N_TOKENS, long)
        by_tokens = self._tokens.find(of, hashes, n_texts)
        return np.where(near >= 0, near, by_tokens)

    def _note(self, texts: Sequence[str], equal: Places, near: Places) -> None:
        report = self.report
        report.n_checked += len(texts)
        for found, is_equal in ((equal, True), (near, False)):
            places = np.flatnonzero(found >= 0)
            n_before = report.n_equal if is_equal else report.n_near
            for i in places[: max(0, _MOST_EXAMPLES - n_before)].tolist():
                report.examples.append(
                    ContaminatedText(
                        text=texts[i][:_SHOWN],
                        evaluation_text=self._shown[found[i]],
                        is_equal=is_equal,
                    )
                )
        report.n_equal += int((equal >= 0).sum())
        report.n_near += int((near >= 0).sum())


@overload
def decontaminated(corpus: TextCorpus, decontaminator: Decontaminator) -> TextCorpus: ...
@overload
def decontaminated(corpus: PairCorpus, decontaminator: Decontaminator) -> PairCorpus: ...
def decontaminated(corpus: Any, decontaminator: Decontaminator) -> Any:
    """The corpus without texts that evaluation sets have, or pairs one of whose texts they have.

    Args:
        corpus: Texts or pairs.
        decontaminator: The texts to leave out; its report tells what was found while reading.
    """
    return corpus.leaving_out(decontaminator)


class _Runs:
    """Runs of texts, gathered block by block."""

    def __init__(self) -> None:
        self._of: list[Places] = [np.empty(0, dtype=np.int64)]
        self._hashes: list[Hashes32] = [np.empty(0, dtype=np.uint32)]
        self._digest = hashlib.sha256()

    def add(self, of: Places, hashes: Hashes32) -> None:
        self._of.append(of)
        self._hashes.append(hashes)
        pairs = np.stack([of, hashes.astype(np.int64)], axis=1)
        self._digest.update(pairs.astype("<i8").tobytes())

    def digest(self) -> bytes:
        """A hash of all runs, and whose they are, in the order in which they came."""
        return self._digest.digest()

    def sets(self, n_texts: int, threshold: float, containment: float | None) -> RunSets:
        of, hashes = np.concatenate(self._of), np.concatenate(self._hashes)
        return RunSets(of, hashes, n_texts, threshold=threshold, containment=containment)


class _Gathered:
    """Evaluation texts so far, each once."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        self.letters = _Runs()
        self.tokens = _Runs()
        self.most_letters = 0  # of one that is compared by them
        self._seen = SeenHashes()
        self._whole: list[NDArray[np.uint64]] = [np.empty(0, dtype=np.uint64)]

    def add(self, block: Sequence[str]) -> None:
        texts = reduced(block)
        whole = texts.whole()
        is_new = (texts.n_letters > 0) & self._seen.add(whole)
        places = np.cumsum(is_new) - 1 + len(self.shown)
        self.shown += [block[i][:_SHOWN] for i in np.flatnonzero(is_new).tolist()]
        self._whole.append(whole[is_new])
        short = texts.n_tokens < _SHORT_BELOW
        self.most_letters = max(
            self.most_letters, int(texts.n_letters[is_new & short].max(initial=0))
        )
        of, hashes = texts.letter_runs(_N_LETTERS, is_new & short)
        self.letters.add(places[of], hashes)
        of, hashes = texts.token_runs(_N_TOKENS, is_new & ~short)
        self.tokens.add(places[of], hashes)

    def equal(self) -> tuple[NDArray[np.uint64], Places]:
        """Hashes of the texts' letters in ascending order, and whose they are."""
        whole = np.concatenate(self._whole)
        order = np.argsort(whole, kind="stable")
        return whole[order], order

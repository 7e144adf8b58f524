"""What a user gives as pairs -> named sets of pairs, with prompts before their texts."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vecsmith.corpora import Limits, PairCorpus, PairRows, Position, open_pairs
from vecsmith.training.pair_tokens import TextMatcher
from vecsmith.training.provenance import licence_of, short_name

# Which prompt stands before the texts of a role, the first that there is.
_PROMPTS_OF: Final = {"anchor": ("anchor", "query"), "other": ("document", "passage")}


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedPairs:
    """A set of pairs under a name of the run, its texts with prompts.

    Attributes:
        name: No two sets of a run have the same.
        corpus: What is read.
        prompts: Text before each text, by role.
        licence: As it is stated beside the data, or None.
    """

    name: str
    corpus: PairCorpus
    prompts: Mapping[str, str]
    licence: str | None

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles of the columns."""
        return tuple(self.corpus.roles)

    @property
    def fingerprint(self) -> str:
        """Hash of what is read, with the prompts."""
        if not self.prompts:
            return self.corpus.fingerprint
        text = json.dumps([self.corpus.fingerprint, sorted(self.prompts.items())])
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @property
    def n_rows(self) -> int | None:
        """How many pairs there are, None if that is not known."""
        return self.corpus.n_rows

    def read(
        self, start: Position | None = None, *, limits: Limits | None = None
    ) -> Iterator[PairRows]:
        """The pairs, so many at a time; `start` is where to go on."""
        for rows in self.corpus.read(start, limits=limits):
            for role, prompt in self.prompts.items():
                column = rows.texts[role]
                # an empty text stays one: a prompt alone says nothing
                column[:] = [prompt + text if text else text for text in column]
            yield rows

    def texts(self) -> Iterator[str]:
        """All texts of all roles, without prompts."""
        for rows in self.corpus.read():
            for column in rows.texts.values():
                yield from (text for text in column if text)


def open_sources(
    pairs: Any,
    *,
    roles: Mapping[str, str] | Sequence[str] | None = None,
    prompts: Mapping[str, str] | None = None,
    split: str | None = None,
    where: Mapping[str, Any] | None = None,
) -> list[NamedPairs]:
    """The sets that `pairs` names, in order.

    Args:
        pairs: One source as `vecsmith.corpora.open_pairs` takes it, several in a list, or several
            by name. A list of rows is one source, a list of paths or of data sets several.
        roles: Columns by role, or in order, of every set; None to tell them by their names.
        prompts: Text before the anchors ("query") and before all others ("document").
        split: Where a source tells splits, the one to read; "train" if None.
        where: Value or values that columns of rows to keep must have.

    Raises:
        FormatError: If a file is broken.
        ValueError: If there is no set, or it cannot be told which columns make a pair.
    """
    found = []
    names: list[str] = []
    for name, source in _listed(pairs):
        if isinstance(source, NamedPairs):
            names.append(source.name)
            found.append(source)
            continue
        corpus = source
        if not isinstance(source, PairCorpus):
            corpus = open_pairs(source, roles=roles, split=split, where=where)
        own = _distinct(name or short_name(corpus.name), names)
        names.append(own)
        found.append(
            NamedPairs(
                name=own,
                corpus=corpus,
                prompts=_prompts(corpus.roles, prompts or {}),
                licence=licence_of(source),
            )
        )
    if not found:
        raise ValueError("there is no set of pairs, expected one or more")
    return found


class UnpromptedMatcher:
    """A decontaminator that sees texts without their prompts.

    A text is matched if what stands behind any prompt that it begins with is, or all of it: which
    prompt was put before it, or whether one was, cannot be told from the text alone.
    """

    def __init__(self, matcher: TextMatcher, prompts: Iterable[str]) -> None:
        """Takes what matches, and the prompts that texts may begin with."""
        self._matcher = matcher
        self._prompts = tuple(sorted({prompt for prompt in prompts if prompt}))

    @property
    def fingerprint(self) -> str:
        """Hash of what is matched; without prompts that of the matcher."""
        if not self._prompts:
            return self._matcher.fingerprint
        text = json.dumps([self._matcher.fingerprint, self._prompts])
        return f"without prompts {hashlib.sha256(text.encode()).hexdigest()[:32]}"

    def matches(self, texts: Sequence[str]) -> NDArray[np.uint8]:
        """0 for each text that is clean, as the matcher says of it without its prompt, [N]."""
        readings = [(i, each) for i, text in enumerate(texts) for each in self._readings(text)]
        found = np.asarray(self._matcher.matches([each for _, each in readings])) != 0
        matched = np.zeros(len(texts), dtype=np.uint8)
        matched[[i for (i, _), holds in zip(readings, found.tolist(), strict=True) if holds]] = 1
        return matched

    def _readings(self, text: str) -> list[str]:
        behind = [text[len(prompt) :] for prompt in self._prompts if text.startswith(prompt)]
        return [*behind, text]


def without_prompt(text: str, prompts: Sequence[str]) -> str:
    """`text` without the longest prompt that it begins with, if it begins with one."""
    fitting = (len(prompt) for prompt in prompts if text.startswith(prompt))
    return text[max(fitting, default=0) :]


def _listed(pairs: Any) -> list[tuple[str | None, Any]]:
    """Sources with their names, None for those that name themselves."""
    if isinstance(pairs, Mapping) and not _is_table(pairs):
        return [(str(name), source) for name, source in pairs.items()]
    if isinstance(pairs, Sequence) and not isinstance(pairs, str | bytes) and len(pairs):
        first = pairs[0]
        is_row = isinstance(first, Mapping | tuple) or (
            isinstance(first, list) and all(isinstance(text, str | float | int) for text in first)
        )
        if isinstance(first, str | os.PathLike | NamedPairs) or not is_row:
            return [(None, source) for source in pairs]
    return [(None, pairs)]


def _is_table(pairs: Mapping[Any, Any]) -> bool:
    """Whether a mapping holds columns of one table rather than sets by name."""
    columns = list(pairs.values())
    return bool(columns) and all(
        isinstance(column, Sequence)
        and not isinstance(column, str | bytes)
        and len(column) > 0
        and all(isinstance(value, str | float | int | None) for value in column[:8])
        for column in columns
    )


def _prompts(roles: Sequence[str], prompts: Mapping[str, str]) -> dict[str, str]:
    chosen = {}
    for role in roles:
        if role == "score":
            continue
        names = _PROMPTS_OF["anchor" if role == "anchor" else "other"]
        prompt = next((prompts[name] for name in names if prompts.get(name)), None)
        if prompt:
            chosen[role] = prompt
    return chosen


def _distinct(name: str, taken: Sequence[str]) -> str:
    own, count = name, 1
    while own in taken:
        count += 1
        own = f"{name} ({count})"
    return own

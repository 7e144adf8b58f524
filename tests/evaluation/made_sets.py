"""A model of a few hundred words and sets in its language, for comparing with other evaluators.

Every text has its own vector, so no similarity ties with another but where a set repeats a text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.formats.builders import checkpoint_of, word_piece
from vecsmith import StaticModel

WORDS = tuple(
    f"w{first}{second}" for first in "abcdefghijklmnopqrst" for second in "abcdefghijklmnopqrst"
)
Rows = list[dict[str, Any]]


def worded_model(dim: int = 32, **fields: Any) -> StaticModel:
    """A random static model of `WORDS`."""
    tokenizer = word_piece(("[PAD]", "[UNK]", *WORDS))
    return StaticModel(checkpoint_of(tokenizer, dim=dim, **fields))


class MadeSets:
    """Pairs, a collection and labelled texts, the same at every call.

    Attributes:
        pairs: "sentence1", "sentence2", "score".
        documents: "id", "title", "text"; one has no text.
        queries: "id", "text".
        judgements: "query_id", "doc_id", "relevance": 2, 1 or 0.
        labelled: "text", "label", "split".
        triplets: "anchor", "positive", "negative".
        paraphrases: "sentence1", "sentence2", "label".
    """

    def __init__(self, seed: int = 0) -> None:
        self._random = np.random.default_rng(seed)
        self.pairs: Rows = [self._pair() for _ in range(300)]
        self.documents: Rows = [
            {"id": f"d{i}", "title": self._text(2) if i % 3 else "", "text": self._text(20)}
            for i in range(400)
        ]
        self.documents[17].update(title="", text="")
        self.queries: Rows = []
        self.judgements: Rows = []
        for i in range(50):
            self._add_query(i)
        self.labelled: Rows = [self._labelled(i) for i in range(400)]
        self.triplets: Rows = [self._triplet() for _ in range(200)]
        self.paraphrases: Rows = [self._paraphrase() for _ in range(200)]

    def write(self, folder: Path) -> Path:
        """The sets as folders that `vecsmith.evaluate` reads."""
        for name, rows in (
            ("pairs/data", [{**row, "split": "test"} for row in self.pairs]),
            ("search/corpus", self.documents),
            ("search/queries", self.queries),
            ("search/qrels", [{**row, "split": "test"} for row in self.judgements]),
            ("mood/data", self.labelled),
            ("nearer/triplets", [{**row, "split": "test"} for row in self.triplets]),
            ("alike/pairs", [{**row, "split": "test"} for row in self.paraphrases]),
        ):
            path = folder / f"{name}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return folder

    def _text(self, n_words: int) -> str:
        return " ".join(self._random.choice(WORDS, n_words))

    def _altered(self, text: str, share: float) -> str:
        """The text with about a share of its words, at least one, replaced by others."""
        words = text.split()
        n_other = max(1, int(self._random.binomial(len(words), share)))
        for i in self._random.choice(len(words), n_other, replace=False):
            words[i] = str(self._random.choice(WORDS))
        return " ".join(words)

    def _pair(self) -> dict[str, Any]:
        first, share = self._text(10), self._random.random()
        score = np.clip(5 * (1 - share) + self._random.normal(), 0, 5)
        # halves, so that gold scores tie as people's do
        return {
            "sentence1": first,
            "sentence2": self._altered(first, share),
            "score": round(2 * float(score)) / 2,
        }

    def _add_query(self, i: int) -> None:
        chosen = self._random.choice(16, 4, replace=False) + 20 * (i % 19) + 18
        best = self.documents[chosen[0]]["text"]
        self.queries.append({"id": f"q{i}", "text": self._altered(best, 0.5)})
        for place, grade in zip(chosen, (2, 1, 1, 0), strict=True):
            judgement = {"query_id": f"q{i}", "doc_id": f"d{place}", "relevance": grade}
            self.judgements.append(judgement)

    def _labelled(self, i: int) -> dict[str, Any]:
        label = i % 4
        own = [str(word) for word in self._random.choice(WORDS[label * 50 : label * 50 + 50], 2)]
        text = " ".join([self._text(6), *own])
        return {"text": text, "label": f"mood {label}", "split": "train" if i < 250 else "test"}

    def _triplet(self) -> dict[str, Any]:
        anchor = self._text(8)
        positive, negative = self._altered(anchor, 0.8), self._altered(anchor, 0.9)
        return {"anchor": anchor, "positive": positive, "negative": negative}

    def _paraphrase(self) -> dict[str, Any]:
        first, label = self._text(8), int(self._random.integers(2))
        second = self._altered(first, 0.6 if label else 0.8)
        return {"sentence1": first, "sentence2": second, "label": label}


def column(rows: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    """One field of every row."""
    return [row[name] for row in rows]

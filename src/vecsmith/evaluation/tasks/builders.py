"""What is asked by the rows of one table: texts and answers of each kind but retrieval.

The one rule: only rows of the split that is scored are looked at, and of those that fit or tune.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from vecsmith.errors import FormatError
from vecsmith.evaluation.tasks.drawing import codes_of, draw, stratified_draw
from vecsmith.evaluation.tasks.settings import TaskSettings
from vecsmith.evaluation.tasks.splits import Asked, scored_split, split_note
from vecsmith.evaluation.tasks.tables import Table
from vecsmith.evaluation.tasks.task import (
    BitextData,
    ClassificationData,
    ClusteringData,
    Data,
    PairData,
    SimilarityData,
    TripletData,
)
from vecsmith.evaluation.tasks.values import (
    Rows,
    labels_of,
    n_empty,
    numbers_of,
    subsets_of,
    text_of,
    texts_of,
)

MAX_TEST_TEXTS = 5_000  # of classification
MAX_TUNING_PAIRS = 5_000
_HELD_OUT = 0.2  # of labelled texts that have no split

# Whether a pair belongs together; numbers only of plain pairs: in NLI sets 1 may be neutral.
_OF_NLI = {"entailment": True, "contradiction": False, "not_entailment": False}
_OF_PAIRS = _OF_NLI | {"1": True, "true": True, "0": False, "false": False}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Portion:
    """Rows of one language.

    Attributes:
        table: The table they are of.
        columns: Those that the task is asked by.
        splits: Rows by split.
        asked: What the rows are for.
        n_elsewhere: Rows left out because they are test rows of stsb.
        settings: Of the task.
    """

    table: Table
    columns: tuple[str, ...]
    splits: Mapping[str, Rows]
    asked: Asked
    n_elsewhere: int
    settings: TaskSettings

    @property
    def scored(self) -> str:
        """The split that is scored; "all" also of labelled texts to be divided for "dev"."""
        return scored_split(self.splits, self.asked) or "all"

    @property
    def rows(self) -> Rows:
        """Rows that are scored."""
        return self.splits[self.scored]

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said of the split."""
        notes = split_note(self.splits, self.asked, self.scored)
        if not self.n_elsewhere:
            return notes
        return (*notes, f"{self.n_elsewhere} rows that are test rows of stsb are left out")

    @property
    def where(self) -> str:
        """File and split, for an error about all the rows."""
        path = self.table.file_of(int(self.rows[0]))
        return f"{path}" if self.scored == "all" else f"{path}: split {self.scored}"

    def texts(self, place: int, rows: Rows | None = None) -> list[str]:
        """Texts of the column at `place`, of the scored rows or others."""
        return texts_of(self.table, self.columns[place], self.rows if rows is None else rows)

    def subsets(self, rows: Rows | None = None) -> list[str] | None:
        """Part of the set that each of the scored rows, or of others, is from; None if not said."""
        return subsets_of(self.table, self.rows if rows is None else rows)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Asking:
    """What a portion came to: the data of a task, and what is to be said of it."""

    data: Data
    counts: Mapping[str, int]
    notes: tuple[str, ...] = field(default=())


def similarity(portion: Portion) -> Asking:
    """Pairs and their gold scores."""
    first, second = portion.texts(0), portion.texts(1)
    data = SimilarityData(
        first=first,
        second=second,
        scores=numbers_of(portion.table, "score", portion.rows),
        subsets=portion.subsets(),
    )
    counts = {"pairs": len(first), "empty texts": n_empty(first, second)}
    return Asking(data=data, counts=counts, notes=portion.notes)


def triplets(portion: Portion) -> Asking:
    """Anchors with a nearer and a farther text."""
    data = TripletData(
        anchors=portion.texts(0),
        positives=portion.texts(1),
        negatives=portion.texts(2),
        subsets=portion.subsets(),
    )
    empty = n_empty(data.anchors, data.positives, data.negatives)
    counts = {"triplets": len(data.anchors), "empty texts": empty}
    return Asking(data=data, counts=counts, notes=portion.notes)


def bitext(portion: Portion) -> Asking:
    """Sentences and their translations."""
    data = BitextData(sources=portion.texts(0), targets=portion.texts(1), subsets=portion.subsets())
    empty = n_empty(data.sources, data.targets)
    counts = {"sentences": len(data.sources), "empty texts": empty}
    return Asking(data=data, counts=counts, notes=portion.notes)


def clustering(portion: Portion) -> Asking:
    """Texts and the cluster of each."""
    texts = portion.texts(0)
    labels = labels_of(portion.table, portion.columns[1], portion.rows)
    counts = {"texts": len(texts), "clusters": len(set(labels)), "empty texts": n_empty(texts)}
    data = ClusteringData(texts=texts, labels=labels, subsets=portion.subsets())
    return Asking(data=data, counts=counts, notes=portion.notes)


# Pairs that belong together or do not


def pair_classification(portion: Portion) -> Asking:
    """Positive and negative pairs, and others to choose a threshold on."""
    data, left_out = _pairs(portion, portion.rows)
    tuning, notes = _tuning(portion)
    data = replace(data, tuning=tuning)
    counts = {
        "pairs": len(data.first),
        "positive pairs": int(data.labels.sum()),
        "tuning pairs": len(tuning.first) if tuning else 0,
        "empty texts": n_empty(data.first, data.second),
    } | {f"left out: {label}": n for label, n in sorted(left_out.items())}
    return Asking(data=data, counts=counts, notes=(*portion.notes, *notes))


def _pairs(portion: Portion, rows: Rows) -> tuple[PairData, Counter[str]]:
    """Pairs of `rows` with a label that counts, and how many have which other label."""
    labels = [label.lower() for label in labels_of(portion.table, "label", rows)]
    is_positive, left_out = _verdicts(portion, sorted(set(labels)))
    for label in set(labels) - is_positive.keys() - left_out:
        raise _unknown_label(portion, int(rows[labels.index(label)]))
    kept = np.array([label in is_positive for label in labels], dtype=np.bool_)
    chosen = rows[kept]
    truth = np.array([is_positive[each] for each in labels if each in is_positive], dtype=np.bool_)
    data = PairData(
        first=portion.texts(0, chosen),
        second=portion.texts(1, chosen),
        labels=truth,
        subsets=portion.subsets(chosen),
    )
    return data, Counter(label for label in labels if label not in is_positive)


def _verdicts(portion: Portion, labels: Sequence[str]) -> tuple[dict[str, bool], set[str]]:
    """Whether each label is positive, and the labels that count as neither."""
    positive = {label.lower() for label in portion.settings.positive}
    negative = {label.lower() for label in portion.settings.negative}
    if positive or negative:
        left_out = set(labels) - positive - negative if positive and negative else set()
        verdicts = {each: each in positive if positive else each not in negative for each in labels}
        return {label: verdicts[label] for label in labels if label not in left_out}, left_out
    return _OF_NLI if portion.columns[0] == "premise" else _OF_PAIRS, {"neutral"}


def _unknown_label(portion: Portion, row: int) -> FormatError:
    known = "entailment, contradiction, neutral or not_entailment"
    expected = known if portion.columns[0] == "premise" else f"1 or 0, true or false, {known}"
    found = text_of(portion.table.columns["label"][row])
    return FormatError(
        f"{portion.table.where(row)}: label is {found!r:.60}, expected {expected}; name yours in "
        'task.toml, as in positive = ["yes"] and negative = ["no"]'
    )


def _tuning(portion: Portion) -> tuple[PairData | None, tuple[str, ...]]:
    """Pairs of dev, else of train, that are not scored themselves; None without both labels."""
    others = portion.splits.keys() - {portion.scored}
    split = next((split for split in ("dev", "train") if split in others), None)
    if split is None:
        return None, ()
    rows = portion.splits[split]
    drawn = rows[draw(len(rows), MAX_TUNING_PAIRS)]
    tuning = replace(_pairs(portion, drawn)[0], subsets=None)
    if tuning.labels.all() or not tuning.labels.any():
        return None, (f"{split} rows are all alike, so no threshold is chosen",)
    note = () if len(drawn) == len(rows) else (f"{len(drawn)} of {len(rows)} pairs tune",)
    return tuning, note


# Labelled texts


def classification(portion: Portion) -> Asking:
    """Texts to fit a classifier on, and at most 5,000 others to score it on."""
    train, test, notes = _train_and_test(portion)
    labels = labels_of(portion.table, "label", test)
    if len(test) > MAX_TEST_TEXTS:
        drawn = stratified_draw(codes_of(labels), MAX_TEST_TEXTS)
        notes = (*notes, f"{len(drawn)} of {len(test)} texts are scored, each label with its share")
        test, labels = test[drawn], [labels[place] for place in drawn.tolist()]
    data = ClassificationData(
        train_texts=portion.texts(0, train),
        train_labels=labels_of(portion.table, "label", train),
        test_texts=portion.texts(0, test),
        test_labels=labels,
        subsets=portion.subsets(test),
    )
    known = set(data.train_labels)
    strangers = sum(label not in known for label in labels)
    if strangers:
        notes = (*notes, f"{strangers} texts have a label that no train row has")
    counts = {
        "test texts": len(test),
        "train texts": len(train),
        "labels": len(known.union(labels)),
        "empty texts": n_empty(data.train_texts, data.test_texts),
    }
    return Asking(data=data, counts=counts, notes=notes)


def _train_and_test(portion: Portion) -> tuple[Rows, Rows, tuple[str, ...]]:
    """Rows to fit on, rows to score, and how they were told apart."""
    scored = portion.scored
    if scored == "all":
        train, test = _divided(portion, portion.rows)
        if portion.asked == "dev":
            train, test = _divided(portion, train)
        return train, test, ("there is no split, so a fifth is held out and scored",)
    if scored == "train":
        train, test = _divided(portion, portion.rows)
        return train, test, (f"there are no {portion.asked} rows, so a fifth of train is scored",)
    if "train" not in portion.splits:
        raise FormatError(
            f"{portion.table.parts[0].path}: {scored} rows and no train rows, expected train rows "
            "to fit a classifier on; add them, take the split column away to have a fifth held "
            'out, or write a task.toml with kind = "clustering"'
        )
    return portion.splits["train"], portion.rows, portion.notes


def _divided(portion: Portion, rows: Rows) -> tuple[Rows, Rows]:
    """`rows` in two, a fifth of each label in the second; equal texts stay together."""
    texts = portion.texts(0, rows)
    labels = labels_of(portion.table, "label", rows)
    label_of = dict(zip(reversed(texts), reversed(labels), strict=True))
    distinct = list(dict.fromkeys(texts))
    codes = codes_of([label_of[text] for text in distinct])
    chosen = stratified_draw(codes, round(len(distinct) * _HELD_OUT))
    held_out = {distinct[place] for place in chosen.tolist()}
    mask = np.array([text in held_out for text in texts], dtype=np.bool_)
    return rows[~mask], rows[mask]

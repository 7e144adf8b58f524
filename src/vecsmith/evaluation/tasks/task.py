"""A task in memory: what is asked, of which texts, and what the right answers are.

The one rule: a task is plain values; where they come from is `finder`'s and `source`'s business,
and what a model makes of them `evaluator`'s.

All kinds have `subsets`: the parts of a set, as in "news" or "forum", that figures are given for
beside the whole. There is one name for each item that is scored, in the items' order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vecsmith.results import Kind

Texts = list[str]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SimilarityData:
    """Pairs of texts and how alike people find them.

    Attributes:
        first: N texts.
        second: N texts.
        scores: Gold, float64 [N], any scale.
        subsets: Name of the part that each pair is from, N of them, or None.
    """

    first: Texts
    second: Texts
    scores: NDArray[np.float64]
    subsets: Texts | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RetrievalData:
    """Queries, a corpus, and judgements of some pairs of the two.

    Attributes:
        query_ids: Q ids, only of queries with a judgement in the split.
        queries: Q texts.
        document_ids: N ids.
        documents: N texts, the title before the text.
        judged_queries: Place of the query of each judgement, int64 [J].
        judged_documents: Place of its document, int64 [J].
        relevance: Grades, float64 [J]; 0 and less is not relevant.
        subsets: Name of the part that each query is from, Q of them, or None.
        own_documents: Place of the document that is the query itself and is not to be ranked, -1
            where there is none, int64 [Q]; None where all are ranked.
    """

    query_ids: Texts
    queries: Texts
    document_ids: Texts
    documents: Texts
    judged_queries: NDArray[np.int64]
    judged_documents: NDArray[np.int64]
    relevance: NDArray[np.float64]
    subsets: Texts | None = None
    own_documents: NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClassificationData:
    """Labelled texts to fit a classifier on, and others to score it on.

    Attributes:
        train_texts: T texts.
        train_labels: T labels.
        test_texts: N texts.
        test_labels: N labels.
        subsets: Name of the part that each test text is from, N of them, or None.
    """

    train_texts: Texts
    train_labels: Texts
    test_texts: Texts
    test_labels: Texts
    subsets: Texts | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairData:
    """Pairs of texts that belong together or do not.

    Attributes:
        first: N texts.
        second: N texts.
        labels: Whether each pair is positive, bool [N].
        tuning: Pairs of train or dev, to choose a threshold on; None if there are none.
        subsets: Name of the part that each pair is from, N of them, or None.
    """

    first: Texts
    second: Texts
    labels: NDArray[np.bool_]
    tuning: PairData | None = None
    subsets: Texts | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TripletData:
    """Texts with one that is nearer and one that is farther.

    Attributes:
        anchors: N texts.
        positives: N texts, the nearer.
        negatives: N texts, the farther.
        subsets: Name of the part that each triplet is from, N of them, or None.
    """

    anchors: Texts
    positives: Texts
    negatives: Texts
    subsets: Texts | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClusteringData:
    """Texts, and the cluster that each belongs to.

    Attributes:
        texts: N texts.
        labels: N clusters.
        subsets: Name of the part that each text is from, N of them, or None.
    """

    texts: Texts
    labels: Texts
    subsets: Texts | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BitextData:
    """Sentences and their translations, row for row.

    Attributes:
        sources: N texts.
        targets: N texts.
        subsets: Name of the part that each row is from, N of them, or None.
    """

    sources: Texts
    targets: Texts
    subsets: Texts | None = None


Data = (
    SimilarityData
    | RetrievalData
    | ClassificationData
    | PairData
    | TripletData
    | ClusteringData
    | BitextData
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task:
    """One task, of one language.

    Attributes:
        name: Unique: the set, and the language in brackets where the set has several:
            "stsb", "xnli/triplets[de]".
        set: The set: folder name, and the file where the folder holds several tasks.
        kind: What is asked.
        language: Code as in the set or task.toml, or None.
        split: Which rows are scored: "test", "dev", "train" or "all".
        metric: The main metric: a name of `vecsmith.evaluation.metrics`, as in "spearman_cosine",
            "ndcg@10", "accuracy", "average_precision", "v_measure", "f1".
        data: The texts and answers.
        counts: How many of what: "pairs", "documents", "empty texts", ...
        notes: What a reader must know, a sentence each.
        license: As the set states it, or None.
        source: Where the set is from, or None.
        exclude: Rows left out: values by column, as in {"stsb_split": ("dev", "train")}.
        include: Rows kept, the others left out: values by column.
        data_hash: Of everything in `data`, the kind, the split and the metric.
    """

    name: str
    set: str
    kind: Kind
    language: str | None
    split: str
    metric: str
    data: Data
    counts: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    license: str | None = None
    source: str | None = None
    exclude: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    include: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    data_hash: str = ""

"""How the defaults of `distill` were chosen: scores of candidate recipes on dev splits only.

    python recipes/distill_defaults.py --data ../shared/data --out distill_defaults.json

Semantic similarity (STS) is Spearman's correlation on stsb dev, stsb train and sts12 train, pairs
of stsb test left out; retrieval (RET) is nDCG@10 on the train and dev queries of scifact, trecqa
and tydiqa_train (English); classification (CLS) is the accuracy of a ridge classifier fitted on
train and scored on dev of hwu64, sst2 and snips. No test split is opened.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.stats import spearmanr
from tokenizers import Tokenizer

from vecsmith.distillation.distiller import UNUSED_TOKENS
from vecsmith.distillation.reduction import reduce
from vecsmith.distillation.vocabulary import build_vocabulary
from vecsmith.distillation.weighting import (
    count_probabilities,
    rank_probabilities,
    sif_weights,
    token_counts,
)
from vecsmith.transformer.source import find_teacher, read_settings
from vecsmith.transformer.teacher import Teacher, read_frame

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts as counts of tokens over their length: a mean is one product with the table."""

    means: Any

    def encode(self, table: Vectors) -> Vectors:
        """Unit vectors of the texts, shape [N, D]."""
        vectors = np.asarray(self.means @ table, dtype=np.float32)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: Vectors = vectors / np.maximum(norms, 1e-12)
        return unit


def read_texts(texts: Sequence[str], tokenizer: Any, unk_id: int | None, n_tokens: int) -> Texts:
    """Tokenises `texts`, at most 512 tokens each, without the unknown token."""
    rows, columns, values = [], [], []
    for row, encoding in enumerate(
        tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    ):
        ids = [i for i in encoding.ids[:512] if i != unk_id]
        rows += [row] * len(ids)
        columns += ids
        values += [1.0 / len(ids)] * len(ids)
    shape = (len(texts), n_tokens)
    return Texts(csr_matrix((values, (rows, columns)), shape=shape, dtype=np.float32))


class DevSets:
    """All dev splits, tokenised once."""

    def __init__(self, folder: Path, tokenizer: Any, unk_id: int | None, n_tokens: int) -> None:
        def read(name: str, file: str = "data") -> list[dict[str, Any]]:
            return list(pq.read_table(folder / name / f"{file}.parquet").to_pylist())

        def tokenize(texts: Iterable[str]) -> Texts:
            return read_texts(list(texts), tokenizer, unk_id, n_tokens)

        stsb = read("stsb")
        pairs = {
            "stsb-dev": [row for row in stsb if row["split"] == "dev"],
            "stsb-train": [row for row in stsb if row["split"] == "train"],
            "sts12-train": [
                row
                for row in read("sts12")
                if row["split"] == "train" and row["stsb_split"] != "test"
            ],
        }
        self.sts = {
            name: (
                tokenize(row["sentence1"] for row in rows),
                tokenize(row["sentence2"] for row in rows),
                np.array([row["score"] for row in rows]),
            )
            for name, rows in pairs.items()
        }
        self.ret = {}
        for name, splits in (
            ("scifact", {"train"}),
            ("trecqa", {"train", "dev"}),
            ("tydiqa_train", {"train"}),
        ):
            corpus = [row for row in read(name, "corpus") if row.get("lang", "en") == "en"]
            place = {row["id"]: i for i, row in enumerate(corpus)}
            text = {row["id"]: row["text"] for row in read(name, "queries")}
            relevant: dict[str, set[int]] = {}
            for row in read(name, "qrels"):
                if row["split"] in splits and row["relevance"] > 0 and row["doc_id"] in place:
                    relevant.setdefault(row["query_id"], set()).add(place[row["doc_id"]])
            self.ret[name] = (
                tokenize(text[query] for query in relevant),
                tokenize(f"{row['title']} {row['text']}" for row in corpus),
                list(relevant.values()),
            )
        self.cls = {}
        for name in ("hwu64", "sst2", "snips"):
            rows = read(name)
            labels = sorted({row["label"] for row in rows})
            parts = []
            for split in ("train", "dev"):
                part = [row for row in rows if row["split"] == split]
                parts.append(
                    (
                        tokenize(row["text"] for row in part),
                        np.array([labels.index(row["label"]) for row in part]),
                    )
                )
            self.cls[name] = (parts[0], parts[1], len(labels))

    def score(self, table: Vectors) -> dict[str, float]:
        """Scores x 100 by set, and the averages STS, RET and CLS."""
        scores: dict[str, float] = {}
        for name, (left, right, gold) in self.sts.items():
            cosines = (left.encode(table) * right.encode(table)).sum(axis=1)
            scores[name] = 100 * float(spearmanr(cosines, gold).statistic)
        for name, (queries, corpus, relevant) in self.ret.items():
            scores[name] = 100 * ndcg_at_10(queries.encode(table), corpus.encode(table), relevant)
        for name, ((x, y), (x_dev, y_dev), n_labels) in self.cls.items():
            scores[name] = 100 * ridge_accuracy(
                x.encode(table), y, x_dev.encode(table), y_dev, n_labels
            )
        groups: dict[str, Iterable[str]] = {"STS": self.sts, "RET": self.ret, "CLS": self.cls}
        averages = {
            group: float(np.mean([scores[name] for name in sets])) for group, sets in groups.items()
        }
        return averages | scores


def ndcg_at_10(queries: Vectors, corpus: Vectors, relevant: Sequence[set[int]]) -> float:
    """Mean nDCG@10 with relevance 0 or 1; `relevant` holds rows of the corpus by query."""
    gains = []
    discounts = 1 / np.log2(np.arange(2, 12))
    for start in range(0, len(queries), 512):
        similarities = queries[start : start + 512] @ corpus.T
        best = np.argpartition(-similarities, 10, axis=1)[:, :10]
        for row, (candidates, good) in enumerate(
            zip(best, relevant[start : start + 512], strict=True)
        ):
            ranked = candidates[np.argsort(-similarities[row, candidates], kind="stable")]
            found = np.array([doc in good for doc in ranked])
            gains.append(float(discounts[found].sum() / discounts[: min(10, len(good))].sum()))
    return float(np.mean(gains))


def ridge_accuracy(
    x: Vectors, y: NDArray[np.int64], x_dev: Vectors, y_dev: NDArray[np.int64], n_labels: int
) -> float:
    """Accuracy on dev of a ridge classifier fitted on train, one output a label."""
    mean = x.mean(axis=0)
    centered = (x - mean).astype(np.float64)
    targets = np.eye(n_labels)[y]
    gram = centered.T @ centered + 1.0 * np.eye(x.shape[1])
    weights = np.linalg.solve(gram, centered.T @ (targets - targets.mean(axis=0)))
    guesses = ((x_dev - mean) @ weights + targets.mean(axis=0)).argmax(axis=1)
    return float((guesses == y_dev).mean())


def read_states(teacher: str, cache: Path | None) -> tuple[dict[str, Vectors], Any, int | None]:
    """Vectors of every token under each pooling, the student's tokenizer, and its unknown id."""
    source = find_teacher(teacher)
    said = read_settings(source)
    frame = read_frame(said.tokenizer_json)
    student = build_vocabulary(
        said.tokenizer_json, [], token_remove_pattern=UNUSED_TOKENS, special=said.special
    )
    states: dict[str, Vectors] = {}
    for pooling in ("mean", "cls", "last"):
        path = cache / f"{pooling}.npy" if cache else None
        if path is not None and path.is_file():
            states[pooling] = np.load(path)
            continue
        model = Teacher(
            source, frame=frame, pooling=pooling, use_modules=False, compute_dtype="float32"
        )
        states[pooling] = model.embed(student.sequences)
        if path is not None:
            np.save(path, states[pooling])
    # [CLS] token [SEP]: the mean is a third of the three states
    states["token"] = 3 * states["mean"] - states["cls"] - states["last"]
    return states, Tokenizer.from_str(student.tokenizer_json), student.unk_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One recipe: what row (a) of the table is, and how it is reduced and weighted."""

    name: str
    first: float = 1.0  # share of the state at [CLS]
    own: float = 0.0  # share of the token's own state, the rest is that at [SEP]
    dim: int = 256
    center: bool = True
    whitening: float = 0.0
    remove_components: int = 0
    unit_rows: bool = False
    frequencies: str = "rank"  # or "wordfreq"
    coefficient: float = 1e-4


THIRD = 1 / 3
MODEL2VEC = Candidate(name="model2vec 0.10 defaults", first=THIRD, own=THIRD)
CANDIDATES = [
    MODEL2VEC,
    *(
        Candidate(name=f"mean, a {a:g}", first=THIRD, own=THIRD, coefficient=a)
        for a in (2e-4, 1e-3, 3e-3)
    ),
    Candidate(name="mean, wordfreq, a 0.001", first=THIRD, own=THIRD, frequencies="wordfreq",
              coefficient=1e-3),
    *(
        Candidate(name=f"mean, whitening {w:g}", first=THIRD, own=THIRD, whitening=w)
        for w in (0.25, 0.5, 1.0)
    ),
    Candidate(name="mean, not centred", first=THIRD, own=THIRD, center=False),
    Candidate(name="mean, unit rows", first=THIRD, own=THIRD, unit_rows=True),
    Candidate(name="[SEP] state", first=0.0, own=0.0),
    Candidate(name="token's own state", first=0.0, own=1.0),
    *(Candidate(name=f"[CLS] state, a {a:g}", coefficient=a) for a in (1e-4, 2e-4, 1e-3)),
    Candidate(name="[CLS] state, wordfreq, a 0.001", frequencies="wordfreq", coefficient=1e-3),
    *(
        Candidate(name=f"[CLS] {x:g} + own {1 - x:g}", first=x, own=1 - x, coefficient=2e-4)
        for x in (0.5, 0.6, 0.7, 0.8, 0.9)
    ),
    Candidate(name="balanced", first=-1, coefficient=2e-4),
    *(
        Candidate(name=f"balanced, whitening {w:g}", first=-1, whitening=w, coefficient=2e-4)
        for w in (0.25, 0.5)
    ),
    *(
        Candidate(name=f"balanced, whitening 0.25, a {a:g}", first=-1, whitening=0.25,
                  coefficient=a)
        for a in (1e-4, 5e-4, 1e-3)
    ),
    Candidate(name="balanced, whitening 0.25, unit rows", first=-1, whitening=0.25,
              unit_rows=True, coefficient=2e-4),
    Candidate(name="balanced, whitening 0.25, top component removed", first=-1, whitening=0.25,
              remove_components=1, coefficient=2e-4),
    Candidate(name="balanced, whitening 0.25, wordfreq, a 0.0005", first=-1, whitening=0.25,
              frequencies="wordfreq", coefficient=5e-4),
    *(
        candidate
        for d in (128, 64)
        for candidate in (
            Candidate(name=f"model2vec 0.10 defaults, {d} d", first=THIRD, own=THIRD, dim=d),
            Candidate(name=f"balanced, whitening 0.25, {d} d", first=-1, whitening=0.25,
                      coefficient=2e-4, dim=d),
        )
    ),
]  # fmt: skip


def make_table(
    candidate: Candidate, states: dict[str, Vectors], probabilities: dict[str, NDArray[np.float64]]
) -> Vectors:
    """The table of a candidate, shape [V, D]."""
    first, own = candidate.first, candidate.own
    if first < 0:  # balanced: both vary equally
        spreads = [float(np.sqrt(states[name].var(axis=0).sum())) for name in ("cls", "token")]
        first = spreads[1] / sum(spreads)
        own = 1 - first
    vectors = first * states["cls"] + own * states["token"]
    if first + own < 1 - 1e-6:
        vectors += (1 - first - own) * states["last"]
    if candidate.unit_rows:
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    reduction = reduce(
        vectors.astype(np.float32),
        candidate.dim,
        whitening=candidate.whitening,
        remove_components=candidate.remove_components,
        center=candidate.center,
    )
    weights = sif_weights(probabilities[candidate.frequencies], candidate.coefficient)
    return reduction.table * weights[:, None].astype(np.float32)


def main() -> None:
    """Scores every candidate, prints a table and writes a record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--teacher", default="sentence-transformers/all-MiniLM-L6-v2")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--cache", type=Path, help="folder that keeps the teacher's states")
    parser.add_argument("--out", type=Path, help="JSON file for all scores")
    arguments = parser.parse_args()
    states, tokenizer, unk_id = read_states(arguments.teacher, arguments.cache)
    n_tokens = len(states["mean"])
    dev = DevSets(arguments.data, tokenizer, unk_id, n_tokens)
    counts = token_counts("wordfreq", tokenizer, n_tokens)
    probabilities = {
        "rank": rank_probabilities(n_tokens),
        "wordfreq": count_probabilities(counts),
    }
    records = []
    print("| recipe | STS | RET | CLS | stsb dev | scifact | trecqa | tydiqa |")
    print("|---|---|---|---|---|---|---|---|")
    for candidate in CANDIDATES:
        scores = dev.score(make_table(candidate, states, probabilities))
        names = ("STS", "RET", "CLS", "stsb-dev", "scifact", "trecqa", "tydiqa_train")
        cells = [f"{scores[name]:.1f}" for name in names]
        print(f"| {candidate.name} | {' | '.join(cells)} |", flush=True)
        records.append({"recipe": asdict(candidate), "scores": scores})
    if arguments.out:
        arguments.out.write_text(json.dumps(records, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

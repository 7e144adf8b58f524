"""How few dimensions a classifier needs: cascades beside the whole model, on public sets.

Everything is chosen on train rows: strengths, temperatures and thresholds on a held-out fifth of
them, by the estimator itself, the same settings for every set. Test rows are scored at the end.

    python benchmarks/adaptive_classification.py --model minilm-256 --data ../shared/data
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._record import LOCAL_RESULTS, load_average, versions, write_record
from vecsmith import StaticModel
from vecsmith.classification import AdaptiveClassifier
from vecsmith.classification.paired import paired_loss, share_interval
from vecsmith.reporting.pictures.dims_used import dims_used_figure
from vecsmith.reporting.pictures.drawing import png_bytes

SETS = ("banking77", "ag_news")
DIMS = (8, 16, 32, 64, 256)
MAX_LOSS = 0.01
MOST_LAST, MOST_TOTAL = 32, 64
WAYS: dict[str, dict[str, Any]] = {
    "learnt, within 1 point": {"thresholds": "accuracy_loss", "max_accuracy_loss": MAX_LOSS},
    "learnt, the paper's thresholds": {},
    "discriminants, within 1 point": {
        "rotation": "discriminant", "thresholds": "accuracy_loss", "max_accuracy_loss": MAX_LOSS,
    },
    "the model's own order, within 1 point": {
        "rotation": "none", "thresholds": "accuracy_loss", "max_accuracy_loss": MAX_LOSS,
    },
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="folder of a static model of 256 dims")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--out", type=Path, default=LOCAL_RESULTS)
    arguments = parser.parse_args()
    model = StaticModel.from_pretrained(arguments.model)
    record: dict[str, Any] = {
        "model": {"name": Path(arguments.model).name, "fingerprint": model.fingerprint},
        "settings": {"dims": list(DIMS), "max_accuracy_loss": MAX_LOSS, "ways": WAYS},
        "versions": versions(["numpy", "scipy", "scikit-learn"]),
        "sets": {},
    }
    for name in arguments.sets.split(","):
        found = measure(model, arguments.data / name / "data.parquet")
        picture = found.pop("picture")
        record["sets"][name] = found
        print_table(name, found)
        arguments.out.mkdir(parents=True, exist_ok=True)
        path = arguments.out / f"dims_used_{name}.png"
        path.write_bytes(picture)
        record["load_average"] = load_average()
        print(write_record("adaptive_classification", record, folder=arguments.out))


def measure(model: StaticModel, path: Path) -> dict[str, Any]:
    """Figures of every way on the test rows of a set."""
    table = pq.read_table(path).to_pydict()
    split, labels = np.array(table["split"]), np.array(table["label"])
    vectors = model.encode(table["text"])
    train, test = split == "train", split == "test"
    whole, strength = whole_model(vectors[train], labels[train])
    right = (whole.predict(vectors[test]) == labels[test]).astype(float)
    found: dict[str, Any] = {
        "rows": {"train": int(train.sum()), "test": int(test.sum())},
        "classes": len(set(labels.tolist())),
        "whole": {"C": strength, **share(right)},
        "ways": {},
    }
    for name, settings in WAYS.items():
        classifier = AdaptiveClassifier(dims=DIMS, **settings)
        started = time.perf_counter()
        classifier.fit(vectors[train], labels[train])
        figures = score(classifier, vectors[test], labels[test], right)
        figures["seconds_to_fit"] = round(time.perf_counter() - started, 1)
        found["ways"][name] = figures
        if "picture" not in found:
            found["picture"] = draw(path.parent.name, classifier, vectors[test], labels[test])
    return found


def whole_model(vectors: NDArray[Any], labels: NDArray[Any]) -> tuple[Any, float]:
    """scikit-learn's logistic regression on all dimensions, its C by a fifth of the train rows."""
    kept, held, of_kept, of_held = train_test_split(
        vectors, labels, test_size=0.2, stratify=labels, random_state=0
    )
    scores = {
        strength: LogisticRegression(C=strength, max_iter=1000, tol=1e-3)
        .fit(kept, of_kept)
        .score(held, of_held)
        for strength in (1.0, 10.0, 100.0)
    }
    best = max(scores, key=lambda strength: scores[strength])
    return LogisticRegression(C=best, max_iter=2000).fit(vectors, labels), best


def score(
    classifier: AdaptiveClassifier,
    vectors: NDArray[Any],
    labels: NDArray[Any],
    whole: NDArray[np.float64],
) -> dict[str, Any]:
    """Test accuracy and what it cost, both accounts; what is lost against each whole model."""
    decisions = classifier.decide(vectors)
    predicted = classifier.cascaded_.labels_of(decisions.probabilities)
    right = (predicted == labels).astype(float)
    coordinates = classifier.cascaded_.coordinates(vectors, 0, DIMS[-1])
    alone = {
        str(dim): float((classifier.heads_.predict(coordinates, dim) == labels).mean())
        for dim in classifier.dims_
    }
    own = (classifier.heads_.predict(coordinates, DIMS[-1]) == labels).astype(float)
    lost, lost_own = paired_loss(whole, right), paired_loss(own, right)
    n_features, n_classes = vectors.shape[1], len(classifier.classes_)
    # multiply-adds of a row: coordinates as far as they were made, and every head asked
    made = n_features * decisions.dims if classifier.rotation_ is not None else 0
    return {
        **share(right),
        "own_whole": share(own),
        "lost_against_whole": [lost.value, lost.low, lost.high],
        "lost_against_own_whole": [lost_own.value, lost_own.low, lost_own.high],
        "mean_dims": float(decisions.dims.mean()),
        "mean_total_dims": float(decisions.total_dims.mean()),
        "expected_dims": classifier.expected_dims_,
        "expected_total_dims": classifier.expected_total_dims_,
        "multiply_adds": float((made + n_classes * decisions.total_dims).mean()),
        "multiply_adds_of_whole": n_features * n_classes,
        "thresholds": {str(d): t for d, t in classifier.thresholds_.items() if t < np.inf},
        "strengths": {str(d): c for d, c in classifier.strengths_.items()},
        "accuracy_alone": alone,
    }


def share(right: NDArray[np.float64]) -> dict[str, Any]:
    low, high = share_interval(float(right.sum()), len(right))
    return {"accuracy": float(right.mean()), "low": low, "high": high}


def draw(
    name: str, classifier: AdaptiveClassifier, vectors: NDArray[Any], labels: NDArray[Any]
) -> bytes:
    dims = classifier.decide(vectors).dims
    shares = {
        str(label): [float((dims[labels == label] == dim).mean()) for dim in classifier.dims_]
        for label in classifier.classes_
    }
    used = [m for m in range(len(DIMS)) if any(parts[m] > 0 for parts in shares.values())]
    figure = dims_used_figure(
        {label: [parts[m] for m in used] for label, parts in shares.items()},
        [classifier.dims_[m] for m in used],
        title=f"Dimensions used by class: {name}",
        subtitle=f"{len(labels):,} test rows, {dims.mean():.1f} dimensions on average",
    )
    assert figure is not None
    return png_bytes(figure)


def print_table(name: str, found: dict[str, Any]) -> None:
    whole = found["whole"]
    print(f"\n{name}: {found['rows']['test']} test rows, {found['classes']} classes")
    print(f"{'':<40}  accuracy  last head  all heads")
    interval = f"({whole['low']:.4f} to {whole['high']:.4f})"
    print(
        f"{'all 256 dims, logistic regression':<40}  {whole['accuracy']:.4f}  256  256  {interval}"
    )
    for way, figures in found["ways"].items():
        own = figures["own_whole"]
        within = figures["accuracy"] >= max(whole["low"], own["low"])
        few = figures["mean_dims"] <= MOST_LAST and figures["mean_total_dims"] <= MOST_TOTAL
        print(
            f"{way:<40}  {figures['accuracy']:.4f}  {figures['mean_dims']:.1f}  "
            f"{figures['mean_total_dims']:.1f}  own whole {own['accuracy']:.4f} "
            f"({own['low']:.4f} to {own['high']:.4f})  {'reached' if within and few else 'missed'}"
        )


if __name__ == "__main__":
    warnings.simplefilter("ignore", category=UserWarning)
    main()

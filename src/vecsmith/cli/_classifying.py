"""Texts and a model to a classifier, and a classifier with its model to labels.

The one rule: a classifier is used with the model it was fitted on, known by its fingerprint or, as
that changes with versions of libraries, by the vectors of a few fixed sentences.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vecsmith._progress import progress_bar
from vecsmith.classification.saving import SavedClassifier, check_classifier_folder, open_classifier
from vecsmith.cli._console import count, one_line
from vecsmith.cli._indexes import open_model
from vecsmith.cli._labelled import LabelledFile, label_array
from vecsmith.cli._texts import text_file
from vecsmith.errors import FormatError, RunFailed
from vecsmith.evaluation.encoding import encode_role, fingerprint_of

if TYPE_CHECKING:
    from vecsmith._typing import Encoder, FloatArray
    from vecsmith.classification.adaptive import AdaptiveClassifier
    from vecsmith.classification.cascaded import Decisions

MAX_ROWS = 8192
# Sentences that tell models apart; none of them is a user's.
PROBES = (
    "The parcel has not arrived and I would like my money back.",
    "Rain is expected in the north by Thursday evening.",
    "def area(width, height): return width * height",
    "내일 회의는 몇 시에 시작하나요?",
)
# As for an index: rounding moves a vector less, another model further.
_LEAST_COSINE = 0.9995


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedModel:
    """A classifier, the model of its vectors, and how it was fitted.

    Attributes:
        saved: The classifier.
        encoder: Its model.
        labels: Names of its labels where rows have several, else None.
        folder: Where it was saved.
    """

    saved: SavedClassifier
    encoder: Encoder
    labels: list[Any] | None
    folder: Path

    def decide(self, texts: Sequence[str]) -> Decisions:
        """What the classifier says of texts."""
        return self.saved.cascaded.decide(
            encode_role(self.encoder, texts, "text"), max_dim=self.max_dim
        )

    @property
    def max_dim(self) -> int | None:
        """The longest prefix that is used, None for all."""
        found = self.saved.settings.get("max_dim")
        return found if type(found) is int else None

    def names_of(self, decisions: Decisions) -> list[Any]:
        """The label of each row, or a list of them where rows have several."""
        found = self.saved.cascaded.labels_of(decisions.probabilities)
        if self.labels is None:
            return list(found.tolist())
        return [
            [name for name, there in zip(self.labels, row, strict=True) if there] for row in found
        ]

    @property
    def classes(self) -> list[Any]:
        """The labels there are, in the order of their probabilities."""
        return (
            self.labels if self.labels is not None else self.saved.cascaded.heads.classes.tolist()
        )


def fit(
    model: str,
    file: LabelledFile,
    out: Path,
    classifier: AdaptiveClassifier,
    *,
    options: Mapping[str, str],
    quiet: bool,
) -> dict[str, Any]:
    """Fits and saves a classifier; the figures of the fit.

    Raises:
        FormatError: If the file is broken.
        FileExistsError: If `out` is a file, or holds something else than a classifier.
        ValueError: If there are no rows, or they do not make a classifier.
    """
    started = time.perf_counter()
    check_classifier_folder(out)
    encoder, dim = open_model(model, **options)
    vectors, labels = encode_file(encoder, dim, file, quiet=quiet)
    if not labels:
        only = f" whose split is {file.split!r}" if file.split else ""
        raise ValueError(f"{file.name} has no rows{only}, expected some to learn from")
    targets, names = label_array(labels)
    encoded = time.perf_counter()
    if names is not None and len(names) < 2:
        found = f"no label but {names[0]!r:.60}" if names else "no label"
        raise ValueError(f"{file.name}: the lists of labels hold {found}, expected two different "
                         "ones at least; of one alone write true or false, no lists")  # fmt: skip
    if names is None and len(np.unique(targets)) < 2:
        raise ValueError(f"{_all_rows(len(labels))} the label {labels[0]!r}, expected two "
                         "different ones at least")  # fmt: skip
    classifier.fit(vectors, targets)
    classifier.save(
        out,
        about={
            "encoder": _encoder_block(model, encoder, dim, options),
            "labels": names,
            "rows": len(labels),
        },
    )
    loss, low, high = (_or_none(number) for number in classifier.validation_loss_)
    return {
        "classifier": str(out),
        "model": model,
        "rows": len(labels),
        "classes": len(classifier.classes_),
        "dims": list(classifier.dims_),
        "thresholds": {
            str(d): None if t == np.inf else t for d, t in classifier.thresholds_.items()
        },
        "expected_dims": _or_none(classifier.expected_dims_),
        "expected_total_dims": _or_none(classifier.expected_total_dims_),
        "validation_accuracy": _or_none(classifier.validation_accuracy_),
        "validation_loss": {"value": loss, "low": low, "high": high},
        "seconds_encoding": encoded - started,
        "seconds_fitting": time.perf_counter() - encoded,
    }


def encode_file(
    encoder: Encoder, dim: int, file: LabelledFile, *, quiet: bool
) -> tuple[FloatArray, list[Any]]:
    """Vectors [N, D] and labels of the rows of a file."""
    blocks: list[FloatArray] = []
    labels: list[Any] = []
    title = one_line(f"encoding {file.name}")
    with progress_bar(title, total=text_file(file.name).n_bytes, show=not quiet) as advance:
        read = 0
        for texts, found, n_bytes in file.chunks(MAX_ROWS):
            if texts:
                blocks.append(encode_role(encoder, texts, "text"))
                labels += found
            advance(n_bytes - read, f"{count(len(labels))} rows")
            read = n_bytes
    return np.concatenate(blocks) if blocks else np.empty((0, dim), np.float32), labels


def open_fitted(folder: Path, model: str | None, *, max_dim: int | None = None) -> FittedModel:
    """A saved classifier and its model.

    Args:
        folder: Where it was saved.
        model: Where its model is now; None: where it was.
        max_dim: The longest prefix to use; None: as it was fitted.

    Raises:
        FormatError: If the folder holds no classifier, or one that was not fitted on texts.
        RunFailed: If the model is not the one it was fitted on.
    """
    saved = open_classifier(folder)
    block = _encoder_block_of(saved, folder)
    labels = saved.about.get("labels")
    if labels is not None and (
        not isinstance(labels, list) or len(labels) != len(saved.cascaded.heads.classes)
    ):
        raise FormatError(f"{folder}: labels {labels!r:.60} do not fit its classes; fit it again")
    name = block["name"] if model is None else model
    options = {key: block[key] for key in ("compute_dtype", "device")}
    encoder, dim = open_model(name, **options)
    if dim != saved.cascaded.n_features:
        found = f"vectors of {dim} dims, the classifier of {saved.cascaded.n_features}"
        raise RunFailed(_refusal(folder, name, found))
    if not block["fingerprint"] or fingerprint_of(encoder) != block["fingerprint"]:
        cosine = _least_cosine(encoder, block["probes"])
        if cosine < _LEAST_COSINE:
            found = f"another model (a sentence is at cosine {cosine:.4f} of what it was)"
            raise RunFailed(_refusal(folder, name, found))
    if max_dim is not None:
        saved.cascaded.cascade.asked(max_dim)  # refuses one that is too small
        saved = SavedClassifier(
            cascaded=saved.cascaded,
            settings={**saved.settings, "max_dim": max_dim},
            learnt=saved.learnt,
            about=saved.about,
        )
    return FittedModel(saved=saved, encoder=encoder, labels=labels, folder=folder)


def _all_rows(n: int) -> str:
    return "the only row has" if n == 1 else f"all {count(n)} rows have"


def _or_none(figure: float) -> float | None:
    """JSON has no nan, which is a figure of no rows."""
    return None if np.isnan(figure) else figure


def _encoder_block(
    name: str, encoder: Encoder, dim: int, options: Mapping[str, str]
) -> dict[str, Any]:
    path = Path(name).expanduser()
    return {
        "name": str(path.resolve()) if path.exists() else name,
        "fingerprint": fingerprint_of(encoder),
        "dim": dim,
        **options,
        "probes": [[float(v) for v in row] for row in encode_role(encoder, PROBES, "text")],
    }


def _encoder_block_of(saved: SavedClassifier, folder: Path) -> Mapping[str, Any]:
    """What `_encoder_block` wrote."""
    block = saved.about.get("encoder")
    texts = ("name", "fingerprint", "compute_dtype", "device")
    if not isinstance(block, dict) or not (
        all(isinstance(block.get(key), str) for key in texts) and _are_probes(block.get("probes"))
    ):
        raise FormatError(
            f"{folder}: says nothing of a model, expected a classifier that was made by vecsmith "
            "classify fit"
        )
    return block


def _are_probes(rows: Any) -> bool:
    return (
        isinstance(rows, list)
        and len(rows) == len(PROBES)
        and all(isinstance(row, list) and all(type(v) is float for v in row) for row in rows)
        and len({len(row) for row in rows}) == 1
    )


def _least_cosine(encoder: Encoder, probes: list[list[float]]) -> float:
    before = np.asarray(probes)
    now = encode_role(encoder, PROBES, "text").astype(np.float64)
    if before.shape != now.shape:
        return 0.0
    lengths = np.linalg.norm(before, axis=1) * np.linalg.norm(now, axis=1)
    products = np.einsum("nd,nd->n", before, now)
    # a text without known words has no direction: then both must have none
    same = np.where(lengths > 0, products / np.maximum(lengths, 1e-30), (before == now).all(axis=1))
    return float(same.min())


def _refusal(folder: Path, name: str, found: str) -> str:
    return (
        f"{name} is not the model of {folder}: {found}, expected the one it was fitted on; name "
        "where that is now with --model, or fit the classifier again"
    )

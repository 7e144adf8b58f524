"""A scikit-learn classifier that stops at the first prefix it is sure of.

Source: Kusupati et al., "Matryoshka Representation Learning", NeurIPS 2022, section 4.2.1 and
appendix D.1. The one rule: thresholds, temperatures and how strongly weights are held back are
learnt from rows that the heads were not fitted on; what is told of the cascade is of those rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isnan, nan
from pathlib import Path
from typing import Any, Final, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

from vecsmith._typing import PathLike
from vecsmith.classification.arguments import check_arguments, checked_dims, seed_of
from vecsmith.classification.cascade_fit import (
    FitSettings,
    Material,
    fit_again,
    fit_cascade,
    unjudged,
)
from vecsmith.classification.cascaded import CascadedHeads, Decisions, FloatMatrix
from vecsmith.classification.fitting import ClassWeight, halved_dims
from vecsmith.classification.joint import learn_cascade
from vecsmith.classification.saving import (
    JSON_NAME,
    SavedClassifier,
    numbers_of,
    open_classifier,
    save_classifier,
    settings_block,
    settings_of,
)
from vecsmith.classification.targets import check_finite, row_weights
from vecsmith.errors import FormatError

# Of rows at a mean square length of 1; which of them is best differs from set to set by 2 points
STRENGTHS: Final = (1.0, 10.0, 100.0)
_DTYPES = (np.float64, np.float32, np.float16)
_FIGURES = ("expected_dims_", "expected_total_dims_", "validation_accuracy_")


class AdaptiveClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Linear heads on nested prefixes; each row is decided by the shortest that is sure of it.

    Args:
        dims: Prefix lengths of the heads; None: the embeddings' and its halves down to 8.
        heads: "untied": a matrix for each prefix (MRL); "tied": one matrix, of which a prefix uses
            its first columns (MRL-E).
        rotation: "discriminant": coordinates are changed first so that the first of them tell
            classes apart best, which brings short prefixes far nearer to the whole; "learnt": from
            there on they are learnt together with the heads of all prefixes; "none": the
            embeddings' own order.
        thresholds: "paper": of each pair of heads alone, as in the paper; "accuracy_loss": of the
            whole cascade, as cheap as it gets while no more accuracy is lost than asked.
        max_accuracy_loss: For "accuracy_loss": what may be lost against the longest head on
            average, as a share of rows (0.01 is a point).
        surely: Ask that of the upper end of the loss's 95 % interval, not of the loss itself. It
            holds of the heads that held-out rows judged: with `refit` others, fitted on more rows,
            take their place, of which it is no more than likely.
        validation_fraction: Rows of each class held out to learn thresholds, temperatures and C.
        refit: Whether heads are fitted once more on all rows after that, under the same thresholds
            and temperatures. What is told of held-out rows is of the heads before.
        calibrate: Whether each head learns a temperature (Guo et al. 2017).
        C: How weakly large weights are held back, for rows at a mean square length of 1; None: of
            1, 10 and 100 the one under which held-out labels are likeliest, for each head.
        class_weight: None, "balanced", or a mapping from class to weight. Held-out rows count by
            it as well, and so do the figures: under "balanced" accuracy is the mean over classes.
            With several labels a row it weighs the heads' fit alone.
        max_dim: The longest prefix to use when predicting; None: all. A fit makes no longer heads;
            set afterwards it leaves those there are, and the figures as of all.
        tol: A head's fit ends when no entry of its gradient is larger.
        random_state: Draws the held-out rows: a whole number, a RandomState or None.

    Attributes:
        classes_: Labels, [C].
        dims_: Prefix lengths, ascending, M.
        heads_: The heads, with their temperatures.
        rotation_: The change of coordinates, or None.
        scale_: What rows are multiplied by where there is no rotation.
        strengths_: C of each prefix length.
        thresholds_: How sure each prefix length but the last must be; infinite where it is not
            asked at all. Where no row could be held out (each class has one or two different rows
            and they are too few together) they are infinite, and the four below are nan.
        expected_dims_: Mean dimensions of the head that decides, on held-out rows.
        expected_total_dims_: Mean dimensions of all heads asked, summed, on held-out rows.
        validation_accuracy_: Of the cascade, on held-out rows; with several labels a row, the share
            of rows with all labels right.
        validation_loss_: Accuracy lost against the longest head on held-out rows: value, low, high
            of its 95 % interval. Thresholds are cross-fitted: none judged rows it was chosen by.
            With `refit` it is of the heads before the last fit, not of `heads_`.
        seed_: What drew the held-out rows.
        n_features_in_: Width of the embeddings.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> y = rng.integers(0, 3, 300)
        >>> x = rng.normal(size=(300, 16)) + 3 * np.eye(3, 16)[y]
        >>> classifier = AdaptiveClassifier(dims=[2, 4, 16]).fit(x, y)
        >>> float(classifier.score(x, y)) > 0.9
        True
        >>> classifier.expected_dims_ < 16
        True
    """

    def __init__(
        self,
        dims: Sequence[int] | None = None,
        *,
        heads: Literal["untied", "tied"] = "untied",
        rotation: Literal["learnt", "discriminant", "none"] = "learnt",
        thresholds: Literal["paper", "accuracy_loss"] = "paper",
        max_accuracy_loss: float = 0.0,
        surely: bool = False,
        validation_fraction: float = 0.2,
        refit: bool = True,
        calibrate: bool = True,
        C: float | None = None,
        class_weight: ClassWeight = None,
        max_dim: int | None = None,
        tol: float = 1e-4,
        random_state: int = 0,
    ) -> None:
        self.dims = dims
        self.heads = heads
        self.rotation = rotation
        self.thresholds = thresholds
        self.max_accuracy_loss = max_accuracy_loss
        self.surely = surely
        self.validation_fraction = validation_fraction
        self.refit = refit
        self.calibrate = calibrate
        self.C = C
        self.class_weight = class_weight
        self.max_dim = max_dim
        self.tol = tol
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fits heads and thresholds.

        Args:
            X: Embeddings [N, D], float64, float32 or float16.
            y: Labels [N], or 0 and 1 for each row and label, [N, C].
            sample_weight: How much each row counts, [N].

        Raises:
            ValueError: If an argument, the rows or the labels do not fit, a number is not finite,
                or all labels are one.
            MissingExtraError: If scipy is not installed.
        """
        check_arguments(self.get_params(deep=False))
        rows, labels = validate_data(
            self, X, y, dtype=_DTYPES, multi_output=True, ensure_all_finite=False
        )
        check_finite(rows, "X")  # scikit-learn's own words advise other classifiers
        check_classification_targets(labels)
        weights = row_weights(sample_weight, len(rows))
        if not (weights > 0).all():  # as if those rows were not there
            counted = weights > 0
            rows, labels, weights = rows[counted], labels[counted], weights[counted]
        material = Material(rows, self._targets(labels), weights)
        settings = self._settings(rows.shape[1])
        self.seed_ = seed_of(self.random_state)
        fitted, held = material.split(self.validation_fraction, self.seed_)
        cascaded = (
            self._fit_unjudged(material, settings)
            if held is None
            else self._fit_judged(material, fitted, held, settings)
        )
        heads = replace(cascaded.heads, classes=self.classes_)
        self._keep(replace(cascaded, heads=heads))
        if heads.unfinished:
            warnings.warn(
                f"heads of {list(heads.unfinished)} dimensions were still improving when they were "
                "stopped: give a larger tol or a smaller C",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def _fit_judged(
        self, material: Material, fitted: Material, held: Material, settings: FitSettings
    ) -> CascadedHeads:
        """Heads and a cascade as held-out rows ask for; sets what is told of them."""
        held = material.weighed(held, settings.class_weight)
        cascaded, choices = fit_cascade(fitted, held, settings)
        learnt = learn_cascade(
            cascaded.outcomes(held.rows, held.targets, held.weights),
            max_loss=self.max_accuracy_loss if self.thresholds == "accuracy_loss" else None,
            sure=self.surely,
            seed=self.seed_,
        )
        self.strengths_ = dict(choices.strengths)
        self.expected_dims_ = learnt.figures.mean_dims
        self.expected_total_dims_ = learnt.figures.mean_total_dims
        self.validation_accuracy_ = learnt.figures.accuracy
        self.validation_loss_ = (learnt.loss.value, learnt.loss.low, learnt.loss.high)
        if self.refit:
            cascaded = fit_again(material, choices, settings)
        return replace(cascaded, cascade=learnt.cascade)

    def _fit_unjudged(self, material: Material, settings: FitSettings) -> CascadedHeads:
        """Heads on all rows, of which the longest decides all; nothing is known of them."""
        found = (
            f"{len(material.rows)} rows are too few to hold one out and fit on others of its class"
        )
        if self.surely:
            raise ValueError(
                f"{found}, so no loss of accuracy is sure: expected three different rows of a "
                "class at least, or surely=False"
            )
        warnings.warn(
            f"{found}: the longest prefix decides all of them, and no accuracy is known; expected "
            "three different rows of a class at least",
            UserWarning,
            stacklevel=3,
        )
        choices = unjudged(settings)
        self.strengths_ = dict(choices.strengths)
        self.expected_dims_ = self.expected_total_dims_ = self.validation_accuracy_ = nan
        self.validation_loss_ = (nan, nan, nan)
        return fit_again(material, choices, settings)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Labels [N]; with several labels a row 0 or 1 for each, [N, C].

        Raises:
            ValueError: If the embeddings do not fit.
        """
        return self.predict_with_dims(X)[0]

    def predict_proba(self, X: ArrayLike) -> FloatMatrix:
        """Probabilities of the classes, from the head that decided each row, [N, C].

        Raises:
            ValueError: If the embeddings do not fit.
        """
        return self.decide(X).probabilities

    def predict_with_dims(self, X: ArrayLike) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Labels as `predict` gives them, and dimensions of the head that decided each row, [N].

        Raises:
            ValueError: If the embeddings do not fit.
        """
        rows = self._rows(X)  # first: it says where nothing is fitted
        return self.cascaded_.predict(rows, max_dim=self.max_dim)

    def decide(self, X: ArrayLike) -> Decisions:
        """Probabilities, dimensions of the head that decided, and of all asked, of each row.

        Raises:
            ValueError: If the embeddings do not fit.
        """
        rows = self._rows(X)
        return self.cascaded_.decide(rows, max_dim=self.max_dim)

    def save(self, folder: PathLike, *, about: Mapping[str, Any] | None = None) -> None:
        """Writes the classifier as `folder`, whole or not at all: JSON and safetensors, no pickle.

        Args:
            folder: New, empty, or one that holds a classifier, which is replaced.
            about: What else to keep in it, as JSON.

        Raises:
            ValueError: If it is not fitted, an argument was set to what makes no sense, or a label
                is of a type that cannot be kept.
            FileExistsError: If `folder` is a file, or holds something else.
            OSError: If the disk is full or may not be written.
        """
        check_is_fitted(self)
        params = self.get_params(deep=False)
        check_arguments(params)
        self._within_max_dim(self.dims_)
        if isinstance(self.random_state, np.random.RandomState):
            params["random_state"] = self.seed_
        saved = SavedClassifier(
            cascaded=self.cascaded_,
            settings=settings_block(params),
            learnt={
                "strengths": [self.strengths_[dim] for dim in self.dims_],
                "figures": [_or_none(getattr(self, name)) for name in _FIGURES],
                "validation_loss": [_or_none(number) for number in self.validation_loss_],
                "seed": self.seed_,
            },
            about=about or {},
        )
        save_classifier(folder, saved)

    @classmethod
    def open(cls, folder: PathLike) -> Self:
        """The classifier that `save` wrote as `folder`; its arrays are mapped.

        Raises:
            FormatError: If the folder holds none, or a broken one.
            OSError: If it cannot be read.
        """
        saved = open_classifier(folder)
        source = str(Path(folder) / JSON_NAME)
        classifier = cls(**settings_of(saved.settings, cls._get_param_names(), source=source))
        classifier._keep(saved.cascaded)
        try:
            check_arguments(classifier.get_params(deep=False))
            # files of the first version that hold none were drawn by the argument
            classifier.seed_ = seed_of(saved.learnt.get("seed", classifier.random_state))
        except ValueError as error:
            raise FormatError(f"{source}.settings: {error}") from error
        classifier.n_features_in_ = saved.cascaded.n_features
        strengths = numbers_of(saved.learnt, "strengths", len(classifier.dims_), source=source)
        classifier.strengths_ = dict(zip(classifier.dims_, strengths, strict=True))
        loss = numbers_of(saved.learnt, "validation_loss", 3, source=source, absent=nan)
        classifier.validation_loss_ = (loss[0], loss[1], loss[2])
        figures = numbers_of(saved.learnt, "figures", len(_FIGURES), source=source, absent=nan)
        for name, figure in zip(_FIGURES, figures, strict=True):
            setattr(classifier, name, figure)
        return classifier

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn may expect of it."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def _rows(self, X: ArrayLike) -> NDArray[Any]:
        """Embeddings to classify, checked."""
        check_is_fitted(self)
        rows: NDArray[Any] = validate_data(
            self, X, dtype=_DTYPES, reset=False, ensure_all_finite=False
        )
        check_finite(rows, "X")
        return rows

    def _keep(self, cascaded: CascadedHeads) -> None:
        self.cascaded_ = cascaded
        self.heads_, self.rotation_ = cascaded.heads, cascaded.rotation
        self.scale_, self.dims_, self.classes_ = (
            cascaded.scale,
            cascaded.heads.dims,
            cascaded.heads.classes,
        )
        self.thresholds_ = dict(zip(self.dims_[:-1], cascaded.cascade.thresholds, strict=True))

    def _targets(self, labels: NDArray[Any]) -> NDArray[Any]:
        """Places of classes [N], or 0 and 1 [N, C]; sets `classes_`."""
        if type_of_target(labels).startswith("multilabel"):
            self.classes_ = np.arange(labels.shape[1])
            present: NDArray[Any] = labels.astype(np.uint8)
            return present
        self.classes_, codes = np.unique(column_or_1d(labels, warn=True), return_inverse=True)
        if len(self.classes_) == 1:
            raise ValueError(
                f"y has one class, {self.classes_.tolist()[0]!r:.60}, in all {len(codes)} rows "
                "that count, expected two at least: add rows of another class"
            )
        places: NDArray[Any] = codes.astype(np.intp)
        return places

    def _settings(self, width: int) -> FitSettings:
        class_weight = self.class_weight
        if isinstance(class_weight, Mapping):
            place = {label: code for code, label in enumerate(self.classes_.tolist())}
            unknown = [label for label in class_weight if label not in place]
            if unknown:
                raise ValueError(f"class_weight names {unknown[:5]}, expected classes of y")
            class_weight = {place[label]: weight for label, weight in class_weight.items()}
        dims = halved_dims(width) if self.dims is None else checked_dims(self.dims, width)
        return FitSettings(
            dims=self._within_max_dim(dims),
            tied=self.heads == "tied",
            rotation=self.rotation,
            strengths=STRENGTHS if self.C is None else (float(self.C),),
            class_weight=class_weight,
            calibrate=self.calibrate,
            tol=self.tol,
        )

    def _within_max_dim(self, dims: tuple[int, ...]) -> tuple[int, ...]:
        kept = tuple(dim for dim in dims if self.max_dim is None or dim <= self.max_dim)
        if not kept:
            raise ValueError(
                f"max_dim is {self.max_dim}, expected at least {dims[0]}, the shortest prefix"
            )
        return kept


def _or_none(figure: float) -> float | None:
    """JSON has no nan."""
    return None if isnan(figure) else figure

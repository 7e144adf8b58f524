"""Sets in folders -> a figure to choose by: the mean over families of their dev splits.

One rule: test rows are never scored here; they only tell which training pairs have to go.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vecsmith._typing import Encoder
    from vecsmith.results import EvalResult


class DevScore:
    """A score of encoders, each scored once.

    Attributes:
        folders: Of sets.
        fingerprint: Of what is scored: the folders' sets with the hashes of their texts.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        """Takes folders of sets, of which one at least must have a dev split.

        Raises:
            FormatError: If a set is broken.
            ValueError: If there is nothing to score.
        """
        from vecsmith.evaluation.tasks.finder import find_tasks

        self.folders = list(folders)
        hashes = []
        for source in find_tasks([*folders]):
            hashes += [f"{task.name}={task.data_hash}" for task in source.load("dev", None)]
        if not hashes:
            raise ValueError(
                f"--eval {', '.join(map(str, folders))}: no set has rows to choose by, expected a "
                "dev split, or training rows to take one of"
            )
        self.fingerprint = " ".join(sorted(hashes))
        self._scores: dict[str, float] = {}

    def __call__(self, encoder: Encoder) -> float:
        """The mean of the families' means over the dev splits, all dims."""
        fingerprint = str(getattr(encoder, "fingerprint", ""))
        if not fingerprint:
            return self.result(encoder, None).average("families")
        if fingerprint not in self._scores:
            self._scores[fingerprint] = self.result(encoder, None).average("families")
        return self._scores[fingerprint]

    def result(
        self,
        encoder: Encoder,
        dims: Sequence[int] | None,
        *,
        out: Path | None = None,
        name: str = "",
    ) -> EvalResult:
        """The whole record of an evaluation on the dev splits, kept in `out` if it is given."""
        from vecsmith.evaluation import evaluate

        return evaluate(
            encoder,
            self.folders,
            split="dev",
            dims=dims,
            out=out,
            restart=out is not None,
            name=name,
            measure_speed=False,
        )


def scored_texts(folders: Sequence[Path]) -> Iterator[str]:
    """Every text that is scored in the sets of `folders`, in the dev and the test splits.

    The training rows of classifications are not among them: a classifier sees them anyway.
    """
    from vecsmith.evaluation.scoring import columns_of
    from vecsmith.evaluation.tasks.finder import find_tasks

    for source in find_tasks([*folders]):
        for split in ("dev", "test"):
            for task in source.load(split, None):
                for column, texts in columns_of(task).items():
                    if column not in ("train", "tuning first", "tuning second"):
                        yield from texts.texts


def scores_for_card(result: EvalResult) -> list[dict[str, Any]]:
    """Rows of a model card: every task and average, with its interval and by prefix."""
    views = result.views
    main = views[0]
    names = [*result.tasks, *result.families, *(["families"] if len(result.families) > 1 else [])]
    rows = []
    for name in names:
        task = result.tasks.get(name)
        low, high = result.interval(name)
        score = task.score() if task is not None else result.average(name)
        rows.append(
            {
                "name": "mean of families" if name == "families" else name,
                "metric": task.metric if task is not None else "mean",
                "split": "dev" if task is None else task.split,
                "items": None if task is None else task.n_items,
                "score": score,
                "low": low,
                "high": high,
                "dims": {
                    str(view.dim): task.score(view) if task else result.average(name, view)
                    for view in views
                    if view != main
                },
            }
        )
    return rows

"""What the regression keeps of the teacher beside tokenlearn's objectives: same texts, same pass.

    python benchmarks/objectives.py --data ../shared/data

Every model is made by recipes/static_models.py of one pass of the teacher, so all see the same
texts; `seconds` is what each took after the pass. Test rows of the named groups are scored once
and nothing is chosen by them. Writes benchmarks/results/objectives.{json,md}.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._record import LOCAL_RESULTS, versions, write_record
from recipes.static_models import Workshop
from vecsmith import evaluate
from vecsmith.results import EvalResult, View

ROOT = Path(__file__).resolve().parents[1]
GROUPS = ("STS", "RET", "CLS")
DIMS = (256, 64)
# How many of each: the regression has no dice
METHODS = {
    "texts": 1,
    "texts, finished": 1,
    "texts, pairs": 3,
    "tokenlearn cosine": 3,
    "tokenlearn mse": 1,
    "tokenlearn contrastive": 1,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    asked = parser.parse_args()
    workshop = Workshop(data=asked.data)
    rows = []
    for name, n_seeds in METHODS.items():
        for seed in range(n_seeds):
            rows.append(_row(workshop, name, seed))
            print(json.dumps(rows[-1]), flush=True)
    found = {
        "rows": rows,
        "versions": versions(["numpy", "torch", "transformers", "scikit-learn"]),
        "settings": {"split": "test", "dims": list(DIMS), "groups": list(GROUPS)},
    }
    path = write_record("objectives", found, folder=LOCAL_RESULTS.parent)
    record = json.loads(path.read_text(encoding="utf-8"))
    path.with_suffix(".md").write_text(_markdown(record), encoding="utf-8")
    return 0


def _row(workshop: Workshop, name: str, seed: int) -> dict[str, Any]:
    """Scores of one model, x 100 with their 95 % intervals, and what it took."""
    model = workshop.model(name, seed)
    result = evaluate(
        model,
        workshop.data,
        suite="groups",
        dims=DIMS,
        name=f"{name}, seed {seed}",
        out=LOCAL_RESULTS / "objectives" / f"{name} {seed} {model.fingerprint[:8]}",
        measure_speed=False,
    )
    return {
        "method": name,
        "seed": seed,
        "seconds": workshop.seconds(name, seed),
        "scores": {str(dim): _scores(result, dim) for dim in DIMS},
    }


def _scores(result: EvalResult, dim: int) -> dict[str, list[float]]:
    view = View(dim=dim, precision="float32")
    return {
        group: [
            round(100 * value, 2)
            for value in (result.average(group, view), *result.interval(group, view))
        ]
        for group in GROUPS
    }


def _markdown(record: dict[str, Any]) -> str:
    """The table, one line for each model."""
    lines = [
        "# Objectives on one pass of the teacher",
        "",
        "The same texts and vectors of the teacher for all; scores are of test rows, times "
        "100, with half the width of their 95 % interval; seconds are what a model took after the "
        "pass, on a machine with other work. Written by benchmarks/objectives.py.",
        "",
        "| method | seed | seconds | " + " | ".join(f"{g}, {d} dims" for d in DIMS for g in GROUPS)
        + " |",
        "|---|--:|--:|" + "--:|" * (len(DIMS) * len(GROUPS)),
    ]  # fmt: skip
    for row in record["rows"]:
        cells = [
            f"{value:.1f} ± {(high - low) / 2:.1f}"
            for dim in DIMS
            for value, low, high in (row["scores"][str(dim)][group] for group in GROUPS)
        ]
        lines.append(
            f"| {row['method']} | {row['seed']} | {row['seconds']:.0f} | {' | '.join(cells)} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())

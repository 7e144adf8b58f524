"""How often 90 % intervals of fitted laws hold the truth, and how often a wrong form is said to be.

    python benchmarks/scaling_laws.py                # 200 replicas of each study, 15 minutes
    python benchmarks/scaling_laws.py --replicas 20

Every replica draws the runs of a whole sweep from known laws with 2 % noise, fits them, and asks
whether each interval holds the truth: predicted losses, best sizes, coefficients, crossovers.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import _scaling_laws as studies
from benchmarks._record import LOCAL_RESULTS, versions, write_record

SMALL = (1.5e15, 6e15, 2.4e16, 9.6e16)
STUDIES: dict[str, tuple[str, Callable[[int], studies.Hits]]] = {
    "hoffmann, full tuning": (
        "7 sizes x 6 budgets",
        lambda seed: studies.hoffmann_replica(studies.full_design(), seed),
    ),
    "hoffmann, wide": (
        "8 sizes over four decades x 8 budgets",
        lambda seed: studies.hoffmann_replica(studies.wide(), seed),
    ),
    "hoffmann, small": (
        "5 sizes x 4 budgets",
        lambda seed: studies.hoffmann_replica(studies.full_design(SMALL, 5), seed),
    ),
    "hoffmann, delta 1e-3": (
        "7 sizes x 6 budgets, Huber's delta as in the papers",
        lambda seed: studies.hoffmann_replica(studies.full_design(), seed, delta=1e-3),
    ),
    "nds, LoRA": ("7 sizes x 4 ranks x 6 budgets", studies.lora_replica),
    "models of their own": (
        "7 sizes x 6 budgets, noise 1 %, each model 2 % off the law",
        studies.model_replica,
    ),
    "crossover": (
        "full tuning beside LoRA, their laws and two lines of 6 budgets",
        studies.crossover_replica,
    ),
    "form": ("how often a form is flagged as wrong", studies.form_replica),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--replicas", type=int, default=200)
    parser.add_argument("--only", choices=list(STUDIES), nargs="*", default=list(STUDIES))
    parser.add_argument("--out", type=Path, default=LOCAL_RESULTS)
    asked = parser.parse_args()
    found = {name: _study(name, asked.replicas) for name in asked.only}
    payload = {
        "settings": {
            "replicas": asked.replicas,
            "draws": 200,
            "level": 0.9,
            "noise": studies.NOISE,
        },
        "studies": found,
        "versions": versions(["numpy", "scipy"]),
    }
    print(f"written to {write_record('scaling_laws', payload, folder=asked.out)}")
    return 0


def _study(name: str, n_replicas: int) -> dict[str, Any]:
    design, replica = STUDIES[name]
    start = time.perf_counter()
    replicas = [replica(seed) for seed in range(n_replicas)]
    seconds = time.perf_counter() - start
    shares = studies.share_of_hits(replicas)
    kinds = studies.by_kind(shares)
    print(f"{name} ({design}), {seconds / n_replicas:.2f} s a replica", flush=True)
    for kind, share in (shares if name in {"form", "crossover"} else kinds).items():
        print(f"    {kind:40s} {share:6.1%}", flush=True)
    return {"design": design, "shares": shares, "by_kind": kinds, "seconds": round(seconds, 1)}


if __name__ == "__main__":
    raise SystemExit(main())

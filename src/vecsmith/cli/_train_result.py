"""What a training run came to, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vecsmith.cli._console import count, size


def print_result(result: Mapping[str, Any]) -> None:
    """Prints the facts of a run for people."""
    kept = result["steps"]["kept"]
    best = f", weights of step {count(kept)} kept" if kept is not None else ""
    print(
        f"{count(result['steps']['done'])} of {count(result['steps']['planned'])} steps on "
        f"{count(result['pairs'])} pairs, {count(round(result['examples_per_second']))} "
        f"examples/s{best}"
    )
    if "tokens" in result:
        weights = result["weights"]
        print(
            f"  {count(result['tokens'])} tokens; {count(weights['trained'])} weights trained, "
            f"{count(weights['frozen'])} as they were"
        )
    if result["score"] is not None and result["score_at_start"] is not None:
        before, after = 100 * result["score_at_start"], 100 * result["score"]
        print(
            f"  dev score {before:.1f} at the start, {after:.1f} in the end ({after - before:+.1f})"
        )
    for row in result["scores"]:
        interval = f" ({100 * row['low']:.1f}-{100 * row['high']:.1f})"
        prefixes = "".join(f"  {dim}: {100 * score:.1f}" for dim, score in row["dims"].items())
        print(f"  {row['name']}, {row['metric']}: {100 * row['score']:.1f}{interval}{prefixes}")
    shape = (
        f"{count(result['vocabulary'])} tokens x {result['dim']}"
        if "vocabulary" in result
        else f"{result['layers']} layers, {result['dim']} dimensions"
    )
    print(
        f"{result['out']}: {shape}, {size(result['bytes'])} in {result['seconds']:.1f} s; "
        f"curve and scores in {result['work']}"
    )

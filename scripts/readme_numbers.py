"""Writes the measured table of README.md from the records in benchmarks/results.

python scripts/readme_numbers.py           # rewrites the table
python scripts/readme_numbers.py --check   # exits with 1 if it is not what the records say
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
BLOCK = re.compile(r"(<!-- numbers: [^>]*-->\n).*?(<!-- /numbers -->)", re.DOTALL)
ONE, ALL = "vecsmith, 1 thread", "vecsmith, all threads"
PEERS = {
    "model2vec": "model2vec {model2vec}",
    "sentence-transformers": "sentence-transformers {sentence-transformers} static",
    "tokenizers alone": "Hugging Face tokenizers {tokenizers}, ids only",
}


RECIPES = {
    "model2vec 0.10 defaults": "model2vec 0.10's recipe",
    "balanced, whitening 0.25": "vecsmith's default",
}


def main() -> int:
    """Rewrites the table, or compares it; the exit code."""
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    new = BLOCK.sub(lambda found: found[1] + numbers() + found[2], text)
    if "--check" in sys.argv[1:]:
        if new != text:
            print("README.md: its table is not the records', run scripts/readme_numbers.py")
        return int(new != text)
    readme.write_text(new, encoding="utf-8")
    return 0


def numbers() -> str:
    """Markdown of the tables."""
    return f"{speed(record('encode'))}\n{quality(record('distill_defaults'))}\n"


def record(name: str) -> Any:
    """A benchmark's committed record."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def speed(found: dict[str, Any]) -> str:
    """Texts per second beside the peers."""
    kinds = {kind["name"]: kind for kind in found["kinds"]}
    paragraphs, strings = kinds["English paragraphs"], kinds["short English strings"]
    lines = [
        "| English paragraphs, unseen, one float32 folder of 256 dims | texts/s | vecsmith on all "
        "threads is faster by | on one thread by | in processor time by | short strings/s |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for side in (ONE, ALL):
        rates = [thousands(kind["texts_per_second"][side]) for kind in (paragraphs, strings)]
        lines.append(f"| **{side}** | **{rates[0]}** | | | | **{rates[1]}** |")
    for side, label in PEERS.items():
        cells = [
            thousands(paragraphs["texts_per_second"][side]),
            times(paragraphs["times_faster"][ALL][side]),
            times(paragraphs["times_faster"][ONE][side]),
            times(paragraphs["times_less_processor_time"][ONE][side]),
            thousands(strings["texts_per_second"][side]),
        ]
        lines.append(f"| {label.format(**found['versions'])}, its default | {' | '.join(cells)} |")
    machine = found["machine"]
    lines.append(
        f"\n{machine['cpu']}, {machine['cores_usable']} cores, Python {machine['python']}, "
        f"load average {machine['load_average']:.1f}, median (min-max) of "
        f"{found['settings']['rounds']} rounds; the peers tokenize on every core by default. "
        "[Record](benchmarks/results/encode.json).\n"
    )
    return "\n".join(lines)


def quality(found: list[dict[str, Any]]) -> str:
    """Development scores of the two recipes."""
    scores = {row["recipe"]["name"]: row["scores"] for row in found}
    lines = [
        "| distilled from all-MiniLM-L6-v2, no text, 256 dims, dev splits | STS | retrieval "
        "| classification |",
        "|---|--:|--:|--:|",
    ]
    for name, label in RECIPES.items():
        row = scores[name]
        lines.append(f"| {label} | {row['STS']:.1f} | {row['RET']:.1f} | {row['CLS']:.1f} |")
    lines.append(
        "\nSpearman, nDCG@10 and accuracy, x100; sets and splits in "
        "[Distillation](docs/guides/distillation.md#defaults-and-what-they-gain)."
    )
    return "\n".join(lines)


def times(ratio: dict[str, float]) -> str:
    """A ratio with its range."""
    return f"{ratio['median']:.0f}x ({ratio['min']:.0f}-{ratio['max']:.0f})"


def thousands(x: float) -> str:
    """A rate to three digits with thousands separated."""
    digits = max(0, len(str(int(x))) - 3)
    return f"{round(x / 10**digits) * 10**digits:,}"


if __name__ == "__main__":
    sys.exit(main())

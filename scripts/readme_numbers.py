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
GROUPS = ("STS", "RET", "CLS")
ONE, ALL = "vecsmith, 1 thread", "vecsmith, all threads"
PEERS = {
    "model2vec": "model2vec {model2vec}",
    "sentence-transformers": "sentence-transformers {sentence-transformers} static",
    "tokenizers alone": "Hugging Face tokenizers {tokenizers}, ids only",
}

SHOWN = {
    "all-MiniLM-L6-v2": "the teacher, all-MiniLM-L6-v2",
    "vecsmith texts + pairs": "**vecsmith, 449,000 texts and 120,000 pairs**",
    "vecsmith texts": "**vecsmith, the texts alone**",
    "tokenlearn cosine": "tokenlearn's objective, the same texts",
    "vecsmith default": "vecsmith's default, no text",
    "model2vec recipe": "model2vec 0.10's recipe, no text",
    "BM25": "BM25, words alone",
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
    parts = [speed(record("encode")), quality(record("scoreboard"))]
    if (RESULTS / "train_static.json").is_file():
        parts.append(f"\n{training()}")
    return "\n".join(parts) + "\n"


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


def quality(found: dict[str, Any]) -> str:
    """Test scores of the named groups."""
    english = found["suites"]["english"]
    contenders = {each["name"]: each for each in found["contenders"]}
    lines = [
        "| test rows | dims | STS | retrieval | classification | of the teacher |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, label in SHOWN.items():
        view = contenders[name]["views"][0]
        scores = [english["averages"][group]["scores"].get(name, {}).get(view) for group in GROUPS]
        kept = english["retention"].get(name, {}).get(view, {}).get("groups")
        dims = "" if view == "text" else view.split()[0]
        whole = None not in scores
        cells = [dims, *map(points, scores), percent(kept) if whole else ""]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    sizes = [english["averages"][group]["sets"] for group in GROUPS]
    lines.append(
        f"\nSpearman, nDCG@10 and accuracy, x100, each over {sizes[0]} sets, ± half of the 95 % "
        "interval. [Every set, dimension and language](benchmarks/results/scoreboard.md)."
    )
    return "\n".join(lines)


def training() -> str:
    """One line on training beside sentence-transformers: speed, and models from nothing."""
    found = record("train_static")
    faster = " and ".join(
        f"{times(ratios['examples_per_second'])} in {precision}"
        for precision, ratios in found["vecsmith_over_sentence_transformers"].items()
    )
    return (
        f"Training (batch {found['batch_size']:,}, {found['dims'][0]} dims and "
        f"{len(found['dims']) - 1} prefixes, tokenization included, {found['threads']} threads): "
        f"the examples a second of sentence-transformers' own trainer {faster}, the same loss "
        f"and gradients at the first step; {_rounds(found)}, load average "
        f"{found['machine']['load_average']:.0f}. [Record](benchmarks/results/train_static.json). "
        "From nothing, Korean and English: [the table](docs/guides/from-nothing.md)."
    )


def _rounds(found: dict[str, Any]) -> str:
    """How often each side ran."""
    n_rounds = max(len(side) for run in found["runs"].values() for side in run.values())
    return "one round" if n_rounds == 1 else f"{n_rounds} rounds"


def points(figures: list[float] | None) -> str:
    """A score of [value, low, high] with half the width of its interval."""
    if figures is None:
        return ""
    value, low, high = figures
    return f"{100 * value:.1f} ± {50 * (high - low):.1f}"


def percent(figures: list[float] | None) -> str:
    """A share likewise."""
    return f"{points(figures).replace(' ±', ' % ±')}" if figures else ""


def times(ratio: dict[str, float]) -> str:
    """A ratio with its range."""
    digits = 0 if ratio["median"] >= 10 else 1
    low, high = f"{ratio['min']:.{digits}f}", f"{ratio['max']:.{digits}f}"
    found = f"{ratio['median']:.{digits}f}x"
    return found if ratio["min"] == ratio["max"] else f"{found} ({low}-{high})"


def thousands(x: float) -> str:
    """A rate to three digits with thousands separated."""
    digits = max(0, len(str(int(x))) - 3)
    return f"{round(x / 10**digits) * 10**digits:,}"


if __name__ == "__main__":
    sys.exit(main())

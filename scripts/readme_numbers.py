"""Writes the measured tables of README.md and the pages in docs from benchmarks/results.

python scripts/readme_numbers.py           # rewrites the tables
python scripts/readme_numbers.py --check   # exits with 1 if one is not what the records say
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from _check_tables import fuzz_table, parity_table
from _performance_tables import blocks, short_table, shown

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
BLOCK = re.compile(r"(<!-- numbers: ([^ >]*) -->\n).*?(<!-- /numbers -->)", re.DOTALL)
RECORDS = ("encode", "other_peers", "instructions", "roofline", "adversarial")
GROUPS = ("STS", "RET", "CLS")
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
    """Rewrites the tables, or compares them; the exit code."""
    wrong = 0
    pages = {"README.md": numbers, "docs/performance.md": tables, "docs/checks.md": checks}
    for path, make in ((ROOT / name, make) for name, make in pages.items()):
        text = path.read_text(encoding="utf-8")
        new = _filled(text, make)
        if "--check" not in sys.argv[1:]:
            path.write_text(new, encoding="utf-8")
            _draw()
        elif new != text:
            print(f"{path.name}: a table is not the records', run scripts/readme_numbers.py")
            wrong = 1
    return wrong


def _filled(text: str, make: Callable[[str], str]) -> str:
    return BLOCK.sub(lambda found: found[1] + make(found[2]) + found[3], text)


def _draw() -> None:
    sys.path.insert(0, str(ROOT))
    from benchmarks._encode_picture import save_picture

    cases = record("encode")["cases"]
    save_picture(cases, [shown(case) for case in cases], ROOT / "docs" / "performance.png")


def numbers(name: str) -> str:
    """Markdown of the README's tables."""
    parts = [short_table(record("encode")), quality(record("scoreboard"))]
    if (RESULTS / "train_static.json").is_file():
        parts.append(f"\n{training()}")
    return "\n".join(parts) + "\n"


def tables(name: str) -> str:
    """Markdown of one table of docs/performance.md."""
    return blocks([name], {key: record(key) for key in RECORDS})[name]


def checks(name: str) -> str:
    """Markdown of one table of docs/checks.md."""
    return {"parity": parity_table, "fuzz": fuzz_table}[name](record(name))


def record(name: str) -> Any:
    """A benchmark's committed record."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


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


if __name__ == "__main__":
    sys.exit(main())

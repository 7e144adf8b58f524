"""A ladder of small language models: tuned on budgets, laws fitted, plans held against all runs.

    python recipes/tuning_ladder.py --data ../shared/data        # everything: an hour on two cores
    python recipes/tuning_ladder.py --report                     # from the committed runs alone

Six GPT-NeoX shapes are pre-trained here on the same tokens, then tuned into embedders by four
methods on four budgets, with three seeds along a diagonal, and exhaustively on three more budgets.
Laws see the first sweep only; plans made with them for the other budgets are held against every run
there. The same by hand, after `--only models`, in the folder of --work:

    vecsmith sweep tuning-ladder.toml --pairs pairs.parquet --out runs --workers 2
    vecsmith sweep tuning-ladder-unseen.toml --pairs pairs.parquet --out unseen --workers 2
    vecsmith fit runs --law nds --out laws.json --plots pictures
    vecsmith plan --flops 1e11 --laws laws.json --catalogue catalogue.toml

Texts and pairs are those of recipes/english_sets.py, cut to 160 characters; no test row of an
evaluation set is among them. At this scale nothing is learnt about the scale of the paper
(Ziarko et al. 2024, arXiv 2406.04165): its threshold of 9.06e16 FLOP is 168,000 times as much.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks._record import LOCAL_RESULTS, RESULTS, versions, write_record  # noqa: E402
from recipes._ladder_models import Pretraining, Size, make_models  # noqa: E402
from recipes._ladder_report import report_of, tables_of  # noqa: E402
from recipes.english_sets import write_sets  # noqa: E402
from vecsmith.planning.laws.fitted import fit_laws  # noqa: E402
from vecsmith.reporting.law_pictures import write_law_pictures  # noqa: E402
from vecsmith.results.tuning_runs import TuningRun, read_runs  # noqa: E402

RECORD = "tuning_ladder"
RUNS = {"runs": "tuning_ladder_runs.jsonl", "unseen": "tuning_ladder_unseen.jsonl"}
GRIDS = {"runs": "tuning-ladder.toml", "unseen": "tuning-ladder-unseen.toml"}
GUIDE = ROOT / "docs" / "guides" / "tuning-ladder.md"
PICTURES = ROOT / "docs" / "guides"
SIZES = (
    Size(dim=16, layers=1, heads=2),
    Size(dim=24, layers=2, heads=3),
    Size(dim=32, layers=2, heads=2),
    Size(dim=48, layers=3, heads=3),
    Size(dim=64, layers=4, heads=4),
    Size(dim=96, layers=4, heads=4),
)
N_CHARACTERS = 160
STEPS = ("models", "runs", "unseen", "report")
_BEGIN, _END = "<!-- ladder: recipes/tuning_ladder.py -->", "<!-- /ladder -->"
PACKAGES = ("numpy", "scipy", "torch", "transformers", "tokenizers", "peft")


def main() -> None:
    """Runs the steps that are asked for."""
    options = _options()
    steps = ("report",) if options.report else options.only or STEPS
    if "models" in steps:
        texts, pairs = write_sets(options.data, options.work / "sets")
        prepare(options.work, SIZES, texts, pairs, Pretraining())
    for name in ("runs", "unseen"):
        if name in steps:
            sweep(options.work, name, workers=options.workers)
            pack(read_runs(options.work / name), RESULTS / RUNS[name])
    if "report" in steps:
        _report()


def prepare(
    work: Path, sizes: Iterable[Size], texts: Path, pairs: Path, settings: Pretraining
) -> None:
    """Makes models, pairs, grids and a catalogue in `work`."""
    work.mkdir(parents=True, exist_ok=True)
    made = make_models(sizes, texts, work, settings)
    table = pq.read_table(pairs, columns=["anchor", "positive"])
    cut = {
        name: pc.utf8_slice_codeunits(table[name], 0, N_CHARACTERS) for name in table.schema.names
    }
    pq.write_table(pa.table(cut), work / "pairs.parquet")
    for grid in GRIDS.values():
        shutil.copy(ROOT / "recipes" / grid, work / grid)
    entries = [f'[[model]]\nname = "{name}"\nfolder = "{path}"\n' for name, path in made.items()]
    (work / "catalogue.toml").write_text("\n".join(entries), encoding="utf-8")


def sweep(work: Path, name: str, *, workers: int) -> None:
    """Runs `vecsmith sweep` on one of the grids in `work`; goes on where it stopped."""
    command = [sys.executable, "-m", "vecsmith", "sweep", str(work / GRIDS[name])]
    options = ["--pairs", str(work / "pairs.parquet"), "--out", str(work / name)]
    subprocess.run([*command, *options, "--workers", str(workers)], check=True)


def pack(runs: Sequence[TuningRun], path: Path) -> None:
    """Writes the finished runs to one file, a line each, in the order of budget and model."""
    done = [run for run in runs if run.status == "done"]
    done.sort(key=lambda run: (run.flops, run.n_params, str(run.tuning), run.seed))
    lines = [json.dumps(_without_machine(run.to_json()), ensure_ascii=False) for run in done]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _without_machine(run: dict[str, Any]) -> dict[str, Any]:
    """A run without what is the same in all of them; the record of the ladder says it once."""
    kept = ("seconds", "training_seconds", "date", "threads")
    return {**run, "timing": {name: run["timing"][name] for name in kept}}


def unpack(path: Path) -> list[TuningRun]:
    """The runs that `pack` wrote."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [
        TuningRun.from_json(json.loads(line), source=f"{path}:{number}")
        for number, line in enumerate(lines, 1)
    ]


def _report() -> None:
    """Fits the laws to the committed runs, and writes record, pictures and tables."""
    runs, unseen = (unpack(RESULTS / RUNS[name]) for name in ("runs", "unseen"))
    found = report_of(runs, unseen)
    write_record(RECORD, {"versions": versions(PACKAGES), **found}, folder=RESULTS)
    laws = fit_laws(runs, "nds")
    for path in write_law_pictures(laws, PICTURES / "tuning-ladder", runs=unseen):
        print(path.relative_to(ROOT))
    text = GUIDE.read_text(encoding="utf-8")
    before, rest = text.split(_BEGIN)
    tables = tables_of(found)
    GUIDE.write_text(f"{before}{_BEGIN}\n{tables}\n{_END}{rest.split(_END)[1]}", encoding="utf-8")
    print(tables)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, help="folder of the sets")
    parser.add_argument("--work", type=Path, default=LOCAL_RESULTS / RECORD)
    parser.add_argument("--workers", type=int, default=2, help="cells at a time")
    parser.add_argument("--only", nargs="*", choices=STEPS, default=[], help="steps to do")
    parser.add_argument("--report", action="store_true", help="from the committed runs, no more")
    options = parser.parse_args()
    if options.data is None and not options.report and "models" in (options.only or STEPS):
        parser.error("--data is missing: the folder of the sets")
    return options


if __name__ == "__main__":
    main()

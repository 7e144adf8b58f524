"""One nested model beside a model for each size, and beside cuts of the largest: MRL's shape.

    python recipes/matryoshka_shape.py --data ../shared/data --model MODEL     # the record
    python recipes/matryoshka_shape.py --split dev --seeds 2 --set digits --change lr=0.005

MODEL is a static model of 256 dims that makes the features of texts, as `python
recipes/static_models.py --only texts` leaves it.

Trains encoders on scikit-learn's digits and on intents (static vectors of texts): nested with a
head on each prefix (MRL), with one matrix for all (MRL-E), and one model for each size; the largest
of those is also cut by PCA, random features and random projections, with linear heads fitted on
what is left. Accuracy of the heads and of the nearest neighbour on test rows, five seeds. Settings
are chosen with --split dev, which reads no test row. It writes benchmarks/results/
matryoshka_shape.json, and the table and picture of docs/guides/matryoshka.md. What was made is kept
in benchmarks/results/local/matryoshka_shape and not made twice.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks._record import LOCAL_RESULTS, RESULTS, versions, write_record  # noqa: E402
from recipes._matryoshka_models import (  # noqa: E402
    LINEAR,
    NEIGHBOR,
    Material,
    Outcomes,
    Settings,
    from_plain,
    outcomes_of_seed,
    plain,
)
from vecsmith._files import atomic_file  # noqa: E402
from vecsmith.results.resampling import bootstrap, interval  # noqa: E402

RECORD = RESULTS / "matryoshka_shape.json"
GUIDE = ROOT / "docs" / "guides" / "matryoshka.md"
PICTURE = GUIDE.with_name("matryoshka-shape.png")
TEXT_SETS = ("banking77", "hwu64")
TEXT_DIMS = (8, 16, 32, 64, 128, 256)
DIGIT_DIMS = (2, 4, 8, 16, 32, 64)
N_SEEDS = 5
N_RESAMPLES = 1000
PACKAGES = ("numpy", "torch", "scipy", "scikit-learn")
MEASURES = {LINEAR: "linear", NEIGHBOR: "nearest neighbour"}
NESTED, SEPARATE = ("MRL", "MRL-E"), "separate models"
SETTINGS = Settings()


def digits(split: str) -> Material:
    """scikit-learn's digits, 1,000 rows to train on; for "dev" a quarter of those are tested."""
    from sklearn.datasets import load_digits

    pixels, classes = load_digits(return_X_y=True)
    train, test = digit_rows(len(pixels), split)
    return _material(
        "digits", (pixels[train], classes[train]), (pixels[test], classes[test]),
        dims=DIGIT_DIMS, epochs=60, batch_size=64,
    )  # fmt: skip


def digit_rows(n_rows: int, split: str) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Places of the rows to train on and to test on."""
    order = np.random.default_rng(0).permutation(n_rows)
    return (order[:750], order[750:1000]) if split == "dev" else (order[:1000], order[1000:])


def texts(name: str, public: Path, model: Path, split: str) -> Material:
    """Static vectors of a public set's texts; for "dev" a fifth of the training rows are tested."""
    import pyarrow.parquet as pq

    from vecsmith import StaticModel

    rows = pq.read_table(public / name / "data.parquet").to_pylist()
    parts = {part: [row for row in rows if row["split"] == part] for part in ("train", "test")}
    labels = sorted({row["label"] for row in parts["train"]})
    encoder = StaticModel.from_pretrained(model)
    sides = {
        part: (
            np.asarray(encoder.encode([row["text"] for row in found])),
            np.array([labels.index(row["label"]) for row in found]),
        )
        for part, found in parts.items()
    }
    if split == "dev":
        vectors, codes = sides["train"]
        held = np.random.default_rng(0).random(len(codes)) < 0.2
        sides = {"train": (vectors[~held], codes[~held]), "test": (vectors[held], codes[held])}
    return _material(name, sides["train"], sides["test"], dims=TEXT_DIMS, epochs=10, batch_size=128)


def _material(
    name: str,
    train: tuple[NDArray[Any], NDArray[Any]],
    test: tuple[NDArray[Any], NDArray[Any]],
    *,
    dims: tuple[int, ...],
    epochs: int,
    batch_size: int,
) -> Material:
    mean = train[0].mean(axis=0)
    scale = train[0].std()
    return Material(
        name=name,
        train=((train[0] - mean) / scale).astype(np.float32),
        train_codes=train[1].astype(np.intp),
        test=((test[0] - mean) / scale).astype(np.float32),
        test_codes=test[1].astype(np.intp),
        dims=dims,
        epochs=epochs,
        batch_size=batch_size,
    )


def outcomes_of(
    material: Material, settings: Settings, seeds: Sequence[int], folder: Path
) -> tuple[list[dict[str, Outcomes]], float]:
    """What each contender gets right with each seed, and processor seconds that it took."""
    found, seconds = [], 0.0
    for seed in seeds:
        path = folder / f"{material.name}-{_key(material, settings)}-{seed}.npz"
        if not path.is_file():
            start = time.process_time()
            arrays: dict[str, Any] = plain(outcomes_of_seed(material, settings, seed))
            folder.mkdir(parents=True, exist_ok=True)
            with atomic_file(path) as file:
                np.savez_compressed(file, seconds=time.process_time() - start, **arrays)
            print(material.name, "seed", seed, flush=True)
        with np.load(path, allow_pickle=False) as kept:
            seconds += float(kept["seconds"])
            found.append(from_plain({name: kept[name] for name in kept.files if "|" in name}))
    return found, seconds


def _key(material: Material, settings: Settings) -> str:
    """What outcomes are kept under: all that they depend on."""
    said = json.dumps([asdict(settings), material.dims, material.epochs, material.batch_size])
    known = hashlib.sha256(said.encode())
    for array in (material.train, material.train_codes, material.test, material.test_codes):
        known.update(np.ascontiguousarray(array).tobytes())
    return known.hexdigest()[:16]


def measured(material: Material, seeds: Sequence[Mapping[str, Outcomes]]) -> dict[str, Any]:
    """Figures of one set, [value, low, high] each, over seeds and test rows.

    An interval is of a bootstrap that draws test rows, the same for all contenders and seeds, and
    seeds, the same for all contenders: differences are paired.
    """
    names = [*seeds[0]]
    tables: dict[tuple[str, str, int], tuple[float, NDArray[np.float64]]] = {}
    for name in names:
        for measure in MEASURES:
            for dim in material.dims:
                hits = np.stack([of_one[name][measure, dim] for of_one in seeds])
                tables[name, measure, dim] = float(hits.mean()), _resampled(hits)

    def figures(value: float, drawn: NDArray[np.float64]) -> list[float]:
        return [round(float(each), 5) for each in (value, *interval(drawn))]

    scores = {
        measure: {
            name: {str(dim): figures(*tables[name, measure, dim]) for dim in material.dims}
            for name in names
        }
        for measure in MEASURES
    }
    differences = {
        measure: {
            name: {
                str(dim): figures(
                    tables[name, measure, dim][0] - tables[SEPARATE, measure, dim][0],
                    tables[name, measure, dim][1] - tables[SEPARATE, measure, dim][1],
                )
                for dim in material.dims
            }
            for name in names
            if name != SEPARATE
        }
        for measure in MEASURES
    }
    return {
        "rows": {"train": len(material.train), "test": len(material.test)},
        "features": material.train.shape[1],
        "classes": material.n_classes,
        "epochs": material.epochs,
        "batch_size": material.batch_size,
        "accuracy": scores,
        "less_separate": differences,
    }


def _resampled(hits: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Accuracies of resamples of rows and seeds, [B], from outcomes [S, N]."""
    of_seeds = np.atleast_2d(bootstrap(hits, None, "mean", n_resamples=N_RESAMPLES))
    drawn = np.random.default_rng(0).integers(len(hits), size=of_seeds.T.shape)
    means: NDArray[np.float64] = np.take_along_axis(of_seeds.T, drawn, axis=1).mean(axis=1)
    return means


def write_guide(record: Mapping[str, Any], guide: Path = GUIDE) -> None:
    """Puts the record's tables between the marks in the guide."""
    guide.write_text(with_tables(guide.read_text(encoding="utf-8"), record), encoding="utf-8")


def with_tables(guide: str, record: Mapping[str, Any]) -> str:
    """The guide's text with the tables of the record."""
    found = re.search(r"(<!-- shape: [^>]*-->\n).*?(<!-- /shape -->)", guide, flags=re.DOTALL)
    if not found:
        return guide
    tables = "\n".join(table(name, each) for name, each in record["sets"].items())
    tables += "\n" + summary(record)
    return guide[: found.end(1)] + tables + guide[found.start(2) :]


def table(name: str, found: Mapping[str, Any]) -> str:
    """Markdown of one set: a row a contender and measure, a column a prefix length."""
    dims = [*next(iter(found["accuracy"][LINEAR].values()))]
    lines = []
    for measure, words in MEASURES.items():
        lines += [
            f"| {name}, {words} | {' | '.join(dims)} |",
            "|---|" + "--:|" * len(dims),
        ]
        for contender, figures in found["accuracy"][measure].items():
            label = f"**{contender}**" if contender in NESTED else contender
            cells = [_points(figures[dim]) for dim in dims]
            lines.append(f"| {label} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def summary(record: Mapping[str, Any]) -> str:
    """What was measured, and the largest shortfall of nested models, as lines of Markdown."""
    lines = [
        f"Accuracy x100 on test rows, mean of {record['seeds']} seeds, ± half of the 95 % interval "
        "over seeds and test rows;",
        "nearest neighbour by cosine. Behind separate models at 8 dims or more, at most:",
        "",
    ]
    for measure, words in MEASURES.items():
        for name in NESTED:
            value, low, high, where = min(
                (*figures, f"{each}, {dim} dims")
                for each, found in record["sets"].items()
                for dim, figures in found["less_separate"][measure][name].items()
                if int(dim) >= 8
            )
            lines.append(
                f"- {name}, {words}: {-100 * value:.1f} points ({where}; the 95 % interval of the "
                f"difference is {100 * low:+.1f} to {100 * high:+.1f})"
            )
    return "\n".join(lines) + "\n"


def _points(figures: Sequence[float]) -> str:
    value, low, high = figures
    return f"{100 * value:.1f} ± {50 * (high - low):.1f}"


def write_picture(record: Mapping[str, Any], path: Path = PICTURE) -> None:
    """Draws accuracy against dims, a panel a set and measure."""
    from vecsmith.reporting.pictures.dims_curves import DimPoint, dims_figure
    from vecsmith.reporting.pictures.drawing import png_bytes

    figure = dims_figure(
        {
            f"{name}, {words}": {
                contender: [
                    DimPoint(dim=int(dim), value=value, low=low, high=high)
                    for dim, (value, low, high) in figures.items()
                ]
                for contender, figures in record["sets"][name]["accuracy"][measure].items()
            }
            for measure, words in MEASURES.items()
            for name in record["sets"]
        },
        title="One nested model beside a model for each size",
        subtitle=f"accuracy × 100 from the first dims, mean of {record['seeds']} seeds; bands: "
        "95 % intervals over seeds and test rows; PCA and random: of the full model",
    )
    with atomic_file(path) as file:
        file.write(_in_few_colors(png_bytes(figure)))


def _in_few_colors(png: bytes) -> bytes:
    """The picture with a palette: bands over bands have many colours that nobody tells apart."""
    from PIL import Image

    small = io.BytesIO()
    with Image.open(io.BytesIO(png)) as picture:
        picture.convert("RGB").quantize(96).save(small, "png", optimize=True)
    return small.getvalue()


def told(found: Mapping[str, Any]) -> str:
    """Accuracies less those of separate models, for people."""
    lines = []
    for measure in MEASURES:
        for name, figures in found["accuracy"][measure].items():
            words = " ".join(f"{dim}:{100 * each[0]:.1f}" for dim, each in figures.items())
            less = found["less_separate"][measure].get(name, {})
            gaps = " ".join(f"{dim}:{100 * each[0]:+.1f}" for dim, each in less.items())
            lines.append(f"{measure:7}{name:18}{words}   {gaps}")
    return "\n".join(lines)


def main() -> None:
    """Dev scores, or the record, the table and the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--model", type=Path, help="static model that makes the features of texts")
    parser.add_argument("--work", type=Path, default=LOCAL_RESULTS / "matryoshka_shape")
    parser.add_argument("--set", choices=["digits", *TEXT_SETS], action="append")
    parser.add_argument("--split", choices=["dev", "test"], default="test")
    parser.add_argument("--change", nargs="+", default=[], metavar="NAME=VALUE")
    parser.add_argument("--seeds", type=int, default=N_SEEDS)
    parser.add_argument("--threads", type=int, default=1, help="of torch; more gain little here")
    parser.add_argument("--guide-only", action="store_true")
    arguments = parser.parse_args()
    if not arguments.guide_only:
        _measure(arguments)
    if arguments.split == "test" and RECORD.is_file():
        record = json.loads(RECORD.read_text(encoding="utf-8"))
        write_guide(record)
        write_picture(record)


def _measure(arguments: argparse.Namespace) -> None:
    import torch

    torch.set_num_threads(arguments.threads)
    changes = {
        name: float(value) for name, _, value in (c.partition("=") for c in arguments.change)
    }
    settings = Settings(**(asdict(SETTINGS) | changes))
    sets: dict[str, Any] = {}
    for name in arguments.set or ["digits", *TEXT_SETS]:
        if name != "digits" and arguments.model is None:
            raise SystemExit(f"{name} needs --model, a static model that makes its features")
        material = (
            digits(arguments.split)
            if name == "digits"
            else texts(name, arguments.data, arguments.model, arguments.split)
        )
        seeds, seconds = outcomes_of(material, settings, range(arguments.seeds), arguments.work)
        sets[name] = {**measured(material, seeds), "processor_seconds": round(seconds, 1)}
        print(f"{name}, {arguments.split}, {seconds:.0f} s\n{told(sets[name])}", flush=True)
    if arguments.split == "test" and not changes and len(sets) == 1 + len(TEXT_SETS):
        payload = {
            "versions": versions(PACKAGES),
            "seeds": arguments.seeds,
            "resamples": N_RESAMPLES,
            "settings": asdict(settings),
            "sets": sets,
        }
        write_record(RECORD.stem, payload, folder=RESULTS)


if __name__ == "__main__":
    main()

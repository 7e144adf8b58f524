"""Quality of the teacher, of every recipe of ours and of the baselines, on all public sets.

    python benchmarks/scoreboard.py                      # the sets are in ../shared/data
    python benchmarks/scoreboard.py --data my-sets --only english

Rewrites benchmarks/results/scoreboard.{json,md,png}. Runs, distilled models and the teacher's
vectors are kept in benchmarks/results/local/scoreboard, so that an interrupted scoreboard goes on
where it stopped, and a new contender costs its own share alone. Test rows are scored here, once;
nothing is chosen by what comes out, choices are made on dev rows.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._record import LOCAL_RESULTS, versions, write_record
from benchmarks._scoreboard import Board, markdown, payload
from recipes import static_models
from vecsmith import StaticModel, __version__, distill, evaluate
from vecsmith._typing import TableDtype
from vecsmith.compression import with_dtype
from vecsmith.evaluation.baselines import Bm25, RandomVectors, Tfidf
from vecsmith.evaluation.embedding_cache import EmbeddingCache
from vecsmith.evaluation.scoring import columns_of
from vecsmith.evaluation.speed import measure_speeds
from vecsmith.evaluation.tasks import find_tasks
from vecsmith.evaluation.tasks.suites import find_suite
from vecsmith.results import EvalResult, SpeedResult
from vecsmith.transformer.source import find_teacher, weights_digest
from vecsmith.transformer.text_encoder import TextEncoder

ROOT = Path(__file__).resolve().parents[1]
TEACHER = "sentence-transformers/all-MiniLM-L6-v2"
DIMS = (256, 128, 64, 32)
RANDOM = "random vectors"
SUITES = ("english", "multilingual")
SPEED_TEXTS, SPEED_TEXTS_PER_COLUMN = 8192, 1024
PACKAGES = ("numpy", "torch", "transformers", "tokenizers", "scipy", "scikit-learn",
            "bm25s", "PyStemmer")  # fmt: skip

Make = Callable[["Workshop"], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """Who is on the board.

    Attributes:
        name: As shown.
        make: Makes or opens it.
        role: "teacher" (retention is relative to it), "model", or "baseline".
        dims: Prefixes; None for what works on words.
        suites: What it is scored on; a model of English texts has nothing to say in others.
    """

    name: str
    make: Make
    role: Literal["teacher", "model", "baseline"] = "model"
    dims: tuple[int, ...] | None = DIMS
    suites: tuple[str, ...] = SUITES


def teacher(workshop: Workshop) -> TextEncoder:
    """The transformer itself."""
    return TextEncoder.from_pretrained(TEACHER, compute_dtype=workshop.compute_dtype)


def distilled(**recipe: Any) -> Make:
    """A static model distilled with these arguments of `vecsmith.distill`."""
    return lambda workshop: workshop.distill(recipe)


def trained(recipe: str, dtype: TableDtype | None = None) -> Make:
    """A model of `recipes/static_models.py`, its table rounded to `dtype`."""
    return lambda workshop: workshop.train(recipe, dtype)


# The first model is what the pictures hold the others against. Add contenders here.
CONTENDERS = (
    Contender(name="all-MiniLM-L6-v2", make=teacher, role="teacher", dims=(384, *DIMS)),
    Contender(name="vecsmith texts", make=trained("texts"), suites=SUITES[:1]),
    Contender(name="vecsmith texts, int8", make=trained("texts", "int8"), suites=SUITES[:1]),
    Contender(name="vecsmith texts, int4", make=trained("texts", "int4"), suites=SUITES[:1]),
    Contender(name="vecsmith texts + pairs", make=trained("texts, pairs"), suites=SUITES[:1]),
    Contender(
        name="vecsmith texts + lexical tail",
        make=trained("texts, lexical tail"),
        dims=(2 * DIMS[0], *DIMS),
        suites=SUITES[:1],
    ),
    Contender(name="vecsmith default", make=distilled()),
    Contender(name="tokenlearn cosine", make=trained("tokenlearn cosine"), suites=SUITES[:1]),
    Contender(name="model2vec recipe", make=distilled(compatible="model2vec")),
    Contender(name="BM25", make=lambda _: Bm25(), role="baseline", dims=None),
    Contender(name="TF-IDF", make=lambda _: Tfidf(), role="baseline", dims=None),
    Contender(name=RANDOM, make=lambda _: RandomVectors(DIMS[0]), role="baseline"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """Where things are made and kept.

    Attributes:
        folder: Runs, models and vectors.
        data: The sets.
        compute_dtype: What the teacher's vectors of texts are computed in.
    """

    folder: Path
    data: Path
    compute_dtype: Literal["auto", "float32", "bfloat16"]

    def distill(self, recipe: Mapping[str, Any]) -> StaticModel:
        """The model of a recipe, from the folder if it was made there of the same code."""
        made_of = {
            "recipe": dict(recipe),
            "teacher": weights_digest(find_teacher(TEACHER)),
            "code": _code_digest("distillation", "compression"),
            "versions": versions(["torch", "transformers", "numpy"]),
        }
        key = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:16]
        folder = self.folder / "models" / key
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True)
            distill(TEACHER, dim=DIMS[0], **recipe).save_pretrained(folder)
        return StaticModel.from_pretrained(folder)

    def train(self, recipe: str, dtype: TableDtype | None) -> StaticModel:
        """The model of a recipe that needs texts or pairs; hours of work if it is not there."""
        made = static_models.Workshop(data=self.data).model(recipe)
        return made if dtype is None else StaticModel(with_dtype(made.checkpoint, dtype))


def main() -> int:
    arguments = _arguments()
    if not arguments.data.is_dir():
        raise SystemExit(
            f"{arguments.data}: no such folder, expected one of evaluation sets: pass --data FOLDER"
        )
    workshop = Workshop(
        folder=arguments.local, data=arguments.data, compute_dtype=arguments.compute_dtype
    )
    print(f"runs in {workshop.folder}, sets of {workshop.data}", flush=True)
    encoders = {each.name: each.make(workshop) for each in CONTENDERS}
    suites = [arguments.only] if arguments.only else list(SUITES)
    results = {suite: _run_suite(workshop, suite, encoders, arguments.cache) for suite in suites}
    board = Board(
        roles={each.name: each.role for each in CONTENDERS},
        suites=results,
        speeds=_measure_speeds(workshop, encoders),
    )
    found = payload(board) | {
        "settings": {
            "teacher": TEACHER,
            "teacher_sha256": weights_digest(find_teacher(TEACHER)),
            "teacher_compute_dtype": encoders[CONTENDERS[0].name].compute_dtype,
            "teacher_threads": _torch_threads(),
            "dims": list(DIMS),
            "split": "test",
        },
        "versions": {"vecsmith": __version__, **versions(PACKAGES)},
    }
    path = write_record("scoreboard", found, folder=arguments.out)
    record = json.loads(path.read_text(encoding="utf-8"))
    path.with_suffix(".md").write_text(markdown(record), encoding="utf-8")
    _draw(board, suites[0], path.with_suffix(".png"))
    print(f"written: {path}, {path.with_suffix('.md').name}, {path.with_suffix('.png').name}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--only", choices=SUITES, help="one suite; the record holds no other")
    parser.add_argument("--out", type=Path, default=LOCAL_RESULTS.parent)
    parser.add_argument("--local", type=Path, default=LOCAL_RESULTS / "scoreboard")
    parser.add_argument("--cache", type=Path, help="folder of the teacher's vectors")
    parser.add_argument(
        "--compute-dtype", default="auto", choices=("auto", "float32", "bfloat16"),
        help="of the teacher's vectors; auto: bfloat16 where the processor is fast at it",
    )  # fmt: skip
    return parser.parse_args()


def _run_suite(
    workshop: Workshop, suite: str, encoders: Mapping[str, Any], cache: Path | None
) -> dict[str, EvalResult]:
    """Results of every contender on a suite, by name."""
    kept = EmbeddingCache(cache or workshop.folder / "vectors")
    results = {}
    for each in (each for each in CONTENDERS if suite in each.suites):
        print(f"{suite}: {each.name}", flush=True)
        results[each.name] = evaluate(
            encoders[each.name],
            workshop.data,
            suite=suite,
            dims=each.dims,
            name=each.name,
            out=_run_folder(workshop, suite, each.name, encoders[each.name]),
            cache=kept,
            measure_speed=False,
            show_progress_bar=True,
        )
    return results


def _run_folder(workshop: Workshop, suite: str, name: str, encoder: Any) -> Path:
    """Where a contender's run is: a model made anew has a folder of its own."""
    made = hashlib.sha256(encoder.fingerprint.encode()).hexdigest()[:8]
    return workshop.folder / "runs" / suite / f"{_slug(name)}-{made}"


def _measure_speeds(workshop: Workshop, encoders: Mapping[str, Any]) -> Mapping[str, SpeedResult]:
    """Texts a second of what encodes, all on the same texts of the English groups' sets."""
    texts = list(dict.fromkeys(_speed_texts(workshop.data)))
    chosen = np.random.default_rng(0).permutation(len(texts))[:SPEED_TEXTS]
    measured = {name: each for name, each in encoders.items() if hasattr(each, "encode")}
    return measure_speeds(measured, [texts[place] for place in chosen])


def _speed_texts(data: Path) -> Iterator[str]:
    for source in find_suite("groups").select(find_tasks(data)):
        for task in source.load("test"):
            for column in columns_of(task).values():
                step = max(1, len(column.texts) // SPEED_TEXTS_PER_COLUMN)
                yield from column.texts[::step]


def _torch_threads() -> int:
    import torch

    return torch.get_num_threads()


def _draw(board: Board, suite: str, path: Path) -> None:
    """The pictures of one suite below each other, in one file."""
    from io import BytesIO

    from matplotlib import image

    from vecsmith.reporting.pictures import draw_pictures
    from vecsmith.reporting.summary import build_report

    # the scores are of several runs, the speeds of this one
    found = {
        name: replace(result, speed=board.speeds.get(name, SpeedResult()), run="scoreboard")
        for name, result in board.suites[suite].items()
    }
    models = [name for name, role in board.roles.items() if role == "model"]
    others = {
        name: found[name]
        for name, role in board.roles.items()
        # down to random vectors the axes would be so long that nothing else is told apart
        if role != "model" and name != RANDOM
    }
    first = replace(found[models[0]], baselines=others)
    reference = next(name for name, role in board.roles.items() if role == "teacher")
    report = build_report([first, *(found[name] for name in models[1:])], reference=reference)
    sheets = [image.imread(BytesIO(picture.png())) for picture in draw_pictures(report)]
    image.imsave(path, _stacked(sheets))


def _stacked(sheets: Sequence[Any]) -> Any:
    """Images [H, W, C] below each other on white."""
    width = max(sheet.shape[1] for sheet in sheets)
    return np.concatenate(
        [
            np.pad(
                sheet[..., :3],
                ((0, 0), (0, width - sheet.shape[1]), (0, 0)),
                constant_values=1.0,
            )
            for sheet in sheets
        ]
    )


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _code_digest(*parts: str) -> str:
    """Hash of our source files that decide what a distillation gives."""
    digest = hashlib.sha256()
    package = ROOT / "src" / "vecsmith"
    for part in parts:
        files = [package / part] if part.endswith(".py") else sorted((package / part).glob("*.py"))
        for file in files:
            digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main())

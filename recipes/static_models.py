"""The static models of the scoreboard: the exact calls that make them, and what they cost.

    python recipes/static_models.py --data ../shared/data            # all of them
    python recipes/static_models.py --data ../shared/data --only "texts"

Models, the teacher's pass and the sets lie in benchmarks/results/local/recipes; the pass is made
once, a model once for each state of the code. A recipe that is stopped goes on where it was. On
the command line the first is

    python recipes/english_sets.py --data ../shared/data --out english-sets
    vecsmith distill sentence-transformers/all-MiniLM-L6-v2 --texts english-sets/texts.parquet \
        --decontaminate ../shared/data/stsb --decontaminate ... --out minilm-texts

with one --decontaminate for each of `english_sets.EVALUATION_SETS`. All settings are the package's
defaults, which were chosen on dev rows (docs/guides/distillation.md).
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from recipes import english_sets
from recipes.english_sets import evaluation_texts, write_sets
from vecsmith import StaticModel, distill
from vecsmith._files import read_json, write_json
from vecsmith.corpora import Decontaminator
from vecsmith.distillation.regression.settings import RegressionSettings
from vecsmith.distillation.settings import PolishSettings, TokenlearnSettings

ROOT = Path(__file__).resolve().parents[1]
LOCAL = ROOT / "benchmarks" / "results" / "local" / "recipes"
TEACHER = "sentence-transformers/all-MiniLM-L6-v2"
DIM = 256


@dataclass(frozen=True)
class Workshop:
    """Where models are made.

    Attributes:
        data: The public sets.
        folder: Of models, sets and the teacher's pass.
    """

    data: Path
    folder: Path = LOCAL

    @functools.cached_property
    def decontaminator(self) -> Decontaminator:
        """What knows the texts of the evaluation sets."""
        return Decontaminator(evaluation_texts(self.data))

    def distill(self, **options: Any) -> StaticModel:
        """A student of the texts; the teacher reads them once for all recipes."""
        texts, _ = write_sets(self.data, self.folder / "english-sets")
        return distill(
            TEACHER,
            texts=texts,
            evaluation_texts=self.decontaminator,
            work=self.folder / "minilm-work",
            dim=DIM,
            **options,
        )

    @property
    def pairs(self) -> Path:
        """The file of pairs."""
        return write_sets(self.data, self.folder / "english-sets")[1]

    def model(self, name: str, seed: int = 0) -> StaticModel:
        """The model of a recipe, opened if it is there, else made; its cost is kept beside it."""
        folder = self._place(name, seed)
        if not folder.is_dir():
            self.read()
            started = time.perf_counter()
            made = MODELS[name](self, seed)
            folder.parent.mkdir(parents=True, exist_ok=True)
            made.save_pretrained(folder)
            seconds = round(time.perf_counter() - started, 1)
            write_json(folder.with_name(f"{folder.name}.json"), {"seconds": seconds})
        return StaticModel.from_pretrained(folder)

    def seconds(self, name: str, seed: int = 0) -> float:
        """What a model took that was made, the teacher's pass not counted."""
        beside = self._place(name, seed)
        found: float = read_json(beside.with_name(f"{beside.name}.json"))["seconds"]
        return found

    def read(self) -> None:
        """Has the teacher read the texts, if it has not: no recipe's cost is to hold that."""
        if not (self.folder / "minilm-work" / "pass" / "pass.json").is_file():
            self.distill()

    def _place(self, name: str, seed: int) -> Path:
        """Where a model is: another place when the code or the recipe is another."""
        return self.folder / "models" / f"{name} {seed} {_code_digest()}"


def _learned(objective: Literal["cosine", "mse", "contrastive"]) -> Make:
    def make(workshop: Workshop, seed: int) -> StaticModel:
        return workshop.distill(objective=objective, tokenlearn=TokenlearnSettings(seed=seed))

    return make


def _regressed(workshop: Workshop, seed: int) -> StaticModel:
    return workshop.distill()  # nothing in it is random


def _finished(workshop: Workshop, seed: int) -> StaticModel:
    return workshop.distill(regression=RegressionSettings(element_power=0.75, mean_shift=1.25))


def _polished(workshop: Workshop, seed: int) -> StaticModel:
    return workshop.distill(pairs=workshop.pairs, polish=PolishSettings(seed=seed))


def _with_tail(workshop: Workshop, seed: int) -> StaticModel:
    return workshop.distill(lexical_dims=DIM)


@functools.cache
def _code_digest() -> str:
    """Hash of the files that decide what a recipe gives."""
    digest = hashlib.sha256()
    package = ROOT / "src" / "vecsmith"
    parts = ("corpora", "distillation", "training")
    files = [file for part in parts for file in sorted((package / part).rglob("*.py"))]
    for file in (*files, Path(__file__), Path(english_sets.__file__)):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:12]


Make = Callable[[Workshop, int], StaticModel]
MODELS: Mapping[str, Make] = MappingProxyType(
    {
        "texts": _regressed,
        "texts, finished": _finished,
        "texts, pairs": _polished,
        "texts, lexical tail": _with_tail,
        "tokenlearn cosine": _learned("cosine"),
        "tokenlearn mse": _learned("mse"),
        "tokenlearn contrastive": _learned("contrastive"),
    }
)


def main() -> int:
    """Makes the models asked for and says what each cost."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--local", type=Path, default=LOCAL, help="folder of what is made")
    parser.add_argument("--only", choices=MODELS, action="append")
    parser.add_argument("--seeds", type=int, default=1, help="how many of each that has dice")
    asked = parser.parse_args()
    workshop = Workshop(data=asked.data, folder=asked.local)
    for name in asked.only or MODELS:
        for seed in range(asked.seeds):
            model = workshop.model(name, seed)
            print(json.dumps({"recipe": name, "seed": seed, "dim": model.dim}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

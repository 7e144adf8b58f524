"""Speed of text -> vector: vecsmith beside model2vec, sentence-transformers and tokenizers alone.

Every library opens the same float32 folder and runs on the same one core; peers run at their
defaults. A kind of text is split at random: the first half warms a fresh model's caches, texts of
the second half, which it has not seen, are timed. The sides run in turn, and the order turns from
round to round. First the answers are compared: vectors with model2vec's and
sentence-transformers', ids with those of `tokenizers`; where they differ nothing is timed.

    python benchmarks/encode.py                      # about a quarter of an hour
    python benchmarks/encode.py --quick              # about three minutes
    python benchmarks/encode.py --models "BPE, GPT-2" --kinds de
"""

from __future__ import annotations

import argparse
import os
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks._encode_models import (
    ENGLISH,
    GPT_2,
    MULTILINGUAL,
    QWEN_2,
    UNIGRAM,
    model_folder,
    names_of,
    shown_vocabulary,
)
from benchmarks._encode_texts import (
    DATA,
    LANGUAGES,
    LONG_DOCUMENT,
    Kind,
    Material,
    all_kinds,
    new_strings,
    share_of,
)
from benchmarks._record import (
    LOCAL_RESULTS,
    PairedTimes,
    load_average,
    machine,
    paired_when_ready,
    versions,
    write_record,
)

COMPARED = 300  # texts of each kind whose vectors and ids are compared
TOLERANCE = 1e-5
# model2vec cuts a text after its limit of 512 tokens times its median token's characters
PEER_MAX_TOKENS = 512
PEER_MAX_CHARACTERS = 512 * 2

OURS, SEEN, AVX2, TWO = "vecsmith", "vecsmith, text seen before", "vecsmith, AVX2", "2 threads"
MODEL2VEC, ST, HF = "model2vec", "sentence-transformers", "tokenizers alone"
PEERS = (MODEL2VEC, ST, HF)

# Which kinds of text each vocabulary is measured on.
CASES: dict[str, tuple[str, ...]] = {
    ENGLISH: (
        "English paragraphs",
        "64-character strings",
        "short English texts",
        "long documents",
        *LANGUAGES,
    ),
    MULTILINGUAL: LANGUAGES,
    GPT_2: ("English paragraphs", "64-character strings", "de"),
    QWEN_2: ("English paragraphs", "de"),
    UNIGRAM: ("English paragraphs", "de", "ru", "ko", "ar", "zh", "ja"),
}


def main() -> int:
    """Exit code 0 when the answers agree, else 1."""
    options = _parse_arguments()
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1]})  # before any library counts the cores
    kinds = all_kinds(options.data, seed=options.seed)
    print(f"{machine()['cpu']}, one core of {len(cores)}, load {load_average():.2f}", flush=True)
    measured: list[dict[str, Any]] = []
    for model in names_of(options.models):
        names = [name for name in CASES[model] if name in kinds]
        if options.kinds is not None:
            names = [name for name in names if name in options.kinds]
        if not names:
            continue
        folder = model_folder(model, kinds, options.cache)
        sides = Sides(folder)
        for name in names:
            found = _case(model, kinds[name], sides, options, cores)
            if found is None:
                return 1
            measured.append(found)
            _write(measured, options)  # a run that is cut off has lost nothing
    _print_tables(measured)
    return 0


class Sides:
    """The libraries with one folder open; ours is opened anew for every measurement."""

    def __init__(self, folder: Path) -> None:
        """Opens the folder in all of them.

        Raises:
            RuntimeError: If the engine leaves this tokenizer to `tokenizers`.
        """
        import model2vec
        import tokenizers
        from sentence_transformers import SentenceTransformer

        self.folder = folder
        if not self.fresh().tokenizer.is_native:
            raise RuntimeError(f"tokenizer of {folder} is not native, expected the engine's own")
        self.vocabulary = shown_vocabulary(folder)
        self._model2vec = model2vec.StaticModel.from_pretrained(folder)
        self._sentence = SentenceTransformer(str(folder), device="cpu")
        self._tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def fresh(self, cpu: str = "") -> Any:
        """Our model, newly opened, with the kernels of a level."""
        from vecsmith import StaticModel

        os.environ["VECSMITH_CPU"] = cpu
        try:
            return StaticModel.from_pretrained(self.folder)
        finally:
            del os.environ["VECSMITH_CPU"]

    def model2vec(self, texts: list[str]) -> Any:
        """model2vec's own encode; of long documents all tokens, not the first 512."""
        os.environ.pop("TOKENIZERS_PARALLELISM", None)  # it sets this for the whole process
        if _is_long(texts):
            return self._model2vec.encode(texts, max_length=None)
        return self._model2vec.encode(texts)

    def sentence(self, texts: list[str]) -> Any:
        """sentence-transformers' own encode."""
        return self._sentence.encode(texts, show_progress_bar=False)

    def tokens(self, texts: list[str]) -> Any:
        """Hugging Face's ids alone."""
        return self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)


def _is_long(texts: Sequence[str]) -> bool:
    """Whether the defaults of model2vec, and ours for its folders, would cut the texts."""
    return len(texts[0]) >= LONG_DOCUMENT // 2


def _encode(model: Any, texts: list[str], **options: Any) -> Any:
    """Our encode; of long documents all tokens."""
    return model.encode(texts, **options, **({"max_length": None} if _is_long(texts) else {}))


def _case(
    model: str,
    kind: Kind,
    sides: Sides,
    options: argparse.Namespace,
    cores: Sequence[int],
) -> dict[str, Any] | None:
    """Figures of one vocabulary on one kind of text; None where the answers differ."""
    found = _agreement(kind, sides)
    if found["worst"] > TOLERANCE or found["texts_with_other_ids"]:
        print(f"{model}, {kind.name}: answers differ, {found}; not timed")
        return None
    material = _material(kind, options)
    times = paired_when_ready(_timed_sides(sides, material, cores), rounds=options.rounds)
    n_timed, n_share = (sum(map(len, texts)) for texts in (material.timed, material.share))
    speeds = {
        side: (n_share if side in PEERS else n_timed) / 1e6 / times.median(side)
        for side in times.seconds
    }
    row = {
        "model": model,
        "vocabulary": sides.vocabulary,
        "kind": kind.name,
        "source": kind.source,
        "agreement": found,
        "texts": len(material.timed),
        "megabytes": n_timed / 1e6,
        "peers_megabytes": n_share / 1e6,
        "megabytes_per_second": speeds,
        "texts_per_second": {
            side: speed * 1e6 * len(material.timed) / n_timed for side, speed in speeds.items()
        },
        "times_faster": {
            ours: _ratios(times, ours, n_timed / n_share)
            for ours in (OURS, SEEN, AVX2)
            if ours in times.seconds
        },
        "two_threads": None
        if TWO not in times.seconds
        else {
            "wall": times.ratio(OURS, TWO),
            "processor_seconds": times.processor_ratio(TWO, OURS),
        },
        "seconds": times.seconds,
        "processor_seconds": times.processor_seconds,
        "load_averages": times.load_averages,
    }
    ratios = _ratios(times, OURS, n_timed / n_share)
    shown = ", ".join(f"{ratios[peer]['median']:.0f} x {peer}" for peer in PEERS)
    print(f"{model}: {kind.name}: {speeds[OURS]:.0f} MB/s, {shown}", flush=True)
    return row


def _ratios(times: PairedTimes, ours: str, share: float) -> dict[str, dict[str, float]]:
    """How many times faster a byte is encoded; the peers had one `share`th of the bytes."""
    return {
        peer: {name: value * share for name, value in times.ratio(peer, ours).items()}
        for peer in PEERS
    }


# ---- what is timed -----------------------------------------------------------------------------


def _timed_sides(
    sides: Sides, material: Material, cores: Sequence[int]
) -> dict[str, Callable[[int], Callable[[], object]]]:
    """Each side makes ready, untimed, and gives what is to be timed."""

    def ours(cpu: str = "", *, seen: bool = False, threads: int = 1) -> Callable[[int], Any]:
        def ready(number: int) -> Callable[[], object]:
            opened = sides.fresh(cpu)

            def run(texts: list[str]) -> object:
                if threads == 1:
                    return _encode(opened, texts, n_threads=1)
                return _on_cores(cores, lambda: _encode(opened, texts, n_threads=threads))

            run(new_strings(material.warm))  # as many threads: each has a words' cache of its own
            if seen:
                run(new_strings(material.timed))
            texts = new_strings(material.timed)
            return lambda: run(texts)

        return ready

    def peer(encode: Callable[[list[str]], Any]) -> Callable[[int], Any]:
        def ready(number: int) -> Callable[[], object]:
            texts = new_strings(material.share)
            return lambda: encode(texts)

        return ready

    every = {
        OURS: ours(),
        MODEL2VEC: peer(sides.model2vec),
        SEEN: ours(seen=True),
        ST: peer(sides.sentence),
        AVX2: ours("avx2"),
        HF: peer(sides.tokens),
        TWO: ours(threads=2),
    }
    if not _has_avx512():
        every.pop(AVX2)
    if len(cores) < 2:
        every.pop(TWO)
    return every


def _on_cores(cores: Sequence[int], work: Callable[[], object]) -> object:
    """Runs on two cores and goes back to one."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(cores[-2:]))
    try:
        return work()
    finally:
        os.sched_setaffinity(0, before)


def _has_avx512() -> bool:
    from vecsmith.tokenizer import cpu_level

    return cpu_level() in ("avx512", "amx")


def _material(kind: Kind, options: argparse.Namespace) -> Material:
    warm, timed = ([text.encode() for text in texts] for texts in (kind.warm, kind.timed))
    if options.quick:
        warm, timed = share_of(warm, 2_000_000), share_of(timed, 1_000_000)
    return Material(warm=warm, timed=timed, share=share_of(timed, options.peer_megabytes * 1e6))


def _agreement(kind: Kind, sides: Sides) -> dict[str, Any]:
    texts = random.Random(1).sample(kind.timed, min(COMPARED, len(kind.timed)))
    ids = [encoding.ids for encoding in sides.tokens(texts)]
    opened = sides.fresh()
    ours = np.asarray(_encode(opened, texts))
    fit = [
        row
        for row, (text, found) in enumerate(zip(texts, ids, strict=True))
        if _is_long(texts) or (len(found) <= PEER_MAX_TOKENS and len(text) <= PEER_MAX_CHARACTERS)
    ]
    found: dict[str, Any] = {
        "texts": len(fit),
        "left_out_as_too_long": len(texts) - len(fit),
        "texts_with_other_ids": sum(
            a != b for a, b in zip(opened.tokenize(texts), ids, strict=True)
        ),
    }
    for name, encode in ((MODEL2VEC, sides.model2vec), (ST, sides.sentence)):
        theirs = np.asarray(encode([texts[row] for row in fit] or ["a"]), dtype=np.float32)
        found[name] = float(np.abs(ours[fit] - theirs[: len(fit)]).max()) if fit else 0.0
    found["worst"] = max(found[MODEL2VEC], found[ST])
    return found


# ---- telling -----------------------------------------------------------------------------------


def _write(measured: Sequence[Mapping[str, Any]], options: argparse.Namespace) -> None:
    payload = {
        "settings": {"rounds": options.rounds, "quick": options.quick, "seed": options.seed},
        "versions": versions(_PACKAGES),
        "cases": measured,
    }
    write_record("encode", payload, folder=options.out)


def _print_tables(measured: Sequence[Mapping[str, Any]]) -> None:
    heads = ("MB/s", "texts/s", "x model2vec", "x ST", "x HF ids", "seen: x m2v", "AVX2 share")
    print(f"\n{'':46}" + "".join(f"{head:>14}" for head in heads))
    for row in measured:
        ours = row["times_faster"][OURS]
        cells = [
            f"{row['megabytes_per_second'][OURS]:.0f}",
            f"{row['texts_per_second'][OURS]:,.0f}",
            *(_shown(ours[peer]) for peer in PEERS),
            f"{row['times_faster'][SEEN][MODEL2VEC]['median']:.0f}",
            f"{row['megabytes_per_second'].get(AVX2, 0) / row['megabytes_per_second'][OURS]:.2f}",
        ]
        name = f"{row['model']}: {row['kind']}"
        print(f"{name:46}" + "".join(f"{cell:>14}" for cell in cells))
        if (two := row["two_threads"]) is not None:
            print(
                f"{'':46}  two threads: {two['wall']['median']:.2f} times as fast, "
                f"{two['processor_seconds']['median']:.2f} of the processor seconds, "
                f"load {row['load_averages'][-1]:.1f}"
            )


def _shown(ratio: Mapping[str, float]) -> str:
    return f"{ratio['median']:.0f} ({ratio['min']:.0f}-{ratio['max']:.0f})"


_PACKAGES = (
    "vecsmith",
    "model2vec",
    "sentence-transformers",
    "tokenizers",
    "torch",
    "transformers",
    "numpy",
)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder of text sets")
    parser.add_argument("--out", type=Path, default=LOCAL_RESULTS, help="folder of the record")
    parser.add_argument(
        "--cache", type=Path, default=LOCAL_RESULTS / "encode-models", help="trained vocabularies"
    )
    parser.add_argument("--models", nargs="*", help="names of vocabularies; all when left out")
    parser.add_argument("--kinds", nargs="*", help="names of kinds; all when left out")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--peer-megabytes", type=float, default=1.0, help="of text for peers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, less text")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.peer_megabytes = 3, 0.2
    return options


if __name__ == "__main__":
    sys.exit(main())

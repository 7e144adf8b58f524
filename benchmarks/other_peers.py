"""Speed of text -> vector beside libraries that have models of their own: WordLlama, fastText.

They have other vectors than we have, so each is checked against its own definition, made by numpy:
WordLlama's is the mean of its rows, fastText's the mean of its words' vectors of unit length.
WordLlama's table and tokenizer are opened by vecsmith as well: there both have to agree. Where an
answer is wrong nothing is timed; a peer that is not installed is reported and passed over.

Sides run in turn on one core; fresh models of ours are warmed by the first half of the texts, texts
of the second are timed. Vectors are as the peers give them, not scaled to unit length, and of whole
texts, as neither of them cuts any. Speeds are of processor seconds: all run on one thread, and a
busy machine does not change these as it does the clock's.

    python benchmarks/other_peers.py             # about five minutes
    python benchmarks/other_peers.py --quick     # about one
"""

from __future__ import annotations

import argparse
import functools
import os
import random
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks._encode_models import ENGLISH, model_folder
from benchmarks._encode_texts import DATA, Kind, Material, all_kinds, new_strings, share_of
from benchmarks._other_models import (
    MINILM,
    Side,
    fasttext_side,
    one_line,
    vecsmith_side,
    wordllama_sides,
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

# By kind: whose first half fastText learns from.
KINDS = {
    "English paragraphs": "English paragraphs",
    "64-character strings": "English paragraphs",
    "de": "de",
}
COMPARED = 300
TOLERANCE = 1e-5
PACKAGES = ("vecsmith", "wordllama", "fasttext-numpy2-wheel", "tokenizers", "numpy")


def main() -> int:
    """Exit code 0 when the answers are right, else 1."""
    options = _parse_arguments()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # before any library counts the cores
    kinds = all_kinds(options.data)
    print(f"{machine()['cpu']}, one core, load {load_average():.2f}", flush=True)
    fixed, absent = installed_sides({"wordllama": lambda: wordllama_sides(options.cache)})
    ours = vecsmith_side(model_folder(ENGLISH, kinds, options.cache), MINILM)
    measured: list[dict[str, Any]] = []
    learn = functools.cache(lambda name: [fasttext_side(kinds[name].warm)])
    for name in (name for name in KINDS if name in kinds):
        trained, missing = installed_sides({"fastText": functools.partial(learn, KINDS[name])})
        absent |= missing
        row = case(kinds[name], [ours, *fixed, *trained], options)
        if row is None:
            return 1
        measured.append(row)
        _write(measured, absent, options)
    for peer, reason in absent.items():
        print(f"{peer} is passed over: {reason}")
    return 0


def installed_sides(
    peers: Mapping[str, Callable[[], Iterable[Side]]],
) -> tuple[list[Side], dict[str, str]]:
    """Sides of the peers that are installed, and why each of the others is not there."""
    sides: list[Side] = []
    absent = {}
    for name, made in peers.items():
        try:
            sides += made()
        except ImportError as error:
            absent[name] = str(error)
    return sides, absent


def case(kind: Kind, sides: Sequence[Side], options: argparse.Namespace) -> dict[str, Any] | None:
    """Figures of one kind of text; None where an answer is wrong."""
    differences = agreement(kind, sides)
    if max(each["worst"] for each in differences.values()) > TOLERANCE:
        print(f"{kind.name}: answers are wrong, {differences}; not timed")
        return None
    material = _material(kind, options)
    times = paired_when_ready(
        {side.name: _timed(side, material) for side in sides}, rounds=options.rounds
    )
    sizes = {True: sum(map(len, material.share)), False: sum(map(len, material.timed))}
    bytes_a_text = sizes[False] / len(material.timed)
    rows = []
    for side in sides:
        speed = sizes[side.is_peer] / statistics.median(times.processor_seconds[side.name])
        rows.append(
            {
                "library": side.library,
                "model": side.model,
                "megabytes": sizes[side.is_peer] / 1e6,
                "megabytes_per_second": speed / 1e6,
                "texts_per_second": speed / bytes_a_text,
                "agreement": differences[side.name],
                "vecsmith_times_faster": {
                    each.model: _ratio(times, side, each, sizes)
                    for each in sides
                    if each.library == "vecsmith" and side.is_peer
                    if each.same_table in (None, side.library)
                },
            }
        )
        _print(kind.name, rows[-1])
    return {
        "kind": kind.name,
        "source": kind.source,
        "texts": len(material.timed),
        "bytes_a_text": bytes_a_text,
        "sides": rows,
        "seconds": times.seconds,
        "processor_seconds": times.processor_seconds,
        "load_averages": times.load_averages,
    }


def agreement(kind: Kind, sides: Sequence[Side]) -> dict[str, dict[str, float]]:
    """Largest difference of each side from its definition, and from who has the same table.

    A difference is told as a share of the largest number in the vectors.
    """
    texts = [one_line(text) for text in kind.timed]
    texts = random.Random(1).sample(texts, min(COMPARED, len(texts)))
    vectors = {side.name: np.asarray(side.encode()(texts), dtype=np.float64) for side in sides}
    found = {}
    for side in sides:
        expected = {"definition": side.definition(texts)}
        for other in sides:
            if other.model == side.model and other.library == side.same_table:
                expected[other.library] = vectors[other.name]
        parts = {
            name: float(np.abs(vectors[side.name] - right).max() / np.abs(right).max())
            for name, right in expected.items()
        }
        found[side.name] = {"texts": len(texts), **parts, "worst": max(parts.values())}
    return found


def _timed(side: Side, material: Material) -> Callable[[int], Callable[[], object]]:
    def ready(number: int) -> Callable[[], object]:
        encode = side.encode()
        if not side.is_peer:
            encode(new_strings(material.warm))
        texts = new_strings(material.share if side.is_peer else material.timed)
        return lambda: encode(texts)

    return ready


def _ratio(
    times: PairedTimes, peer: Side, ours: Side, sizes: Mapping[bool, int]
) -> dict[str, float]:
    """How many times faster a byte is encoded; the peer had a part of the bytes."""
    share = sizes[False] / sizes[True]
    return {
        key: value * share for key, value in times.processor_ratio(peer.name, ours.name).items()
    }


def _material(kind: Kind, options: argparse.Namespace) -> Material:
    warm, timed = ([one_line(t).encode() for t in texts] for texts in (kind.warm, kind.timed))
    most = options.megabytes * 1e6
    return Material(
        warm=share_of(warm, most),
        timed=share_of(timed, most),
        share=share_of(timed, options.peer_megabytes * 1e6),
    )


def _print(kind: str, row: Mapping[str, Any]) -> None:
    ratios = ", ".join(
        f"vecsmith ({model}) {ratio['median']:.1f} times faster ({ratio['min']:.1f}-"
        f"{ratio['max']:.1f})"
        for model, ratio in row["vecsmith_times_faster"].items()
    )
    print(
        f"{kind}: {row['library']} ({row['model']}) {row['megabytes_per_second']:.1f} MB/s, "
        f"{row['texts_per_second']:,.0f} texts/s; {ratios}",
        flush=True,
    )


def _write(
    measured: Sequence[Mapping[str, Any]], absent: Mapping[str, str], options: argparse.Namespace
) -> None:
    payload = {
        "settings": {"rounds": options.rounds, "quick": options.quick},
        "versions": versions(PACKAGES),
        "not_installed": absent,
        "cases": measured,
    }
    write_record("other_peers", payload, folder=options.out)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder of text sets")
    parser.add_argument("--out", type=Path, default=LOCAL_RESULTS, help="folder of the record")
    parser.add_argument("--cache", type=Path, default=LOCAL_RESULTS / "encode-models")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--megabytes", type=float, default=3.0, help="of text for vecsmith")
    parser.add_argument("--peer-megabytes", type=float, default=0.4, help="of text for peers")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, less text")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.megabytes, options.peer_megabytes = 3, 1.0, 0.2
    return options


if __name__ == "__main__":
    sys.exit(main())

"""Compares the engine with Hugging Face `tokenizers`, token for token, over everything at hand.

Every text of every text column of every set in ../shared/data, every Unicode code point, and a
million generated strings go through both, under each normalizer setting; ids and normalised
strings must be equal. Then tokenizers with added tokens, truncation, other vocabularies, and
vectors against numpy; and tokenizers of other families, trained on the same sets, on the same
texts and five million strings of their own. Exits with 1 when anything differs.

    python scripts/parity.py                   # all of it: hours
    python scripts/parity.py --quick           # about a hundredth of it
    python scripts/parity.py --sets stsb med   # some sets alone
    python scripts/parity.py --parts families --families GPT-2 XLM-R
    python scripts/parity.py --out benchmarks/results       # and keep what was compared
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _parity_running import Task, print_table, run

from benchmarks._record import commit, write_record
from tests.parity import hostile_text as hostile
from tests.parity.comparison import Tally, compare_ids, compare_strings, reference_tokenizer
from tests.parity.families import FAMILIES
from tests.parity.family_comparison import (
    compare_families,
    compare_random_tokenizers,
    train_families,
)
from tests.parity.family_text import family_texts
from tests.parity.random_tokenizers import (
    ALPHABET,
    MARKS,
    random_joined_tokenizer,
    random_mapped_tokenizer,
)
from tests.parity.tokenizers_under_test import (
    ADDED_TOKENS,
    ALL_SETTINGS,
    NAMED_SETTINGS,
    NormalizerSettings,
    added_token_texts,
    minilm_json,
    random_added_tokens,
    wide_vocabulary,
    with_added_tokens,
    with_normalizer,
    wordpiece_json,
)
from tests.parity.vectors import compare_vectors, vector_cases

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
PARTS = ("data", "points", "generated", "added", "vectors", "families")
CHUNK = 8192
FAMILY_VOCABULARY = 8000
SMALL_WORDPIECE = "small"


def main() -> int:
    """Exit code 0 when nothing differs, else 1."""
    options = _parse_arguments()
    started = time.monotonic()
    with TemporaryDirectory() as folder:
        tasks = list(_all_tasks(options))
        if "families" in options.parts:
            tasks += _family_tasks(options, _train_families(options, Path(folder)))
        tallies = run(tasks, _work, n_processes=options.jobs)
    print_table(tallies)
    if options.out is not None:
        print(_write_record(tallies, options))
    print(f"{time.monotonic() - started:.0f} s, {len(tasks)} pieces, {options.jobs} processes")
    differences = sum(tally.differences for _, tally in tallies)
    if not differences:
        print("0 differences")
        return 0
    print(f"{differences} differences; the first of each kind:")
    for name, tally in tallies:
        for example in tally.examples[:3]:
            print(f"  {name}: {example}")
    return 1


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder of sets")
    parser.add_argument("--sets", nargs="*", help="names of sets; all when left out")
    parser.add_argument("--generated", type=int, default=1_000_000, help="how many strings")
    parser.add_argument("--seed", type=int, default=0, help="other seeds give other strings")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--step", type=int, default=1, help="takes one chunk of texts in so many")
    parser.add_argument("--quick", action="store_true", help="the same as --step 100")
    parser.add_argument(
        "--parts",
        nargs="*",
        choices=PARTS,
        default=PARTS,
    )
    parser.add_argument("--families", nargs="*", choices=tuple(FAMILIES), default=tuple(FAMILIES))
    parser.add_argument("--family-strings", type=int, default=5_000_000, help="for each family")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where parity.json goes")
    options = parser.parse_args()
    options.step = 100 if options.quick else max(1, options.step)
    return options


def _write_record(tallies: list[tuple[str, Tally]], options: argparse.Namespace) -> Path:
    """Puts the tallies into parity.json; of what was not compared now the last ones stay."""
    path = options.out / "parity.json"
    kept = json.loads(path.read_text(encoding="utf-8"))["compared"] if path.is_file() else []
    compared = {(row["texts_of"], row["setting"]): row for row in kept}
    for label, tally in tallies:
        name, _, setting = label.partition(" | ")
        compared[name, setting] = {
            "texts_of": name,
            "setting": setting,
            "date": f"{datetime.now(UTC):%Y-%m-%d}",
            "commit": commit(),
            "seed": options.seed,
            "comparisons": tally.documents,
            "bytes": tally.n_bytes,
            "tokens": tally.tokens,
            "differences": tally.differences,
        }
    rows = [compared[key] for key in sorted(compared)]
    return write_record("parity", {"compared": rows}, folder=options.out)


# ---- what there is to do -----------------------------------------------------------------------


def _all_tasks(options: argparse.Namespace) -> Iterator[Task]:
    if "generated" in options.parts:
        count = max(CHUNK, options.generated // options.step)
        for first in range(0, count, CHUNK):
            seed = options.seed * 1_000_003 + first // CHUNK
            size = min(CHUNK, count - first)
            yield Task(name="generated strings", kind="generated", arguments=(seed, size))
    if "points" in options.parts:
        for first in range(0, hostile.LAST_CODE_POINT + 1, CHUNK * options.step):
            yield Task(name="every code point", kind="points", arguments=(first, first + CHUNK))
    if "added" in options.parts:
        for seed in range(max(1, 200 // options.step)):
            yield Task(name="added tokens", kind="added", arguments=(options.seed + seed,))
        yield Task(name="long documents", kind="long", arguments=(options.seed,))
    if "vectors" in options.parts:
        for case in range(len(vector_cases())):
            yield Task(name="vectors against numpy", kind="vectors", arguments=(case,))
    if "data" in options.parts:
        yield from _data_tasks(options)


def _train_families(options: argparse.Namespace, folder: Path) -> tuple[str, ...]:
    """Files of the tokenizers of all families, trained on a few texts of each column."""
    texts = list(hostile.SENTENCES)
    for task in _data_tasks(options):
        path, column, first = task.arguments
        if first == 0:
            texts += [text for text in _column(path, column)[:300].to_pylist() if text]
    paths = train_families(options.families, texts, folder, vocab_size=FAMILY_VOCABULARY)
    print(f"{len(paths)} families trained on {len(texts)} texts", flush=True)
    return paths


def _family_tasks(options: argparse.Namespace, paths: tuple[str, ...]) -> Iterator[Task]:
    count = max(CHUNK, options.family_strings // options.step)
    for first in range(0, count, CHUNK):
        seed = options.seed * 1_000_003 + first // CHUNK
        where = (paths, seed, min(CHUNK, count - first))
        yield Task(name="families, strings", kind="family strings", arguments=where)
    for first in range(0, 50_000 // options.step, 500):
        seeds = (options.seed * 1_000_003 + first, min(500, 50_000 // options.step))
        yield Task(name="random tokenizers", kind="random", arguments=seeds)
    yield Task(name="families, long documents", kind="family long", arguments=(paths, options.seed))
    for task in _data_tasks(options):
        column = (paths, *task.arguments)
        yield Task(name=f"families, {task.name}", kind="family data", arguments=column)


def _data_tasks(options: argparse.Namespace) -> Iterator[Task]:
    import pyarrow.parquet as parquet
    from pyarrow import types

    if not options.data.is_dir():
        print(f"{options.data} is not there: its sets are left out")
        return
    for path in sorted(options.data.glob("*/*.parquet")):
        if options.sets and path.parent.name not in options.sets:
            continue
        schema = parquet.read_schema(path)
        n_rows = parquet.read_metadata(path).num_rows
        for column in schema.names:
            kind = schema.field(column).type
            if not (types.is_string(kind) or types.is_large_string(kind)):
                continue
            for first in range(0, n_rows, CHUNK * options.step):
                where = (str(path), column, first)
                yield Task(name=path.parent.name, kind="data", arguments=where)


# ---- how a process does it ---------------------------------------------------------------------


def _work(task: Task) -> dict[str, Tally]:
    return _KINDS[task.kind](*task.arguments)


def _compare_column(path: str, column: str, first: int) -> dict[str, Tally]:
    texts = [text for text in _column(path, column)[first : first + CHUNK].to_pylist() if text]
    tallies = {s.name: _compare(texts, s) for s in NAMED_SETTINGS}
    tallies["default, 16 tokens"] = _compare(texts, NAMED_SETTINGS[0], max_length=16)
    tallies["wide"] = _compare(texts, NAMED_SETTINGS[0], vocabulary="wide")
    tallies["wide, cased"] = _compare(texts, NAMED_SETTINGS[1], vocabulary="wide")
    return tallies


@lru_cache(maxsize=1)
def _column(path: str, column: str) -> Any:
    import pyarrow.parquet as parquet

    return parquet.read_table(path, columns=[column]).column(column)


def _compare_points(first: int, last: int) -> dict[str, Tally]:
    texts = hostile.code_point_texts(hostile.every_code_point()[first:last])
    marked = [f"{text[:-1]}\u0301\u0323\u08d4b" for text in texts]
    return _every_setting([*texts, *marked])


def _compare_generated(seed: int, count: int) -> dict[str, Tally]:
    adversarial = count // 3
    texts = hostile.generated_texts(seed, count - adversarial)
    texts += hostile.adversarial_strings(seed, adversarial)
    tallies = _every_setting(texts)
    max_length = (1, 2, 3, 5, 17, 64)[seed % 6]
    tallies["default, truncated"] = _compare(texts, NAMED_SETTINGS[0], max_length=max_length)
    tallies["small vocabulary"] = _compare(texts, NAMED_SETTINGS[0], vocabulary=SMALL_WORDPIECE)
    return tallies


def _every_setting(texts: list[str]) -> dict[str, Tally]:
    tallies = {settings.name: _compare(texts, settings) for settings in NAMED_SETTINGS}
    for settings in ALL_SETTINGS:  # ids follow from the string, so here the string is enough
        tallies[f"strings, {settings.name}"] = compare_strings(
            texts, *_both("minilm", settings, None)
        )
    for settings in NAMED_SETTINGS[:4]:
        tallies[f"wide, {settings.name}"] = _compare(texts, settings, vocabulary="wide")
    return tallies


def _compare(
    texts: list[str],
    settings: NormalizerSettings,
    *,
    vocabulary: str = "minilm",
    max_length: int | None = None,
) -> Tally:
    if not texts:
        return Tally()
    reference, engine = _both(vocabulary, settings, max_length)
    tally = compare_ids(texts, reference, engine, max_length=max_length)
    if vocabulary == "minilm" and max_length is None:
        tally.add(compare_strings(texts, reference, engine))
    return tally


@lru_cache(maxsize=64)
def _both(vocabulary: str, settings: NormalizerSettings, max_length: int | None) -> tuple[Any, Any]:
    text = with_normalizer(_vocabulary_json(vocabulary), settings)
    # the engine takes max_length at each call, the reference keeps it
    engine = _engine(text) if max_length is None else _both(vocabulary, settings, None)[1]
    return reference_tokenizer(text, max_length=max_length), engine


def _vocabulary_json(vocabulary: str) -> str:
    if vocabulary == "minilm":
        return minilm_json()
    if vocabulary == "none":
        return wordpiece_json(["[UNK]"])
    if vocabulary == "wide":
        return wordpiece_json(wide_vocabulary())
    return wordpiece_json(
        [*wide_vocabulary(977), "unknown"],
        unk_token="unknown",
        max_input_chars_per_word=7,
        prefix="@",
    )


def _compare_added(seed: int) -> dict[str, Tally]:
    tallies: dict[str, Tally] = defaultdict(Tally)
    random_settings = ALL_SETTINGS[seed % len(ALL_SETTINGS)]
    cases = [(name, added, added_token_texts(seed, 400)) for name, added in ADDED_TOKENS.items()]
    cases += [("random", *_random_added(seed * 7 + i)) for i in range(7)]
    small = wordpiece_json(wide_vocabulary(977))
    for name, added, texts in cases:
        for settings in {NAMED_SETTINGS[0], random_settings}:
            text = with_added_tokens(with_normalizer(small, settings), added)
            # of two tokens that normalise alike the reference takes now one, now the other
            engine = _engine(text, may_fall_back=name == "random")
            if not engine.is_native:
                continue
            tallies[name].add(compare_ids(texts, reference_tokenizer(text), engine))
            limited = reference_tokenizer(text, max_length=2)
            tallies[name].add(compare_ids(texts, limited, engine, max_length=2))
    return dict(tallies)


def _random_added(seed: int) -> tuple[Any, list[str]]:
    added, texts = random_added_tokens(seed)
    return tuple(added), texts


def _compare_long(seed: int) -> dict[str, Tally]:
    texts = hostile.long_documents(seed)
    return {settings.name: _compare(texts, settings) for settings in NAMED_SETTINGS}


def _compare_vectors(case: int) -> dict[str, Tally]:
    chosen = vector_cases()[case]
    texts = [*hostile.generated_texts(case, 2000), "", "[UNK]", "the the"]
    return {chosen.name: compare_vectors(chosen, texts)}


def _compare_family_strings(paths: tuple[str, ...], seed: int, count: int) -> dict[str, Tally]:
    texts = family_texts(seed, count)
    tallies = compare_families(paths, texts)
    max_length = (1, 2, 3, 5, 17, 64)[seed % 6]
    cut = compare_families(paths, texts[::16], max_length=max_length)
    return tallies | {f"{name}, truncated": tally for name, tally in cut.items()}


def _compare_family_column(
    paths: tuple[str, ...], path: str, column: str, first: int
) -> dict[str, Tally]:
    texts = [text for text in _column(path, column)[first : first + CHUNK].to_pylist() if text]
    return compare_families(paths, texts)


def _compare_random(first: int, count: int) -> dict[str, Tally]:
    joined = compare_random_tokenizers(first, count // 4, make=random_joined_tokenizer)[0]
    mapped = compare_random_tokenizers(
        first, count // 4, make=random_mapped_tokenizer, alphabet=ALPHABET + MARKS
    )[0]
    return {
        "native ones": compare_random_tokenizers(first, count)[0],
        "native ones that cut no words": joined,
        "native ones with character maps": mapped,
    }


def _compare_family_long(paths: tuple[str, ...], seed: int) -> dict[str, Tally]:
    return compare_families(paths, hostile.long_documents(seed))


def _engine(tokenizer_json: str, *, may_fall_back: bool = False) -> Any:
    from vecsmith.tokenizer import Tokenizer

    engine = Tokenizer(tokenizer_json)
    if not engine.is_native and not may_fall_back:
        # otherwise the reference would be compared with itself
        raise RuntimeError(
            f"tokenizer is not native ({engine.fallback_reason}), expected the engine's own"
        )
    return engine


_KINDS: dict[str, Callable[..., dict[str, Tally]]] = {
    "data": _compare_column,
    "points": _compare_points,
    "generated": _compare_generated,
    "added": _compare_added,
    "long": _compare_long,
    "vectors": _compare_vectors,
    "family strings": _compare_family_strings,
    "family data": _compare_family_column,
    "family long": _compare_family_long,
    "random": _compare_random,
}


if __name__ == "__main__":
    sys.exit(main())

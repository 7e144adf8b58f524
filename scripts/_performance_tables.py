"""Tables of speed, as Markdown, from the records of benchmarks of encoding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

OURS, SEEN, AVX2 = "vecsmith", "vecsmith, text seen before", "vecsmith, AVX2"
MODEL2VEC, ST, HF = "model2vec", "sentence-transformers", "tokenizers alone"
LANGUAGES = {
    "de": "German",
    "ru": "Russian",
    "ko": "Korean",
    "ja": "Japanese",
    "zh": "Chinese",
    "ar": "Arabic",
}

Record = Mapping[str, Any]


def short_table(found: Record) -> str:
    """The README's table: a row for each vocabulary and kind that a first look needs."""
    wanted = {
        "WordPiece, English": ("English paragraphs", "64-character strings", "de", "zh"),
        "WordPiece, multilingual": ("ru", "ko", "ar"),
        "BPE, GPT-2": ("English paragraphs",),
        "Unigram, XLM-R": ("English paragraphs", "ja"),
    }
    rows = [case for case in found["cases"] if case["kind"] in wanted.get(case["model"], ())]
    lines = [
        "| one core, unseen text, one float32 folder of 256 dims | texts/s | faster than model2vec "
        "| than sentence-transformers static | than `tokenizers`, ids only |",
        "|---|--:|--:|--:|--:|",
    ]
    for case in rows:
        ratios = case["times_faster"][OURS]
        cells = [thousands(case["texts_per_second"][OURS])]
        cells += [f"{ratios[peer]['median']:.0f}x" for peer in (MODEL2VEC, ST, HF)]
        lines.append(f"| {shown(case)} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"{conditions(found)} [All figures](docs/performance.md).", ""])


def encode_table(found: Record) -> str:
    """Every vocabulary and kind with the range of its rounds."""
    lines = [
        "| vocabulary: text | bytes a text | MB/s | texts/s | x model2vec "
        "| x sentence-transformers | x `tokenizers`, ids | seen text, x model2vec "
        "| AVX2 of AVX-512 |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for case in found["cases"]:
        speeds, ratios = case["megabytes_per_second"], case["times_faster"]
        avx2 = f"{speeds[AVX2] / speeds[OURS]:.2f}" if AVX2 in speeds else ""
        cells = [
            f"{case['megabytes'] * 1e6 / case['texts']:.0f}",
            f"{speeds[OURS]:.0f}",
            thousands(case["texts_per_second"][OURS]),
            *(ranged(ratios[OURS][peer]) for peer in (MODEL2VEC, ST, HF)),
            ranged(ratios[SEEN][MODEL2VEC]),
            avx2,
        ]
        lines.append(f"| {shown(case)} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", conditions(found), ""])


def threads_table(found: Record) -> str:
    """What a second thread costs and gains."""
    lines = [
        "| vocabulary: text | two threads are faster by "
        "| processor seconds of two over one | load |",
        "|---|--:|--:|--:|",
    ]
    for case in found["cases"]:
        two = case["two_threads"]
        if two is None:
            continue
        cells = [ranged(two["wall"], 2), ranged(two["processor_seconds"], 2)]
        lines.append(f"| {shown(case)} | {' | '.join(cells)} | {case['load_averages'][-1]:.1f} |")
    return "\n".join([*lines, ""])


def roofline_table(found: Record) -> str:
    """The share of what the machine's memory allows."""
    lines = [
        "| text, English vocabulary, warm | ns a row of these texts "
        "| ns a row, all equally likely "
        "| scan, GB/s | ns to write a vector | ns a text | share of the roofline |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name, kind in found["kinds"].items():
        texts, rows = kind["texts"], kind["rows"]
        cells = [
            f"{kind['row_seconds'] / rows * 1e9:.1f}",
            f"{kind['uniform_row_seconds'] / rows * 1e9:.1f}",
            f"{kind['bytes'] / kind['scan_seconds'] / 1e9:.1f}",
            f"{kind['write_seconds'] / texts * 1e9:.0f}",
            f"{kind['seconds'] / texts * 1e9:.0f}",
            f"**{100 * kind['share']:.0f} %**",
        ]
        lines.append(f"| {LANGUAGES.get(name, name)} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"{machine_line(found)}", ""])


def adversarial_table(found: Record) -> str:
    """Text that is made to hurt, and opening."""
    lines = [
        "| text | MB/s | texts/s | of normal text's speed | memory grown by, MB |",
        "|---|--:|--:|--:|--:|",
    ]
    for name, kind in found["kinds"].items():
        cells = [
            f"{kind['megabytes_per_second']:.0f}",
            thousands(kind["texts_per_second"]),
            f"{kind['share_of_normal']:.2f}",
            f"{kind['grown_megabytes']:.1f}",
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    opened = "; ".join(
        f"{name}: {1e3 * seconds['open']:.0f} ms to open, the first vector after "
        f"{1e3 * seconds['first_vector']:.0f} ms"
        for name, seconds in found["cold_start"].items()
    )
    return "\n".join([*lines, "", f"{opened}. {machine_line(found)}", ""])


def other_peers_table(found: Record) -> str:
    """Libraries with models of their own, and ours with the table of one."""
    lines = [
        "| text | library: its model | MB/s | texts/s | `vecsmith`, same table, is faster by "
        "| `vecsmith`, WordPiece, English | vectors differ from their definition by |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for case in found["cases"]:
        for side in case["sides"]:
            ratios = side["vecsmith_times_faster"]
            cells = [
                f"{side['megabytes_per_second']:.1f}",
                thousands(side["texts_per_second"]),
                *(ranged(ratios[model], 1) if model in ratios else "" for model in (
                    side["model"], "WordPiece, English"
                )),
                f"{side['agreement']['definition']:.0e}",
            ]  # fmt: skip
            named = f"{side['library']}: {side['model']}"
            lines.append(f"| {kind_shown(case)} | {named} | {' | '.join(cells)} |")
    loads = [load for case in found["cases"] for load in case["load_averages"]]
    absent = "".join(f" Not installed: {name}." for name in found["not_installed"])
    end = (
        f"{found['machine']['cpu']}, one core, Python {found['machine']['python']}, load average "
        f"{min(loads):.1f} to {max(loads):.1f}, medians of {found['settings']['rounds']} rounds, "
        f"processor seconds; wordllama {found['versions']['wordllama']}, fasttext-numpy2-wheel "
        f"{found['versions']['fasttext-numpy2-wheel']}.{absent}"
    )
    return "\n".join([*lines, "", end, ""])


def instructions_table(found: Record) -> str:
    """Instructions a byte and a token."""
    if found["counter"] is None:
        return f"{machine_line(found)} Instructions could not be counted there.\n"
    lines = [
        "| vocabulary: text | bytes | tokens | a byte | of them ids | seen text, a byte | a token "
        "| model2vec, a byte | model2vec over `vecsmith` |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for case in found["cases"]:
        counts, peer = case["instructions"], case["model2vec"]
        a_byte, of_peer = counts["unseen"] / case["bytes"], peer["instructions"] / peer["bytes"]
        cells = [
            f"{case['bytes']:,}",
            f"{case['tokens']:,}",
            f"{a_byte:.1f}",
            f"{100 * counts['ids'] / counts['unseen']:.0f} %",
            f"{counts['seen'] / case['bytes']:.1f}",
            f"{counts['unseen'] / case['tokens']:.0f}",
            f"{of_peer:,.0f}",
            f"{of_peer / a_byte:.0f}",
        ]
        lines.append(f"| {shown(case)} | {' | '.join(cells)} |")
    kernels = found["forced_kernels"]
    forced = f", kernels forced to {kernels.upper()}" if kernels else ""
    return "\n".join(
        [*lines, "", f"Counted by {found['counter']}{forced}. {machine_line(found)}", ""]
    )


def shown(case: Record) -> str:
    """A case's name."""
    return f"{case['model']}: {kind_shown(case)}"


def kind_shown(case: Record) -> str:
    """The name of a case's kind of text."""
    kind: str = case["kind"]
    return LANGUAGES.get(kind, kind)


def conditions(found: Record) -> str:
    """Machine, versions, rounds."""
    versions = found["versions"]
    loads = [load for case in found["cases"] for load in case["load_averages"]]
    return (
        f"{found['machine']['cpu']}, one core, Python {found['machine']['python']}, load average "
        f"{min(loads):.1f} to {max(loads):.1f}, medians of {found['settings']['rounds']} rounds; "
        f"model2vec {versions['model2vec']}, sentence-transformers "
        f"{versions['sentence-transformers']}, tokenizers {versions['tokenizers']}, each at its "
        "defaults on the same core."
    )


def machine_line(found: Record) -> str:
    """The machine and how busy it was."""
    load = found.get("load_average", found["machine"].get("load_average"))
    return f"{found['machine']['cpu']}, load average {load:.1f}."


def ranged(ratio: Mapping[str, float], digits: int = 0) -> str:
    """A median with its range."""
    low, middle, high = (f"{ratio[key]:.{digits}f}" for key in ("min", "median", "max"))
    return f"{middle} ({low}-{high})"


def thousands(x: float) -> str:
    """A rate to three digits with thousands separated."""
    digits = max(0, len(str(int(x))) - 3)
    return f"{round(x / 10**digits) * 10**digits:,}"


def blocks(names: Sequence[str], records: Mapping[str, Record]) -> dict[str, str]:
    """Markdown of each table that docs/performance.md has a place for."""
    made = {
        "encode": lambda: encode_table(records["encode"]),
        "other_peers": lambda: other_peers_table(records["other_peers"]),
        "instructions": lambda: instructions_table(records["instructions"]),
        "threads": lambda: threads_table(records["encode"]),
        "roofline": lambda: roofline_table(records["roofline"]),
        "adversarial": lambda: adversarial_table(records["adversarial"]),
    }
    return {name: made[name]() for name in names}

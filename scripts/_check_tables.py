"""Tables of how far the engine was checked, as Markdown, from the records of those runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

Record = Mapping[str, Any]


def parity_table(found: Record) -> str:
    """How many comparisons with `tokenizers` there were of each setting, and differences."""
    by_setting: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for row in found["compared"]:
        setting = row["setting"].removesuffix(", truncated")
        if row["texts_of"] == "random tokenizers":
            setting = f"tokenizers of random parts, {setting}"
        by_setting[setting, row["commit"][:7]].append(row)
    lines = [
        "| setting | commit | comparisons | MB | tokens | differences |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for (setting, of), rows in by_setting.items():
        names = ("comparisons", "bytes", "tokens", "differences")
        total = {name: sum(row[name] for row in rows) for name in names}
        lines.append(
            f"| {setting} | {of} | {total['comparisons']:,} | {total['bytes'] / 1e6:,.0f} "
            f"| {total['tokens']:,} | {total['differences']} |"
        )
    return "\n".join([*lines, ""])


def fuzz_table(found: Record) -> str:
    """How long each fuzzer ran, how many inputs it tried, what it reached."""
    lines = [
        "| fuzzer | commit | minutes | CPU minutes | inputs | edges reached | peak MB | faults |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {run['name']} | {run['commit'][:7]} | {run['seconds'] / 60:.0f} "
        f"| {run['processor_seconds'] / 60:.0f} | {run['executions']:,} "
        f"| {run['edges_covered']:,} | {run['peak_mb']:,} "
        f"| {'none' if run['exit_status'] == 0 else 'found'} |"
        for run in found["runs"]
    ]
    return "\n".join(
        [*lines, "", f"{found['machine']['cpu']}, {found['machine']['cores']} cores.", ""]
    )
